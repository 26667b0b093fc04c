"""What a message means, and that no message whatsoever makes the parser raise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ingest.message import NESTING_MAX, Unusable, parse_message
from shared.codec import EVENT_BYTES_MAX, decode, encode
from shared.events import (
    Code,
    InvocationRejected,
    InvocationRequested,
    Network,
    Runtime,
    S3Object,
)
from shared.settings import Settings

SETTINGS = Settings(s3_code_bucket="code")
LEAST = {"functionId": "thumb", "runtime": "python", "s3Key": "thumb.zip"}
Parsed = InvocationRequested | InvocationRejected | Unusable


def parse(body: str) -> Parsed:
    return parse_message(body, message_id="sqs-1", now_ms=7, settings=SETTINGS)


def parse_fields(**fields: Any) -> Parsed:
    return parse(json.dumps({**LEAST, **fields}))


def accept(**fields: Any) -> InvocationRequested:
    event = parse_fields(**fields)
    assert isinstance(event, InvocationRequested), event
    return event


def reject(**fields: Any) -> InvocationRejected:
    event = parse_fields(**fields)
    assert isinstance(event, InvocationRejected), event
    return event


def test_defaults() -> None:
    """A message with only what is needed gets the documented defaults."""
    event = accept()

    assert event.invocation_id == event.causation_id == "sqs-1"
    assert event.occurred_at_ms == 7
    assert event.handler == "main.handler"
    assert event.code == Code(bucket="code", key="thumb.zip")
    assert (event.memory_mb, event.timeout_ms) == (128, 300_000)
    assert bytes(event.input) == b"null"
    assert (event.input_s3, event.env_vars, event.reply_to) == (None, {}, None)
    assert event.network is Network.EGRESS
    assert event.reuse


def test_everything_given() -> None:
    """Every field of the message reaches the event."""
    event = accept(
        requestId="req-1",
        handler="app.run",
        s3Bucket="mine",
        codeSha256="AB" * 32,
        memoryMb=512,
        timeoutMs=900_000,
        inputS3={"bucket": "big", "key": "a/b.bin"},
        envVars={"STAGE": "test"},
        network="none",
        reuse=False,
        replyTo="answers:me",
        unknown=[1, 2],
    )

    assert (event.invocation_id, event.causation_id) == ("req-1", "sqs-1")
    assert event.handler == "app.run"
    assert event.code == Code(bucket="mine", key="thumb.zip", sha256="ab" * 32)
    assert (event.memory_mb, event.timeout_ms) == (512, 900_000)
    assert event.input_s3 == S3Object(bucket="big", key="a/b.bin")
    assert event.env_vars == {"STAGE": "test"}
    assert event.network is Network.NONE
    assert not event.reuse
    assert event.reply_to == "answers:me"


@pytest.mark.parametrize(
    ("name", "runtime", "handler"),
    [
        ("python", Runtime.PYTHON, "main.handler"),
        ("python3.12", Runtime.PYTHON, "main.handler"),
        ("nodejs", Runtime.NODEJS, "index.handler"),
        ("nodejs20.x", Runtime.NODEJS, "index.handler"),
        ("go", Runtime.GO, "bootstrap"),
        ("go1.x", Runtime.GO, "bootstrap"),
        ("provided", Runtime.PROVIDED, "bootstrap"),
        ("provided.al2", Runtime.PROVIDED, "bootstrap"),
        ("provided.al2023", Runtime.PROVIDED, "bootstrap"),
    ],
)
def test_runtimes(name: str, runtime: Runtime, handler: str) -> None:
    """Own names and Lambda's mean the same, and each has its default handler."""
    event = accept(runtime=name)

    assert (event.runtime, event.handler) == (runtime, handler)


def test_input_is_kept_byte_for_byte() -> None:
    """The function gets its input as it was written: digits, spaces, order and duplicates."""
    written = '{ "z":1.10,"a":123456789012345678901234567890, "z":"\\u00e9\\/" }'
    event = parse(f'{{"functionId":"f","runtime":"go","s3Key":"k","input": {written} }}')

    assert isinstance(event, InvocationRequested)
    assert bytes(event.input).decode() == written
    again = decode(encode(event))
    assert isinstance(again, InvocationRequested)
    assert bytes(again.input).decode() == written


