"""The environment of a function that brings its own bootstrap, as Lambda sets it. Pure.

Not here: what only the sandbox knows (address of the Runtime API, folder of the code): the launcher
adds it. Bootstraps of our own set theirs themselves, by the same rule.
"""

from typing import NamedTuple

from executor.exchange import ENVIRONMENT
from executor.frames import Head

_ACCOUNT = "000000000000"


class FunctionNames(NamedTuple):
    """What a function is called in Lambda's places."""

    arn: str
    log_group: str


def name_function(head: Head) -> FunctionNames:
    """The names, from the head of an INIT."""
    name, region = head["function_id"], head["region"]
    arn = f"arn:aws:lambda:{region}:{_ACCOUNT}:function:{name}"
    return FunctionNames(arn, f"/aws/lambda/{name}")


def describe_environment(head: Head) -> dict[str, str]:
    """The variables of a function, from the head of an INIT.

    The sender's variables win over the defaults, and what the platform says wins over them. There
    are no credentials: a sandbox is given none.
    """
    given = head["env"]
    assert isinstance(given, dict), "an INIT has the sender's variables"
    platform = {
        "_HANDLER": head["handler"],
        "AWS_REGION": head["region"],
        "AWS_DEFAULT_REGION": head["region"],
        "AWS_LAMBDA_FUNCTION_NAME": head["function_id"],
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": head["memory_mb"],
        "AWS_LAMBDA_LOG_GROUP_NAME": name_function(head).log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": head["sandbox_id"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        **ENVIRONMENT,
    }
    return {"TZ": ":UTC", **given, **{name: str(value) for name, value in platform.items()}}


def encode_environment(variables: dict[str, str]) -> bytes:
    """As execve takes it: NAME=value, each ended by a NUL."""
    return b"".join(f"{name}={value}\0".encode() for name, value in variables.items())
