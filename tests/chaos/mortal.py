"""An executor that dies whenever it calls one function: `python -m tests.chaos.mortal FUNCTION_ID`.

No function can do that from inside its sandbox; a mistake of ours that one function sets off could.
"""

import os
import signal
import sys

from cli.main import main
from executor.invocation import Invocation
from executor.loop import Executor
from executor.seat import Seat


def arm(function_id: str) -> None:
    """Put the trap into the call."""
    call = Executor._call

    def call_or_die(self: Executor, seat: Seat, invocation: Invocation) -> None:
        if invocation.request.function_id == function_id:
            os.kill(os.getpid(), signal.SIGKILL)
        call(self, seat, invocation)

    Executor._call = call_or_die  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(sys.argv[1])
    main(["run", "executor"])
