"""The corpus: every attempt in one line, with how its invocation must end.

The attempts themselves are functions of the same name in `inside/`. To add one: the function, and a
line here. `calm` attempts share sandboxes and answer with what they got, which must be nothing;
`ends` ones have a sandbox of their own and end as the line says.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from shared.events import Runtime
from tests.contract.sandboxes import REAL_KINDS

OUTPUT_FILES = "Function.OutputFilesTooLarge"
PROTOCOL = "Sandbox.ProtocolViolation"
EXIT = "Runtime.ExitError"
MEMORY = "Sandbox.OutOfMemory"
TIMEOUT = "Sandbox.Timedout"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt and how it must end, on each kind of sandbox."""

    name: str
    runtime: Runtime = Runtime.PYTHON
    status: str = "SUCCESS"
    error: str | None = None  # the failure's type
    output: Any = None
    calm: bool = False
    message: dict[str, Any] = field(default_factory=dict)  # further fields
    gaps: dict[str, str] = field(default_factory=dict)  # kind -> why it is not contained there
    kinds: tuple[str, ...] = REAL_KINDS

    @property
    def id(self) -> str:
        return f"{self.runtime}.{self.name}"


def calm(name: str, runtime: Runtime = Runtime.PYTHON, **gaps: str) -> Attempt:
    """Everything is refused, and the sandbox goes on."""
    return Attempt(name=name, runtime=runtime, calm=True, gaps=gaps)


def ends(
    name: str, status: str, error: str | None = None, *, output: Any = None, **message: Any
) -> Attempt:
    """It ends like this."""
    return Attempt(name=name, status=status, error=error, output=output, message=message)


def node(attempt: Attempt) -> Attempt:
    """The same in Node.js."""
    return replace(attempt, runtime=Runtime.NODEJS)


def only(kind: str, attempt: Attempt) -> Attempt:
    """Where the kinds end differently."""
    return replace(attempt, kinds=(kind,))


HOST_USR = "the sandbox is shown the host's /usr"

