"""What a link does to the bytes that pass it, and the answers it makes up.

Not here: the sockets (`link`).
"""

from dataclasses import dataclass
from enum import StrEnum


class Mood(StrEnum):
    """How a link misbehaves."""

    PASS = "pass"
    REFUSE = "refuse"  # connections are reset, old ones and new ones
    RESET = "reset"  # those that are open are reset, once
    SLOW = "slow"  # everything takes a while
    STALL = "stall"  # nothing moves until it is over, then all of it
    DEAF = "deaf"  # what is open is never answered again, nor closed: a peer that is gone
    FORGET = "forget"  # the request arrives, its answer does not
    HALVE = "halve"  # the answer breaks off in the middle
    THROTTLE = "throttle"  # HTTP: "slow down", in the words of the service
    ERROR = "error"  # HTTP: the service failed on its side
    GARBAGE = "garbage"  # HTTP: something between us and the service answers in its own words


OF_REDIS = (Mood.REFUSE, Mood.RESET, Mood.SLOW, Mood.STALL, Mood.DEAF, Mood.FORGET)
OF_AWS = (*OF_REDIS, Mood.HALVE, Mood.THROTTLE, Mood.ERROR, Mood.GARBAGE)
MADE_UP = (Mood.THROTTLE, Mood.ERROR, Mood.GARBAGE)


@dataclass(frozen=True, order=True)
class Weather:
    """The mood of a link for a while."""

    mood: Mood = Mood.PASS
    share: float = 1.0  # of connections that it befalls
    delay_s: float = 0.0  # of each piece, where slow
    service: str = ""  # sqs | s3, or both where empty


FAIR = Weather()


def service_of(head: bytes) -> str:
    """Which service a request is for: SQS names its operation in a header."""
    return "sqs" if b"AmazonSQS" in head else "s3"


def make_answer(mood: Mood, service: str) -> bytes:
    """A whole HTTP answer."""
    if mood is Mood.GARBAGE:
        return _format(502, "text/plain", b"upstream connect error or disconnect")
    throttled = mood is Mood.THROTTLE
    if service == "sqs":
        name, status = ("ThrottlingException", 400) if throttled else ("InternalFailure", 500)
        body = b'{"__type":"com.amazonaws.sqs#%s","message":"made up"}' % name.encode()
        return _format(status, "application/x-amz-json-1.0", body)
    name, status = ("SlowDown", 503) if throttled else ("InternalError", 500)
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>%s</Code><Message>made up</Message></Error>" % name.encode()
    )
    return _format(status, "application/xml", body)


def _format(status: int, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} Made Up\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
