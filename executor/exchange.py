"""Where files pass between the executor and one sandbox, without a mount or a variable a call.

Not here: what passes (`input_stream`, `output_files`).

Neither place depends on the function, so a sandbox can have them before its function is known.
"""

import os

from executor.input_stream import FIFO_NAME
from executor.output_folder import OutputFolder
from executor.sandbox_folder import SandboxFolder

RUN_INSIDE = "/run/hearth"
OUTPUT_INSIDE = "/mnt/output"
# Of every process in a sandbox: the same from call to call.
ENVIRONMENT = {"INPUT_FILE": f"{RUN_INSIDE}/{FIFO_NAME}", "OUTPUT_DIR": OUTPUT_INSIDE}


class Exchange:
    """The executor's end."""

    def __init__(self, folder: SandboxFolder, run_inside: str = RUN_INSIDE) -> None:
        self.own = folder.path  # seen by nobody but the executor
        self.run = folder.run  # seen inside, and only the executor makes anything in it
        self.input_inside = os.path.join(run_inside, FIFO_NAME)  # noqa: PTH118 - not of this host
        self.output = OutputFolder.open(folder.output)

    def close(self) -> None:
        """Let go of it; may be called again."""
        self.output.close()
