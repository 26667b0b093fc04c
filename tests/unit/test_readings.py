"""The meter on made-up trees of /proc and cgroups: v1, v2, hybrid, containers, nothing at all."""

from pathlib import Path

import pytest

from executor.cgroups import read_own_cgroups
from executor.readings import Meter
from shared.events import Accuracy

PID = 42
OOM_1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
OOM_2 = "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\n"


class Machine:
    """A tree that looks like a machine; `meter` opens the meter of its process 42."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        self._mounts: list[str] = ["22 1 0:20 / /proc rw - proc proc rw"]
        self.write("proc/42/status", "VmHWM:\t100 kB\n")
        self.write("proc/42/stat", "42 (python3) S 1")
        self.write("proc/42/io", "read_bytes: 0\n")
        self.write("proc/42/net/dev", "eth0: 1 2 3\n")
        self.link_network("proc/self", "net:[1]")
        self.link_network("proc/42", "net:[2]")

    def write(self, path: str, text: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def link_network(self, process: str, network: str) -> None:
        place = self.root / process / "ns/net"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(network)

    def mount(self, folder: str, kind: str, options: str, root: str = "/") -> None:
        target = str(self.root / folder).replace(" ", "\\040")
        self._mounts.append(
            f"3{len(self._mounts)} 1 0:30 {root} {target} rw - {kind} {kind} {options}"
        )
        self.write("proc/self/mountinfo", "\n".join(self._mounts) + "\n")

    def place(self, mine: str, theirs: str) -> None:
        self.write("proc/self/cgroup", mine)
        self.write("proc/42/cgroup", theirs)

    def meter(self) -> Meter:
        return Meter(PID, self.proc)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def version_1(machine: Machine) -> Machine:
    """Controllers mounted in two ways, as Debian and Amazon Linux do."""
    machine.mount("cg/memory", "cgroup", "rw,memory")
    machine.mount("cg/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct")
    machine.mount("cg/freezer", "cgroup", "rw,freezer")
    machine.place(
        "3:freezer:/\n2:cpu,cpuacct:/\n1:memory:/mine\n",
        "3:freezer:/d/x\n2:cpu,cpuacct:/d/x\n1:memory:/d/x\n",
    )
    machine.write("cg/memory/d/x/memory.max_usage_in_bytes", "999")
    machine.write("cg/memory/d/x/memory.usage_in_bytes", "500\n")
    machine.write("cg/memory/d/x/memory.oom_control", OOM_1)
    machine.write("cg/cpu,cpuacct/d/x/cpuacct.usage", "9\n")
    machine.write("cg/cpu,cpuacct/d/x/cpuacct.usage_user", "7\n")
    machine.write("cg/cpu,cpuacct/d/x/cpu.cfs_quota_us", "")
    machine.write("cg/cpu,cpuacct/d/x/cpu.cfs_period_us", "")
    machine.write("cg/freezer/d/x/freezer.state", "")
    return machine


@pytest.fixture
def version_2(machine: Machine) -> Machine:
    machine.mount("cg", "cgroup2", "rw")
    machine.place("0::/hearth\n", "0::/d/x\n")
    machine.write("cg/d/x/memory.current", "500\n")
    machine.write("cg/d/x/memory.peak", "999")
    machine.write("cg/d/x/memory.events", OOM_2)
    machine.write("cg/d/x/cpu.stat", "usage_usec 7\n")
    machine.write("cg/d/x/cpu.max", "")
    machine.write("cg/d/x/cgroup.freeze", "")
    return machine


def test_version_1(version_1: Machine) -> None:
    """The peak is reset first; what is not there is left out."""
    meter = version_1.meter()

    assert ("cgroup1", Accuracy.EXACT, 3) == (meter.source, meter.accuracy, meter.oom_kills())
    expected = {
        "memory.usage_in_bytes": "500\n",
        "memory.oom_control": OOM_1,
        "cpuacct.usage": "9\n",
        "cpuacct.usage_user": "7\n",
        "io": "read_bytes: 0\n",
        "net/dev": "eth0: 1 2 3\n",
    }
    assert expected == meter.before()
    # A plain file keeps the rest of what 0 overwrote.
    assert {**expected, "memory.max_usage_in_bytes": "099"} == meter.after()
    assert {"cpuacct.usage": "9\n", "cpuacct.usage_user": "7\n"} == meter.previous
    assert ("500\n", "9\n") == meter.sample()
    meter.close()


def test_unified_hierarchy_beside_version_1(version_1: Machine) -> None:
    """It tells CPU time in one file instead of three, and pressure."""
    version_1.mount("cg/unified", "cgroup2", "rw")
    version_1.place(
        "3:freezer:/\n2:cpu,cpuacct:/\n1:memory:/mine\n0::/\n",
        "3:freezer:/d/x\n2:cpu,cpuacct:/d/x\n1:memory:/d/x\n0::/d/x\n",
    )
    version_1.write("cg/unified/d/x/cpu.stat", "usage_usec 9\n")
    version_1.write("cg/unified/d/x/io.pressure", "full total=1\n")
    meter = version_1.meter()

    readings = meter.before()
    assert {"unified/cpu.stat", "io.pressure"} <= set(readings)
    assert not {"cpuacct.usage", "cpuacct.usage_user"} & set(readings)
    assert ("500\n", "usage_usec 9\n") == meter.sample()
    meter.close()


def test_the_dearest_file_is_read_once_a_call(version_1: Machine) -> None:
    """What memory.stat said after a call is what the next one counts from."""
    stat = version_1.write("cg/memory/d/x/memory.stat", "total_pgfault 1\n")
    meter = version_1.meter()

    first = meter.before(), meter.after()
    stat.write_text("total_pgfault 2\n")
    second = meter.before(), meter.after()

    texts = [readings["memory.stat"] for readings in (*first, *second)]
    assert ["1", "1", "1", "2"] == [text.split()[1] for text in texts]
    meter.close()


def test_a_loopback_alone_is_read_once(version_1: Machine) -> None:
    """Without an interface of its own no byte can come or go."""
    heading = "Inter-| Receive\n face |bytes\n"
    version_1.write("proc/42/net/dev", heading + "    lo: 0 0\n")
    meter = version_1.meter()
    version_1.write("proc/42/net/dev", "gone")

    assert heading + "    lo: 0 0\n" == meter.before()["net/dev"] == meter.after()["net/dev"]
    meter.close()


def test_version_1_control(version_1: Machine) -> None:
    """Limits and the freezer are written where the controllers are."""
    folder = version_1.root / "cg/cpu,cpuacct/d/x"
    meter = version_1.meter()

    assert meter.limit_cpu(14_000, 20_000)
    assert meter.freeze()

    assert "14000" == (folder / "cpu.cfs_quota_us").read_text()
    assert "20000" == (folder / "cpu.cfs_period_us").read_text()
    assert "FROZEN" == (version_1.root / "cg/freezer/d/x/freezer.state").read_text()
    meter.close()


def test_version_2(version_2: Machine) -> None:
    meter = version_2.meter()

    assert ("cgroup2", Accuracy.EXACT, 2) == (meter.source, meter.accuracy, meter.oom_kills())
    assert {
        "cpu.stat", "memory.current", "memory.peak", "memory.events", "net/dev",
    } == set(meter.after())  # fmt: skip
    assert "memory.peak" not in meter.before()
    assert meter.limit_cpu(None, 20_000)
    assert "max 20000" == (version_2.root / "cg/d/x/cpu.max").read_text()
    assert meter.freeze()
    assert "1" == (version_2.root / "cg/d/x/cgroup.freeze").read_text()
    meter.close()


def test_version_2_before_6_12(version_2: Machine) -> None:
    """Where the peak cannot be reset, the process's own high-water mark is."""
    peak = version_2.root / "cg/d/x/memory.peak"
    peak.unlink()
    peak.symlink_to("/proc/self/status")  # can be read, refuses to be written
    version_2.write("proc/42/clear_refs", "")
    meter = version_2.meter()

    readings = meter.before()

    assert Accuracy.PROCESS_EXACT == meter.accuracy
    assert "VmHWM:\t100 kB\n" == readings["status"]
    assert "5" == (version_2.root / "proc/42/clear_refs").read_text()
    meter.close()


