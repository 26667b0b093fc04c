"""One invocation's entries to one trace."""

from typing import Any

from msgspec.structs import replace

from shared.codec import encode
from shared.events import (
    Answer,
    Code,
    Event,
    Execution,
    Failure,
    InvocationFinished,
    InvocationProfiled,
    InvocationRequested,
    InvocationTuned,
    Outcome,
    Phases,
    Profile,
    ResultPublished,
    Runtime,
    S3Object,
    Start,
)
from traces.journey import Journey, Journeys, Parent, read_traceparent
from traces.spans import Span, build_trace, derive_span_id, derive_trace_id

BEGAN_MS = 1_750_000_000_000
SENDER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADER: dict[str, Any] = {"event_id": "e", "invocation_id": "req-1", "causation_id": "c"}
EXECUTION = Execution(
    function_id="thumb",
    outcome=Outcome.SUCCEEDED,
    requested_at_ms=BEGAN_MS,
    runtime=Runtime.PYTHON,
    start=Start.COLD,
    phases=Phases(
        queued_us=2_000, code_us=30_000, sandbox_us=40_000, init_us=8_000, run_us=100_000
    ),
)


def make_entries(
    traceparent: str | None = None, execution: Execution = EXECUTION
) -> list[tuple[str, bytes]]:
    """The entries of one invocation, in order, as the streams have them."""
    ended_ms = BEGAN_MS + 200
    events: list[tuple[int, Event]] = [
        (BEGAN_MS + 5, InvocationRequested(
            **HEADER, occurred_at_ms=BEGAN_MS, function_id="thumb", runtime=Runtime.PYTHON,
            handler="main.handler", code=Code(bucket="b", key="k"), memory_mb=128,
            timeout_ms=1_000, traceparent=traceparent,
        )),
        (BEGAN_MS + 201, InvocationFinished(
            **HEADER, occurred_at_ms=ended_ms, execution=execution)),
        (BEGAN_MS + 203, InvocationProfiled(
            **HEADER, occurred_at_ms=ended_ms, execution=execution, profile=Profile())),
        (BEGAN_MS + 206, InvocationTuned(
            **HEADER, occurred_at_ms=ended_ms, execution=execution, profile=Profile())),
        (BEGAN_MS + 220, ResultPublished(
            **HEADER, occurred_at_ms=BEGAN_MS + 219, function_id="thumb",
            outcome=execution.outcome, document=S3Object(bucket="out", key="r.json"),
            document_bytes=9,
        )),
    ]  # fmt: skip
    return [(f"{at_ms}-0", encode(event)) for at_ms, event in events]


def travel(entries: list[tuple[str, bytes]]) -> Journey:
    journeys = Journeys()
    *early, last = [journeys.note(*entry) for entry in entries]
    assert early == [None] * len(early)
    assert last is not None
    return last


def times_of(spans: list[Span]) -> dict[str, tuple[int, int]]:
    """Begin and end of each span in milliseconds since the acceptance."""
    began_us = BEGAN_MS * 1_000
    return {
        span.name: ((span.start_us - began_us) // 1_000, (span.end_us - began_us) // 1_000)
        for span in spans
    }


def test_each_phase_lies_where_it_was() -> None:
    """What comes before the code follows the request, what comes after ends with the ending."""
    spans = build_trace(travel(make_entries()))

    assert times_of(spans) == {
        "invocation thumb": (0, 220),
        "queued": (5, 7),
        "code": (7, 37),
        "wait": (37, 52),
        "sandbox": (52, 92),
        "init": (92, 100),
        "run": (100, 200),
        "profile": (201, 203),
        "tune": (203, 206),
        "publish": (206, 220),
    }


def test_all_spans_are_of_one_trace_that_the_request_id_names() -> None:
    """Sent again they are the same; the invocation is the parent of the rest."""
    first, again = (build_trace(travel(make_entries())) for _ in range(2))
    root_id = derive_span_id("req-1", "invocation")

    assert first == again
    assert {derive_trace_id("req-1")} == {span.trace_id for span in first}
    assert [None, *[root_id] * 9] == [span.parent_id for span in first]
    assert len(first) == len({span.span_id for span in first})


def test_a_senders_trace_is_continued() -> None:
    """The invocation becomes a child of the span that sent the message."""
    root, *_ = build_trace(travel(make_entries(SENDER)))

    assert 0x0AF7651916CD43DD8448EB211C80319C == root.trace_id
    assert 0xB7AD6B7169203331 == root.parent_id


def test_a_failure_is_an_error_of_the_invocation_and_its_run() -> None:
    """With the words that the sender got."""
    failed = replace(
        EXECUTION,
        outcome=Outcome.FAILED,
        answer=Answer(failure=Failure(type="ValueError", message="no")),
    )

    errors = {one.name: one.error for one in build_trace(travel(make_entries(execution=failed)))}

    assert {"invocation thumb", "run"} == {name for name, error in errors.items() if error}
    assert "ValueError: no" == errors["run"]


def test_a_trace_needs_no_beginning() -> None:
    """Who looks on from the middle builds what it saw; times never run backwards."""
    spans = build_trace(travel(make_entries()[3:]))

    assert {"invocation thumb", "run", "publish"} <= set(times_of(spans))
    assert all(span.start_us <= span.end_us for span in spans)


def test_what_never_ends_is_forgotten() -> None:
    """The oldest goes first; garbage is passed over."""
    journeys = Journeys(count_max=2)
    entries = make_entries()
    journeys.note(*entries[0])
    for number in range(2):
        journeys.note("1-0", entries[0][1].replace(b"req-1", b"other-%d" % number))

    whole = [journeys.note(*entry) for entry in entries[3:]]

    assert whole[-1] is not None
    assert 0 == whole[-1].requested_ms
    assert journeys.note("1-0", b"no event") is None


def test_a_traceparent_says_whether_it_is_sampled() -> None:
    """Zero ids are none, as W3C has it."""
    assert Parent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True) == (
        read_traceparent(SENDER)
    )
    unsampled = read_traceparent(SENDER[:-2] + "00")
    assert unsampled is not None
    assert not unsampled.is_sampled
    assert read_traceparent(SENDER.replace("b7ad6b7169203331", "0" * 16)) is None
    assert read_traceparent(None) is None
