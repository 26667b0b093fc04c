"""The two handlers that every peer runs. Runs in the peers' environment.

A byte to a pipe says that one has ended: the same for all, a system call each.
"""

import asyncio
import os
import time

FIVE_MS = 0.005
_done = os.open(os.environ["PEERS_DONE"], os.O_WRONLY)


def noop() -> None:
    """Return at once."""
    os.write(_done, b".")


def five_ms() -> None:
    """Wait as if for something elsewhere."""
    time.sleep(FIVE_MS)
    os.write(_done, b".")


async def noop_async() -> None:
    """As `noop`."""
    os.write(_done, b".")


async def five_ms_async() -> None:
    """As `five_ms`."""
    await asyncio.sleep(FIVE_MS)
    os.write(_done, b".")