def test_nothing_can_be_reset(version_2: Machine) -> None:
    """Then the peak is that of a lifetime, and is declared as such."""
    peak = version_2.root / "cg/d/x/memory.peak"
    peak.unlink()
    peak.symlink_to("/proc/self/status")
    meter = version_2.meter()

    assert Accuracy.UPPER_BOUND == meter.accuracy
    meter.close()


def test_hybrid(version_1: Machine) -> None:
    """Version 2 mounted beside v1 holds no controllers: v1 is read."""
    version_1.mount("cg/unified", "cgroup2", "rw")
    version_1.place(
        "3:freezer:/\n2:cpu,cpuacct:/\n1:memory:/mine\n0::/\n",
        "3:freezer:/d/x\n2:cpu,cpuacct:/d/x\n1:memory:/d/x\n0::/d/x\n",
    )
    meter = version_1.meter()

    assert "cgroup1" == meter.source
    assert "memory.usage_in_bytes" in meter.after()
    meter.close()


@pytest.mark.parametrize("theirs", ["/hearth", "/", "/hearth/.."])
def test_shared_cgroup_is_not_its_own(version_2: Machine, theirs: str) -> None:
    """A cgroup that holds the executor too would count the executor: the process is read."""
    version_2.place("0::/hearth\n", f"0::{theirs.removesuffix('/..') or '/'}\n")
    version_2.write("cg/hearth/memory.current", "1")
    version_2.write("proc/42/clear_refs", "")
    meter = version_2.meter()

    assert ("process", Accuracy.PROCESS_EXACT) == (meter.source, meter.accuracy)
    assert {"stat", "status", "io", "net/dev"} == set(meter.before())
    assert meter.oom_kills() is None
    assert not meter.limit_cpu(1_000, 20_000)
    meter.close()


