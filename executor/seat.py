"""A seat: one sandbox as the loop sees it, with the invocation that sits in it.

Says what is called, measures around it.
Not here: how calls get in and answers out (`channel`), what an ending means for the log (`loop`),
what a sandbox is (`sandbox`), what is kept of the function's output (`log_spool`).
"""

import time
from dataclasses import dataclass

import msgspec

from executor.channel import Channel
from executor.code_store import StoredCode
from executor.endings import Remains
from executor.frames import Frame, FrameError
from executor.input_stream import InputStream
from executor.invocation import Invocation
from executor.log_spool import LogSpool
from executor.pool import PoolKey
from executor.sandbox import Sandbox
from executor.series import NEVER_MS, Samples
from shared.events import Accuracy, Failure, Limits, Readings

_READ_BYTES = 1 << 18
_LOG_READS_MAX = 64  # a flood of output must not keep the loop from the others


class FailureHead(msgspec.Struct):
    """A failure as the bootstrap reports it."""

    type: str = "Unknown"
    message: str = ""
    stack: list[str] = []

    def as_failure(self) -> Failure:
        """The same as an event holds it."""
        return Failure(type=self.type, message=self.message, stack=tuple(self.stack))


class Head(msgspec.Struct):
    """What the loop reads of a frame's head; the rest is the bootstrap's own affair."""

    id: str = ""
    failure: FailureHead | None = None
    leaving: bool = False  # the bootstrap ends its process after this


def read_head(frame: Frame) -> Head:
    """The frame's head; raises FrameError for anything else than the bootstrap writes."""
    try:
        return msgspec.convert(frame.head, Head)
    except msgspec.ValidationError as error:
        raise FrameError(f"frame head: {error}") from error


@dataclass(slots=True, eq=False)
class Seat:
    """A started sandbox in the hands of the loop."""

    sandbox: Sandbox
    channel: Channel
    key: PoolKey
    limits: Limits
    code: StoredCode  # pinned for as long as the sandbox lives
    log: LogSpool
    region: str
    invocation: Invocation | None = None
    initialised: bool = False
    settles: bool = False  # its call is answered, its process not ready for the next one yet
    parting: bool = False  # its call is answered, its files under way
    frozen: bool = False
    generation: int = 0  # counts what the seat waited for, so that an old deadline is known as old
    hung_up: bool = False  # its bootstrap is gone or not believed any more
    stream: InputStream | None = None  # what the present call reads; ends before or with the seat
    _samples: Samples | None = None

    def send_init(self, invocation: Invocation) -> None:
        """Ask the bootstrap to load the function."""
        request = invocation.request
        self.invocation = invocation
        self.generation += 1
        head: dict[str, object] = {
            "handler": request.handler,
            "function_id": request.function_id,
            "memory_mb": request.memory_mb,
            "env": request.env_vars,
            "sandbox_id": self.sandbox.id,
            "region": self.region,
        }
        invocation.called_at_ns = time.monotonic_ns()
        self.channel.send(self.channel.encode_init(head))

    def limit_cpu(self) -> None:
        """Grant the CPU from here on; where that is not permitted, the limits say so."""
        limits = self.limits
        if not self.sandbox.meter.limit_cpu(limits.cpu_quota_us, limits.cpu_period_us):
            self.limits = msgspec.structs.replace(limits, cpu_quota_us=None)

    def freeze(self) -> None:
        """Stop what the function left running, until the next call."""
        self.frozen = self.sandbox.meter.freeze()

    def send_call(self, invocation: Invocation) -> None:
        """Take the first readings and send the event to the handler."""
        if self.frozen:
            self.frozen = not self.sandbox.meter.thaw()
        request = invocation.request
        self.invocation = invocation
        self.generation += 1
        self._samples = None
        invocation.readings_before = self.sandbox.meter.before()
        head: dict[str, object] = {
            "id": request.invocation_id,
            "deadline_ms": time.time_ns() // 1_000_000 + request.timeout_ms,
            "attempt": invocation.delivery.attempt,
            "function_id": request.function_id,
            "memory_mb": request.memory_mb,
        }
        if invocation.input is not None:
            head["input_path"] = self.sandbox.exchange.input_inside
            head["input_bytes"] = invocation.input.version.size_bytes
        message = self.channel.encode_call(head, bytes(request.input))
        invocation.called_at_ns = time.monotonic_ns()
        self.channel.send(message)

    def read_logs(self) -> bool:
        """Keep what the function wrote, up to the bound; False when the socket has ended."""
        for _ in range(_LOG_READS_MAX):
            try:
                data = self.sandbox.logs.recv(_READ_BYTES)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not data:
                return False
            self.log.write(data)
        return True

    def sample(self) -> int:
        """One more moment of the run's series; milliseconds until the next."""
        meter = self.sandbox.meter
        if not (meter.memory_of_series or meter.cpu_of_series):
            return NEVER_MS
        if self._samples is None:
            self._samples = Samples(meter.memory_of_series, meter.cpu_of_series)
        self._samples.add(self.elapsed_us(), *meter.sample())
        return self._samples.interval_ms

    def read_since_answer(self) -> Readings | None:
        """CPU files since the last answer, for a sandbox that goes; None where none was given."""
        meter = self.sandbox.meter
        before, after = meter.previous, meter.read_cpu()
        if not before or not after:
            return None
        return Readings(source=meter.source, accuracy=Accuracy.NONE, before=before, after=after)

    def elapsed_us(self) -> int:
        """How long the present invocation has been waited for."""
        assert self.invocation is not None
        return (time.monotonic_ns() - self.invocation.called_at_ns) // 1_000

    def remains(self, run_us: int) -> Remains:
        """What is left of the run: the second readings and the output so far.

        A seat that was not initialised ran nothing and has no readings.
        """
        invocation = self.invocation
        assert invocation is not None
        readings = None
        if self.initialised:
            meter = self.sandbox.meter
            readings = Readings(
                source=meter.source,
                accuracy=meter.accuracy,
                previous=meter.previous,  # of the call before: `after` is read next
                before=invocation.readings_before,
                after=meter.after(),
                series=self._samples.finish() if self._samples else None,
            )
        self.read_logs()  # after the readings: reading costs time, the peak does not wait
        run_us = run_us if self.initialised else 0
        return Remains(self.sandbox.id, run_us, readings, self.log.take())
