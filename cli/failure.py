"""How a command ends, and what it says where it cannot do what was asked.

Not here: wrong use, which click recognises itself (exit code 2).
"""

from enum import IntEnum

import click
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from shared.settings import Settings

_DOCTOR = "`hearth doctor` looks at every part"
_ABSENT = ("NoSuchBucket", "404", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_FORBIDDEN = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")


class ExitCode(IntEnum):
    """What scripts can tell by."""

    SUCCESS = 0
    FAILED = 1  # the function failed, or what was asked for is not there
    WRONG_USE = 2  # arguments or settings
    NO_ANSWER = 3  # the platform does not answer, or not in time
    INTERRUPTED = 130  # Ctrl-C before the result


class Failure(click.ClickException):
    """A sentence that names the cause and the next step."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """As click asks for it."""
        return int(self.code)


class NoAnswer(Failure):
    """The platform does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NO_ANSWER)


def explain_redis(error: Exception, settings: Settings | None) -> NoAnswer:
    """An absent Redis, in words."""
    words = str(error).rstrip(".")
    if settings is not None and not settings.embedded_redis:
        return NoAnswer(f"{words}. Is it started, and named in .env? {_DOCTOR}.")
    return NoAnswer(f"{words}. Start the stack (`honcho start`) or name one in .env. {_DOCTOR}.")


def explain_aws(error: BotoCoreError | ClientError, settings: Settings | None) -> NoAnswer:
    """An absent or unwilling AWS, in words."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return NoAnswer(f"AWS: {error}. Name credentials the usual way of AWS: `aws configure`.")
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ABSENT:
            return NoAnswer(f"AWS: {error}. Create it, or name another one in .env. {_DOCTOR}.")
        if code in _FORBIDDEN:
            return NoAnswer(f"AWS: {error}. Give these credentials the right. {_DOCTOR}.")
        return NoAnswer(f"AWS: {error}. {_DOCTOR}.")
    embedded = settings is None or settings.embedded_aws
    cure = "Start the stack (`honcho start`) or name the queue in .env. " if embedded else ""
    return NoAnswer(f"AWS does not answer: {error}. {cure}{_DOCTOR}.")