def test_seen_from_a_container(machine: Machine) -> None:
    """A mount that shows a part of the hierarchy: what lies outside of it cannot be read."""
    machine.mount("cg/with space", "cgroup", "rw,memory", root="/docker/me")
    machine.place("1:memory:/docker/me\n", "1:memory:/docker/me/x\n")
    expected = {"memory": machine.root / "cg/with space/x"}
    assert expected == read_own_cgroups(PID, machine.proc)

    machine.place("1:memory:/docker/me\n", "1:memory:/docker/other\n")
    assert {} == read_own_cgroups(PID, machine.proc)


def test_no_network_of_its_own(version_2: Machine) -> None:
    """Counters of the host's network would be everybody's."""
    version_2.link_network("proc/42", "net:[1]")
    meter = version_2.meter()

    assert "net/dev" not in meter.before()
    meter.close()


def test_process_is_gone(machine: Machine) -> None:
    """Opening and reading a process that is not there is no error."""
    machine.mount("cg", "cgroup2", "rw")
    machine.place("0::/hearth\n", "")
    meter = Meter(43, machine.proc)

    assert {} == meter.before() == meter.after()
    assert Accuracy.NONE == meter.accuracy
    meter.close()


def test_close(version_1: Machine) -> None:
    """A closed meter reads nothing, leaves no descriptor open and may be closed again."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    meter = version_1.meter()
    meter.close()
    meter.close()

    assert descriptors == len(list(Path("/proc/self/fd").iterdir()))
    assert {} == meter.before()
    assert (None, False, False) == (meter.oom_kills(), meter.freeze(), meter.limit_cpu(1, 1))
