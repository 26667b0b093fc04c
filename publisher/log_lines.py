"""The lines that Lambda writes around a function's output: START, END, REPORT. Pure.

Not here: the output itself, which the executor kept. They are made with the document and not with
the invocation: only now is it known what the invocation used, and nobody waits for them.

Max Memory Used is the peak that was measured, and left out where none was.
"""

from shared.events import Accuracy, InvocationTuned, Outcome, Start

_MIB = 1 << 20
_STATUS = {
    Outcome.FAILED: "error",
    Outcome.TIMED_OUT: "timeout",
    Outcome.OUT_OF_MEMORY: "error",
    Outcome.CRASHED: "error",
}


def frame_logs(event: InvocationTuned) -> str:
    """The output of an invocation between its lines; nothing around what never ran."""
    execution = event.execution
    written = execution.answer.logs
    if execution.start is Start.NONE:
        return written
    break_line = "" if not written or written.endswith("\n") else "\n"
    return (
        f"START RequestId: {event.invocation_id} Version: $LATEST\n"
        f"{written}{break_line}"
        f"END RequestId: {event.invocation_id}\n"
        f"{format_report(event)}\n"
    )


def format_report(event: InvocationTuned) -> str:
    """The REPORT line: fields in Lambda's order, each ended by a tab.

    Init is billed, as Lambda does.
    """
    execution, profile = event.execution, event.profile
    run_us, init_us = execution.phases.run_us, execution.phases.init_us
    fields = [
        f"REPORT RequestId: {event.invocation_id}",
        f"Duration: {run_us / 1000:.2f} ms",
        f"Billed Duration: {-(-(run_us + init_us) // 1000)} ms",
    ]
    if execution.limits is not None:
        fields.append(f"Memory Size: {execution.limits.memory_mb} MB")
    if profile.memory_accuracy is not Accuracy.NONE:
        fields.append(f"Max Memory Used: {-(-profile.memory_peak_bytes // _MIB)} MB")
    if execution.start is Start.COLD:
        fields.append(f"Init Duration: {init_us / 1000:.2f} ms")
    if execution.outcome in _STATUS:
        fields.append(f"Status: {_STATUS[execution.outcome]}")
        if execution.answer.failure is not None:
            # The function chose it: it must not look like a field or a line of its own.
            fields.append(f"Error Type: {' '.join(execution.answer.failure.type.split())}")
    return "".join(f"{field}\t" for field in fields)
