"""What every kind of sandbox has from the moment its bootstrap has connected.

Not here: how it was started, how it ends (`docker_sandbox`, `bubblewrap_sandbox`).
"""

from executor.doorway import Connections
from executor.exchange import Exchange
from executor.furnish import furnish
from executor.readings import Meter
from executor.sandbox import SandboxSpec
from executor.sandbox_folder import SandboxFolder


class Attached:
    """The executor's ends of one sandbox; see `sandbox.Sandbox` for what each is."""

    def __init__(
        self,
        spec: SandboxSpec,
        folder: SandboxFolder,
        connections: Connections,
        exchange: Exchange | None = None,
    ) -> None:
        """`exchange` where the folder is not seen at the usual place inside."""
        self.id = folder.id
        self.spec = spec
        self.control = connections.control
        self.logs = connections.logs
        self.listener = connections.listener
        self.pid = connections.pid
        self.meter = Meter(connections.pid)
        self.exchange = exchange or Exchange(folder)
        self._folder = folder

    def furnish(self, spec: SandboxSpec) -> None:
        """See `sandbox.Sandbox`."""
        furnish(self._folder.task, self.pid, spec, self.spec.limits.memory_mb)
        self.spec = spec

    def _detach(self) -> None:
        """Close what leads to it; may be called again."""
        self.control.close()
        self.logs.close()
        if self.listener is not None:
            self.listener.close()
        self.exchange.close()
