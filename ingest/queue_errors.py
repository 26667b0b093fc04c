"""What can be wrong with SQS, by what a person has to do about it. Pure.

Not here: waiting. All of these are waited for; the name of the dependency says in health and
metrics which of them it is.
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

_MISSING = ("QueueDoesNotExist", "NonExistentQueue", "QueueDeletedRecently")
_DENIED = (
    "AccessDenied", "AuthFailure", "ExpiredToken", "InvalidClientTokenId", "InvalidSecurity",
    "MissingAuthenticationToken", "NotAuthorized", "OptInRequired", "SignatureDoesNot",
    "UnrecognizedClient",
    "KMS.", "KmsDisabled", "KmsNotFound", "KmsOptInRequired",
)  # fmt: skip
_WRONG_CALL = (
    "InvalidParameterValue", "InvalidAttributeValue", "MissingParameter", "ReceiptHandleIsInvalid",
    "MessageNotInflight", "InvalidIdFormat", "InvalidAddress",
)  # fmt: skip


class QueueUnavailableError(Exception):
    """SQS does not answer, or not with what was asked for. Nothing is lost: try again later."""

    dependency = "sqs"


class QueueMissingError(QueueUnavailableError):
    """There is no such queue (any more). It may come."""

    dependency = "sqs_queue"


class QueueDeniedError(QueueUnavailableError):
    """SQS knows us not, or not well enough for this call. Somebody may give the right."""

    dependency = "sqs_permission"


class WrongCallError(QueueUnavailableError):
    """SQS refuses what is in the call: of a batch, one entry may be to blame for all."""


DEPENDENCIES = ("sqs", "sqs_queue", "sqs_permission")


def name_error(error: BotoCoreError | ClientError, url: str) -> QueueUnavailableError:
    """The typed error, in words that say what to do next."""
    code = read_code(error)
    if any(one in code for one in _MISSING):
        return QueueMissingError(f"SQS has no queue {url}: create it, or mend SQS_QUEUE_URL")
    if isinstance(error, NoCredentialsError) or any(one in code for one in _DENIED):
        words = "give this process credentials with the rights that docs/operations.md lists"
        return QueueDeniedError(f"SQS refuses access to {url}: {words} ({error})")
    if any(one in code for one in _WRONG_CALL):
        return WrongCallError(f"SQS: {error}")
    return QueueUnavailableError(f"SQS: {error}")


def read_code(error: BotoCoreError | ClientError) -> str:
    """SQS's name of an error; empty where there was no answer."""
    answer: dict[str, Any] = getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))