def test_redelivery_gives_the_same_event() -> None:
    """Only the time of acceptance differs between two deliveries."""
    body = json.dumps({**LEAST, "requestId": "req-1"})
    first, second = (
        parse_message(body, message_id="sqs-1", now_ms=now_ms, settings=SETTINGS)
        for now_ms in (1, 2)
    )

    assert isinstance(first, InvocationRequested)
    assert isinstance(second, InvocationRequested)
    assert encode(structs.replace(first, occurred_at_ms=2)) == encode(second)


def test_auto_memory_starts_at_the_least() -> None:
    """What the tuner does not know yet runs at the least size."""
    assert accept(memoryMb="auto").memory_mb == 128
    assert accept(memoryMb="auto").memory_auto
    assert not accept(memoryMb=512).memory_auto
    assert not accept().memory_auto


WRONG = [
    ("requestId", "a/b", "it must be a string of 1 to 128 letters"),
    ("requestId", 5, "requestId is 5; it must be a string"),
    ("requestId", "x" * 129, "1 to 128"),
    ("functionId", None, "functionId is missing"),
    ("functionId", "a b", 'functionId is "a b"; it must be'),
    ("functionId", "", "1 to 128"),
    ("runtime", None, "runtime is missing; it must be python, nodejs, go or provided"),
    ("runtime", "java21", 'runtime is "java21"; it must be python'),
    ("runtime", ["go"], "it must be python"),
    ("handler", "has space", "without spaces"),
    ("s3Key", None, "s3Key is missing"),
    ("s3Key", "a\nb", "without control characters"),
    ("s3Bucket", "x", "3 to 63"),
    ("codeSha256", "abc", "64 hexadecimal digits"),
    ("memoryMb", 64, 'memoryMb is 64; it must be 128 to 10240 or "auto"'),
    ("memoryMb", 10_241, "128 to 10240"),
    ("memoryMb", "512", "a whole number"),
    ("memoryMb", True, "a whole number"),
    ("memoryMb", 512.5, "a whole number"),
    ("timeoutMs", 0, "timeoutMs is 0; it must be 1 to 900000"),
    ("timeoutMs", 900_001, "1 to 900000"),
    ("timeoutMs", 10**400, "1 to 900000"),
    ("inputS3", "s3://a/b", "an object"),
    ("inputS3", {"bucket": "big"}, "of two strings"),
    ("inputS3", {"bucket": "b", "key": "k"}, "inputS3.bucket"),
    ("inputS3", {"bucket": "big", "key": ""}, "inputS3.key"),
    ("envVars", ["A"], "an object of strings"),
    ("envVars", {"A": 1}, "envVars.A is a number; it must be a string"),
    ("envVars", {"A": True}, "envVars.A is true or false; it must be a string"),
    ("envVars", {"A": "x\0y"}, "holds a NUL; it must be a string"),
    ("envVars", {"1A": "x"}, "begin with no digit"),
    ("envVars", {"A=B": "x"}, "letters, digits and _"),
    ("network", "all", '"none" or "egress"'),
    ("network", {}, '"none" or "egress"'),
    ("reuse", "no", "true or false"),
    ("replyTo", "has space", "pub/sub channel"),
    ("replyTo", "*", "pub/sub channel"),
    ("replyTo", "result:of-another", "the result channel of another request"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG)
def test_wrong_fields_are_named(field: str, value: Any, words: str) -> None:
    """A wrong field gives a rejection that names it and says what it must be."""
    event = reject(**{field: value})

    assert event.field == field
    assert words in event.reason
    assert event.invocation_id == "sqs-1"


def test_a_rejection_reaches_the_sender() -> None:
    """The usable id and reply channel of a bad message are kept."""
    event = reject(requestId="req-1", memoryMb=1, replyTo="answers:me")

    assert (event.invocation_id, event.function_id) == ("req-1", "thumb")
    assert event.reply_to == "answers:me"


def test_own_result_channel_as_reply_is_not_told_twice() -> None:
    """`result:<own id>` is published anyway."""
    assert accept(requestId="req-1", replyTo="result:req-1").reply_to is None


def test_input_beside_a_stream() -> None:
    """What to do with an object goes beside it."""
    event = accept(input={"as": "csv"}, inputS3={"bucket": "big", "key": "k"})

    assert (bytes(event.input), event.input_s3) == (
        b'{"as": "csv"}',
        S3Object(bucket="big", key="k"),
    )


@pytest.mark.parametrize("body", ["", "5", "[]", '"text"', "null", "{", "NaN", "\ud800", "\x00"])
def test_what_is_no_object_is_unusable(body: str) -> None:
    """Nobody can be told about it: it goes to the dead stream with a reason."""
    assert isinstance(parse(body), Unusable)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", '"\\ud800"'])
def test_lax_json_still_names_its_sender(value: str) -> None:
    """What only lax readers take is rejected under the request id that it holds."""
    event = parse(f'{{"requestId":"req-1","functionId":"f","input":{value}}}')

    assert isinstance(event, InvocationRejected)
    assert (event.invocation_id, event.field) == ("req-1", "body")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_bounded(opening: str) -> None:
    """The deepest allowed input survives the log; one level more is rejected."""
    closing = "]" if opening == "[" else "}"

    def body(levels: int) -> str:
        nested = opening * levels + "1" + closing * levels
        return f'{{"functionId":"f","runtime":"go","s3Key":"k","input":{nested}}}'

    accepted = parse(body(NESTING_MAX - 1))
    assert isinstance(accepted, InvocationRequested)
    assert decode(encode(accepted)) is not None
    refused = parse(body(NESTING_MAX))
    assert isinstance(refused, InvocationRejected)
    assert refused.field == "input"
    assert isinstance(parse(body(100_000)), Unusable)


def test_brackets_in_strings_are_no_depth() -> None:
    """Text that looks like nesting is text."""
    assert isinstance(parse_fields(input='[{\\"' * 5_000), InvocationRequested)


@pytest.mark.parametrize("size", [EVENT_BYTES_MAX - 10_000, EVENT_BYTES_MAX, 1 << 20])
def test_an_event_never_exceeds_its_bound(size: int) -> None:
    """A message of any size gives an event that can be stored."""
    event = parse_fields(input="x" * size)

    assert not isinstance(event, Unusable)
    assert len(encode(event)) <= EVENT_BYTES_MAX
    if isinstance(event, InvocationRejected):
        assert event.field == "input"
        assert "S3" in event.reason


def test_large_env_vars_are_named() -> None:
    """The field that takes the room is named."""
    assert reject(envVars={"A": "x" * EVENT_BYTES_MAX}).field == "envVars"


NAMES = st.sampled_from(
    ["requestId", "functionId", "runtime", "handler", "s3Key", "s3Bucket", "codeSha256",
     "memoryMb", "timeoutMs", "input", "inputS3", "envVars", "network", "reuse", "replyTo", "other"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES))
def test_any_fields_never_raise(fields: dict[str, Any]) -> None:
    """Any JSON in any field gives a value, storable and the same after storing."""
    event = parse(json.dumps({**LEAST, **fields}))

    if not isinstance(event, Unusable):
        assert encode(decode(encode(event))) == encode(event)


@given(st.text())
def test_any_text_never_raises(body: str) -> None:
    """Text that is hardly ever JSON gives a value."""
    parse(body)


@given(st.text(alphabet='{}[]":,\\ue0d8 1.-+tfnull\ud800\x00', max_size=60))
def test_almost_json_never_raises(body: str) -> None:
    """Text that is almost JSON gives a value."""
    parse(body)
    parse(f'{{"requestId":"r","functionId":"f","input":{body}}}')


@given(st.binary(max_size=200), st.integers(0, 200))
def test_damaged_messages_never_raise(noise: bytes, place: int) -> None:
    """A good message with bytes replaced gives a value."""
    body = json.dumps({**LEAST, "requestId": "req-1", "envVars": {"A": "b"}}).encode()
    parse((body[:place] + noise + body[place + len(noise) :]).decode(errors="surrogateescape"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", False),
        (7, False),
        (None, False),
    ],
)
def test_a_traceparent_is_kept_or_passed_over(given: object, kept: bool) -> None:
    """What is no traceparent changes nothing else: tracing must break nothing."""
    assert accept(traceparent=given).traceparent == (given if kept else None)
