"""Hosts of their own for the tests: network namespaces that are wired to this one, and cut off."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from local.stack import Stack
from tests.requirements import need


class Host:
    """A network namespace with one cable, whose end here has the address that it knows us by."""

    def __init__(self, number: int) -> None:
        # Names and addresses that no other run on this machine has.
        self._name = f"hearth-{os.getpid()}-{number}"
        self._cable = f"hth{os.getpid()}{number}"[-15:]
        self._net = f"10.{180 + number}.{os.getpid() >> 6 & 255}"

    @property
    def outside(self) -> str:
        """The address of this end of the cable."""
        return self._address(1)

    @property
    def inside(self) -> str:
        """The address of the host."""
        return self._address(2)

    def make(self) -> None:
        """Lay the cable."""
        run("ip", "netns", "add", self._name)
        far = f"{self._cable[-14:]}x"
        run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", far)
        run("ip", "link", "set", far, "netns", self._name)
        run("ip", "address", "add", f"{self.outside}/30", "dev", self._cable)
        run("ip", "link", "set", self._cable, "up")
        run("ip", "-n", self._name, "address", "add", f"{self.inside}/30", "dev", far)
        run("ip", "-n", self._name, "link", "set", far, "up")
        run("ip", "-n", self._name, "link", "set", "lo", "up")

    def cut_off(self) -> None:
        """Pull the plug."""
        run("ip", "link", "set", self._cable, "down")

    def reconnect(self) -> None:
        """Plug it in again."""
        run("ip", "link", "set", self._cable, "up")

    def remove(self) -> None:
        """Take everything away, as far as it is there."""
        for command in (["link", "del", self._cable], ["netns", "del", self._name]):
            with suppress(subprocess.CalledProcessError):
                run("ip", *command)

    def start(self, stack: Stack, name: str) -> subprocess.Popen[bytes]:
        """Start a process of the stack there. Only the network differs, so no `ip netns exec`."""
        return stack.start_program(
            name, "tests.crash.enter", f"/run/netns/{self._name}", "cli.main", "run", name
        )

    def _address(self, last: int) -> str:
        return f"{self._net}.{(os.getpid() & 63) * 4 + last}"


def run(*command: str) -> None:
    """Run a command; its complaint is in the error."""
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts that reach this one and not each other."""
    need(os.geteuid() == 0, "network namespaces need root")
    need(shutil.which("ip") is not None, "iproute2 is missing: make setup")
    hosts = (Host(0), Host(1))
    try:
        try:
            for host in hosts:
                host.make()
        except subprocess.CalledProcessError as error:
            need(condition=False, reason=f"no network namespaces here: {error.stderr.strip()}")
        yield hosts
    finally:
        for host in hosts:
            host.remove()
