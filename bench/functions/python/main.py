"""Functions of known kinds, measured by bench/measure_functions.py. Standard library only.

Each takes {"size": number}: 1.0 is the usual input. Wall times are for one whole core.
"""

import hashlib
import json
import os
import random
import re
import socket
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

_TEXT = " ".join(f"word{n % 977} {n * 7919 % 104729}" for n in range(20_000))
_BLOCK = _TEXT.encode()[:65_536]


def _spin(count):
    total = 0
    for n in range(count):
        total += n * n % 7
    return total


# CPU


def primes(event, context):
    """A sieve in plain Python."""
    limit = int(500_000 * event["size"])
    sieve = bytearray([1]) * limit
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            for multiple in range(n * n, limit, n):
                sieve[multiple] = 0
    return sum(sieve) - 2


def digest(event, context):
    """SHA-256 over and over: native code."""
    state = _BLOCK
    for _ in range(int(800 * event["size"])):
        state = hashlib.sha256(_BLOCK + state).digest()
    return state.hex()


def serialise(event, context):
    """JSON out and in."""
    rows = [{"id": n, "name": f"name-{n}", "tags": [n, n + 1]} for n in range(8_000)]
    for _ in range(int(2 * event["size"])):
        rows = json.loads(json.dumps(rows))
    return len(rows)


def words(event, context):
    """Regular expressions and counting."""
    counts = {}
    for _ in range(int(3 * event["size"])):
        for word in re.findall(r"[a-z]+\d+", _TEXT):
            counts[word] = counts.get(word, 0) + 1
    return len(counts)


def compress(event, context):
    """zlib, native code."""
    return len(zlib.compress(_TEXT.encode() * max(int(4 * event["size"]), 1), 6))


def matrix(event, context):
    """A matrix product in plain Python."""
    n = int(85 * event["size"])
    a = [[i * j % 7 for j in range(n)] for i in range(n)]
    columns = list(zip(*a, strict=True))
    return sum(sum(x * y for x, y in zip(row, column)) for row in a for column in columns)


def tiny(event, context):
    """What most small APIs do: parse, look, answer; two milliseconds."""
    return _spin(int(25_000 * event["size"]))


# memory


def fill(event, context):
    """48 MiB written once."""
    block = bytearray(int(48 * event["size"]) << 20)
    block[::4096] = b"x" * len(block[::4096])
    return len(block)


def sort(event, context):
    """Numbers made and sorted."""
    generator = random.Random(7)
    numbers = [generator.random() for _ in range(int(90_000 * event["size"]))]
    numbers.sort()
    return numbers[0]


def index(event, context):
    """A dictionary of many small objects."""
    table = {f"key-{n}": (n, str(n)) for n in range(int(70_000 * event["size"]))}
    return sum(value[0] for value in table.values())


# mixed: CPU, then waiting


def thumbnail(event, context):
    """Fetched (waits), worked on, stored (waits)."""
    time.sleep(0.045)
    result = zlib.compress(_BLOCK * 10, 6)
    time.sleep(0.030)
    return len(result)


def report(event, context):
    """Three queries with work between them."""
    total = 0
    for _ in range(3):
        time.sleep(0.020)
        total += _spin(150_000)
    return total


def files(event, context):
    """Written to /tmp and read again: CPU of the kernel."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for n in range(int(250 * event["size"])):
            path = os.path.join(folder, str(n))
            with open(path, "wb") as file:
                file.write(_BLOCK)
            with open(path, "rb") as file:
                file.read()
    return True


# I/O: hardly any CPU


def wait(event, context):
    """One long answer of somebody else."""
    time.sleep(0.120)
    return True


def chatty(event, context):
    """Forty short questions, one after another."""
    for _ in range(40):
        time.sleep(0.003)
        json.loads(json.dumps({"key": "value", "list": list(range(50))}))
    return True


def _serve(peer, count):
    for _ in range(count):
        request = peer.recv(65_536)
        time.sleep(0.004)
        peer.sendall(request)
    peer.close()


def echo(event, context):
    """A socket with a slow other end, kilobytes each way."""
    here, there = socket.socketpair()
    thread = threading.Thread(target=_serve, args=(there, 20))
    thread.start()
    for _ in range(20):
        here.sendall(_BLOCK[:8192])
        json.dumps(list(here.recv(65_536)))
    thread.join()
    here.close()
    return True


def gather(event, context):
    """Eight waits at once, then a little work on each."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: (time.sleep(0.060), _spin(15_000)), range(8)))
    return True


# several threads or processes that work at once


def _digest_many(count):
    state = b""
    for _ in range(count):
        state = hashlib.sha256(_BLOCK * 4 + state).digest()
    return state


def threads2(event, context):
    """Two threads of native code."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_digest_many, [int(260 * event["size"])] * 2))
    return True


def threads4(event, context):
    """Four threads that compress."""
    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(lambda n: len(zlib.compress(_BLOCK * 4 + bytes(n), 6)), range(8)))


def processes2(event, context):
    """Two children that compute in plain Python."""
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            _spin(int(500_000 * event["size"]))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return True


def half_parallel(event, context):
    """Alone at first, then two threads."""
    _digest_many(150)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_digest_many, [150] * 2))
    return True


# bursts


def bursts(event, context):
    """Six bursts of some 8 ms with pauses between."""
    for _ in range(6):
        _spin(110_000)
        time.sleep(0.015)
    return True


def ticks(event, context):
    """Thirty bursts of one millisecond."""
    for _ in range(30):
        _spin(13_000)
        time.sleep(0.005)
    return True


def burst_then_wait(event, context):
    """One burst of some 30 ms, then a long wait."""
    _spin(800_000)
    time.sleep(0.100)
    return True


# what it takes depends on the input


def linear(event, context):
    """In proportion to the input."""
    return _spin(int(500_000 * event["size"]))


def table(event, context):
    """Memory and time by the size of the input."""
    n = int(40_000 * event["size"])
    rows = sorted((n * 7919 % 104729, str(n)) for n in range(n))
    return len({key: value for key, value in rows})
