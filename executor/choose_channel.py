"""Which way the executor talks to a sandbox. Not here: the ways themselves."""

from executor.channel import Channel, FrameChannel
from executor.runtime_api_channel import RuntimeApiChannel
from executor.sandbox import Sandbox


def open_channel(sandbox: Sandbox) -> Channel:
    """The channel of a sandbox that has just started."""
    if sandbox.listener is None:
        return FrameChannel(sandbox.control)
    return RuntimeApiChannel(sandbox.control, sandbox.listener, sandbox.pid)
