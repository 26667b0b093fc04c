"""Kernel text to numbers: what one file says, or None where it cannot be believed.

Not here: which file answers which question (`figures`), what the figures mean (`profile`).
Every line that the kernel writes ends with a newline; a last line without one was cut off, and a
number that was cut off is a wrong number. So such a line is never read.
"""

DIGITS_MAX = 18  # a billion gigabytes, 31 years in nanoseconds: no counter has more

Table = dict[str, tuple[int, int]]
"""Device or interface -> bytes in (read, received) and bytes out (written, sent)."""


def parse_number(text: str) -> int | None:
    """The number that is all of `text` but the space around it."""
    digits = text.strip()
    if len(digits) <= DIGITS_MAX and digits.isdigit() and digits.isascii():
        return int(digits)
    return None


def parse_single(text: str) -> int | None:
    """The number in a file that has only one: memory.current, cpuacct.usage."""
    return parse_number(text) if text.endswith("\n") else None


def parse_field(text: str, key: str) -> int | None:
    """The number in the line `key number`: cpu.stat, memory.stat, memory.events, /proc/<pid>/io."""
    # The profiler's most frequent step: `_find_value` and `parse_number` in one.
    prefix = key + " "
    start = 0 if text.startswith(prefix) else text.find("\n" + prefix) + 1 or -1
    end = text.find("\n", start) if start >= 0 else -1
    if end < 0:
        return None
    digits = text[start + len(prefix) : end].strip()
    if len(digits) <= DIGITS_MAX and digits.isdigit() and digits.isascii():
        return int(digits)
    return None


def parse_kilobytes(text: str, key: str) -> int | None:
    """Bytes in the line `key: number kB` of /proc/<pid>/status."""
    amount, _, unit = _find_value(text, key + ":").strip().partition(" ")
    kilobytes = parse_number(amount) if unit == "kB" else None
    return None if kilobytes is None else kilobytes * 1024


def parse_ticks(text: str) -> tuple[int, int] | None:
    """User and system ticks of /proc/<pid>/stat, with the children that were waited for."""
    numbers = _parse_stat(text, 14, 15, 16, 17)
    if numbers is None:
        return None
    user, system, children_user, children_system = numbers
    return user + children_user, system + children_system


def parse_faults(text: str) -> tuple[int, int] | None:
    """Minor and major page faults of /proc/<pid>/stat, with the children that were waited for."""
    numbers = _parse_stat(text, 10, 11, 12, 13)
    return None if numbers is None else (numbers[0] + numbers[1], numbers[2] + numbers[3])


def parse_children_faults(text: str) -> tuple[int, int] | None:
    """Minor and major page faults of the children that were waited for alone."""
    numbers = _parse_stat(text, 11, 13)
    return None if numbers is None else (numbers[0], numbers[1])


def parse_threads(text: str) -> int | None:
    """Threads, of /proc/<pid>/stat."""
    numbers = _parse_stat(text, 20)
    return None if numbers is None else numbers[0]


def parse_schedstat(text: str) -> tuple[int, int] | None:
    """Nanoseconds on a CPU and ready but not on one, of /proc/<pid>/schedstat: its first thread."""
    words = text.split()
    if len(words) != 3 or not text.endswith("\n"):
        return None
    running, ready = parse_number(words[0]), parse_number(words[1])
    return None if running is None or ready is None else (running, ready)


def parse_pressure(text: str) -> int | None:
    """Microseconds in the line `full` of a pressure file. `some` may be there alone."""
    _, found, total = _find_value(text, "full ").partition("total=")
    return parse_number(total) if found else None


def parse_block_1(text: str) -> Table | None:
    """blkio.throttle.io_service_bytes: `8:0 Read 4096` and so on; its end is the line of totals."""
    lines = text.splitlines()
    if not (text.endswith("\n") and lines and lines[-1].startswith("Total ")):
        return None
    table: Table = {}
    for line in lines[:-1]:
        device, _, rest = line.partition(" ")
        operation, _, amount = rest.partition(" ")
        number = parse_number(amount)
        if number is None:
            return None
        read, written = table.get(device, (0, 0))
        if operation == "Read":
            table[device] = (number, written)
        elif operation == "Write":
            table[device] = (read, number)
    return table


def parse_block_2(text: str) -> Table | None:
    """io.stat: `8:0 rbytes=4096 wbytes=0 ...`.

    Some kernels write an idle device without figures and without the end of its line.
    """
    if text and not text.endswith("\n"):
        return None
    table: Table = {}
    device = ""
    amounts: dict[str, int] = {}
    for word in text.split():
        key, equals, amount = word.partition("=")
        if not equals:
            device, amounts = word, {}
            continue
        number = parse_number(amount)
        if number is None:
            return None
        amounts[key] = number
        if "rbytes" in amounts and "wbytes" in amounts:
            table[device] = (amounts["rbytes"], amounts["wbytes"])
    return table


def parse_interfaces(text: str, left_out: str = "lo") -> Table | None:
    """/proc/<pid>/net/dev without the loopback: two lines of heading, then a line each."""
    lines = text.splitlines()
    if len(lines) < 2 or not text.endswith("\n"):
        return None
    table: Table = {}
    for line in lines[2:]:
        name, _, rest = line.partition(":")
        columns = rest.split()
        if len(columns) < 16:
            return None
        received, sent = parse_number(columns[0]), parse_number(columns[8])
        if received is None or sent is None:
            return None
        if name.strip() != left_out:
            table[name.strip()] = (received, sent)
    return table


def _parse_stat(text: str, *fields: int) -> list[int] | None:
    """Fields of /proc/<pid>/stat, as proc(5) numbers them.

    The program's name may hold spaces and brackets; fields are counted behind its last bracket.
    """
    words = text.rpartition(")")[2].split(" ")
    if len(words) < 21 or not text.endswith("\n"):
        return None
    numbers = [parse_number(words[field - 2]) for field in fields]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(fields) else None


def _find_value(text: str, prefix: str) -> str:
    """What follows `prefix` at the start of a line, to its end; empty without such a line."""
    start = 0 if text.startswith(prefix) else text.find("\n" + prefix) + 1
    if start == 0 and not text.startswith(prefix):
        return ""
    end = text.find("\n", start)
    return text[start + len(prefix) : end] if end >= 0 else ""