ATTEMPTS = (
    # Files.
    calm("files.other_code"),
    calm("files.code_cache"),
    calm("files.shadow"),
    calm("files.host_file"),
    calm("files.links"),
    calm("files.output_links"),
    calm("files.proc_writes"),
    calm("files.proc_reads"),
    calm("files.oom_score"),
    calm("files.other_root"),
    calm("files.sys_writes"),
    calm("files.devices"),
    calm("files.self_exe"),
    calm("files.run_folder"),
    calm("files.sockets"),
    calm("files.setuid_programs"),
    calm("files.root_identity"),
    calm("files.host_programs", bubblewrap=HOST_USR),
    # The kernel.
    calm("kernel.mounts"),
    calm("kernel.change_root"),
    calm("kernel.namespaces"),
    calm("kernel.other_processes"),
    calm("kernel.host_signals"),
    calm("kernel.machine"),
    calm("kernel.large_interfaces"),
    calm("kernel.keyring"),
    calm("kernel.clock"),
    calm("kernel.names"),
    calm("kernel.priority"),
    calm("kernel.handles"),
    calm("kernel.odd_sockets"),
    calm("kernel.privileges"),
    # The network.
    calm("network.host_services"),
    calm("network.metadata"),
    calm("network.neighbours"),
    calm("network.internal_names"),
    calm("network.listen"),
    # The executor's sockets.
    ends("protocol.other_id", "CRASHED", PROTOCOL),
    ends("protocol.two_answers", "SUCCESS", output="first"),
    ends("protocol.ready_again", "CRASHED", PROTOCOL),
    ends("protocol.hello_again", "CRASHED", PROTOCOL),
    ends("protocol.call_of_its_own", "CRASHED", PROTOCOL),
    ends("protocol.unknown_kind", "CRASHED", PROTOCOL),
    ends("protocol.gigantic_body", "CRASHED", PROTOCOL),
    ends("protocol.gigantic_head", "CRASHED", PROTOCOL),
    ends("protocol.malformed_head", "CRASHED", PROTOCOL),
    ends("protocol.head_of_wrong_types", "CRASHED", PROTOCOL),
    ends("protocol.deep_head", "CRASHED", PROTOCOL),
    ends("protocol.deep_answer", "FAILED", "Runtime.MarshalError"),
    ends("protocol.answer_that_is_no_json", "FAILED", "Runtime.MarshalError"),
    ends("protocol.endless_frames", "CRASHED", PROTOCOL),
    ends("protocol.endless_trickle", "TIMEOUT", TIMEOUT, timeoutMs=1_500),
    ends("protocol.large_answer", "FAILED", "Function.ResponseSizeTooLarge"),
    ends("protocol.fake_exit", "FAILED", MEMORY),
    ends("protocol.gigantic_failure", "FAILED", "E" * 200),
    ends("protocol.close_control", "CRASHED", EXIT),
    ends("protocol.shutdown_logs", "SUCCESS", output="answered"),
    ends("protocol.descriptors_sent_along", "SUCCESS", output="answered"),
    ends("protocol.late_frames", "SUCCESS", output="answered"),
    ends("protocol.flood_after_answer", "SUCCESS", output="answered"),
    *(
        replace(
            ends("protocol.nothing", "CRASHED", PROTOCOL, envVars={"ATTEMPT_AT_INIT": name}),
            name=f"protocol.nothing-{name}",
        )
        for name in ("answer", "ready_twice", "hello")
    ),
    # What all share.
    ends("exhaustion.fork_bomb", "TIMEOUT", TIMEOUT, timeoutMs=2_000),
    ends("exhaustion.thread_bomb", "SUCCESS"),
    ends("exhaustion.memory_bomb", "OUT_OF_MEMORY", MEMORY),
    ends("exhaustion.memory_bomb_in_child", "OUT_OF_MEMORY", MEMORY),
    ends("exhaustion.mapped_memory", "OUT_OF_MEMORY", MEMORY),
    ends("exhaustion.shared_memory", "OUT_OF_MEMORY", MEMORY),
    ends("exhaustion.fill_tmp", "SUCCESS", memoryMb=512),
    ends("exhaustion.fill_shm", "SUCCESS", memoryMb=512),
    ends("exhaustion.fill_output", "FAILED", OUTPUT_FILES),
    ends("exhaustion.fill_everywhere", "SUCCESS"),
    only("docker", ends("exhaustion.empty_files", "SUCCESS")),
    only("bubblewrap", ends("exhaustion.empty_files", "OUT_OF_MEMORY", MEMORY)),
    ends("exhaustion.descriptors", "SUCCESS"),
    ends("exhaustion.message_queues", "SUCCESS"),
    ends("exhaustion.hold_inotify", "SUCCESS"),
    ends("exhaustion.pending_signals", "SUCCESS", memoryMb=512),
    ends("exhaustion.zombies", "SUCCESS"),
    ends("exhaustion.daemons", "SUCCESS", output="answered"),
    ends("exhaustion.signals_to_all", "SUCCESS"),
    ends("exhaustion.stop_itself", "TIMEOUT", TIMEOUT, timeoutMs=1_500),
    ends("exhaustion.deaf_and_endless", "TIMEOUT", TIMEOUT, timeoutMs=1_500),
    ends("exhaustion.burn", "TIMEOUT", TIMEOUT, timeoutMs=1_500),
    ends("exhaustion.burn_after_answer", "SUCCESS", output="answered"),
    ends("exhaustion.flood_stdout", "TIMEOUT", TIMEOUT, timeoutMs=1_500),
    ends("exhaustion.flood_stderr", "TIMEOUT", TIMEOUT, timeoutMs=1_500),
    ends("exhaustion.dump_core", "CRASHED", EXIT),
    ends("exhaustion.crash", "CRASHED", EXIT),
    ends("exhaustion.leave", "CRASHED", EXIT),
    ends("exhaustion.unmap_everything", "SUCCESS", output=64),
    ends("exhaustion.many_polls", "SUCCESS", output=4_000),
    # Node.js.
    calm("files", Runtime.NODEJS),
    calm("sockets", Runtime.NODEJS),
    calm("names", Runtime.NODEJS),
    calm("setuid_programs", Runtime.NODEJS),
    node(ends("fork_bomb", "TIMEOUT", TIMEOUT, timeoutMs=3_000)),
    node(ends("memory_bomb", "OUT_OF_MEMORY", MEMORY)),
    node(ends("heap_bomb", "OUT_OF_MEMORY", MEMORY)),
    node(ends("other_id", "CRASHED", PROTOCOL)),
    node(ends("two_answers", "SUCCESS", output="first")),
    node(ends("flood_stdout", "TIMEOUT", TIMEOUT, timeoutMs=1_500)),
    node(ends("signals_to_all", "SUCCESS")),
    node(ends("daemons", "SUCCESS", output="answered")),
    node(ends("burn", "TIMEOUT", TIMEOUT, timeoutMs=1_500)),
)
# Two gigabytes take seconds to send: a test of its own looks at the executor meanwhile.
TWO_GIGABYTES = ends("protocol.two_gigabytes", "SUCCESS", timeoutMs=20_000)
