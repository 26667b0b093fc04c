"""The executor's process: what it is built of, how it starts, drains and stops."""

import logging
import os
import resource
import threading
import time

from executor.background import Background
from executor.choose_sandbox import choose_factory
from executor.code_store import HOST_SHORTAGES, CodeStore
from executor.gauges import show
from executor.launch import Launcher
from executor.loop import STAGE, Executor
from executor.programs import Programs
from executor.sandbox import SandboxError, SandboxFactory
from executor.transfers import Transfers
from shared.aws import make_client
from shared.aws_calls import count_calls
from shared.backoff import Backoff
from shared.inbox import Inbox, LogUnavailableError
from shared.log import Log
from shared.logging import log_event
from shared.open_inbox import open_inbox
from shared.redis_inbox import make_consumer_name
from shared.settings import Settings
from shared.topology import REQUESTS

LOG = logging.getLogger(__name__)

_BACKGROUND_THREADS = 8
_CONNECTIONS_EACH = 10  # an invocation's input stream and output files; made when they are needed
_MEMORY_SHARE_OF_HOST = 0.8
_SHOW_SECONDS = 1.0


class _Attending:
    """Waits for the log while the sandboxes are served."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def wait(self, timeout: float) -> None:
        self._executor.attend_for(timeout)


def decide_memory_mb_max(settings: Settings) -> int:
    """What all sandboxes together may take: the setting, or most of the host."""
    host_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return settings.memory_budget_mb or int(host_bytes * _MEMORY_SHARE_OF_HOST) >> 20


def wait_for_factory(settings: Settings, stop: threading.Event) -> SandboxFactory | None:
    """The factory; Docker, where asked for by name, and room on the disk are waited for."""
    backoff = Backoff(STAGE, "sandbox")
    while not stop.is_set():
        try:
            factory, why = choose_factory(settings)
        except SandboxError as error:
            if settings.sandbox != "docker":
                raise
            backoff.wait(stop, error)
        except OSError as error:
            if error.errno not in HOST_SHORTAGES:
                raise
            backoff.wait(stop, error)
        else:
            backoff.reset()
            log_event(LOG, "sandbox.chosen", kind=factory.kind, why=why)
            return factory
    return None


def raise_descriptors_max() -> None:
    """A sandbox holds some twenty descriptors; the usual soft limit of 1,024 is for `select`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_inbox(settings: Settings) -> Inbox:
    """Where the executor's requests come from."""
    return open_inbox(settings, REQUESTS, make_consumer_name(STAGE), overlapped=True)


def build(settings: Settings, factory: SandboxFactory, inbox: Inbox) -> Executor:
    """Everything the executor is made of."""
    reaped = factory.reap()
    if reaped:
        log_event(LOG, "sandbox.reaped", count=reaped)
    connections = _BACKGROUND_THREADS + _CONNECTIONS_EACH * settings.sandboxes_max
    s3 = count_calls(make_client(settings, "s3", connections=connections), STAGE)
    background = Background(_BACKGROUND_THREADS, max(os.cpu_count() or 1, 2))
    code_store = CodeStore(settings, s3)
    launcher = Launcher(
        settings,
        factory,
        code_store,
        Log(settings.redis_address, settings.partitions),
        background,
        Transfers(settings, s3, background),
        Programs(code_store, factory.compile_go),
        decide_memory_mb_max(settings),
    )
    return Executor(settings, inbox, launcher, code_store, background)


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`, then finish what is under way, or hand it back after a while."""
    raise_descriptors_max()
    factory = wait_for_factory(settings, stop)
    if factory is None:
        return
    inbox = make_inbox(settings)
    executor = build(settings, factory, inbox)
    executor.meet_neighbours()
    attending = _Attending(executor)
    backoff = Backoff(STAGE, "redis")
    drained_at: float | None = None
    show_at = 0.0
    while True:
        if stop.is_set():
            drained_at = drained_at or time.monotonic() + settings.drain_seconds
            if not executor.under_way or time.monotonic() > drained_at:
                break
        if time.monotonic() >= show_at:
            show_at = time.monotonic() + _SHOW_SECONDS
            executor.supply.tend()
            show(executor.supply)
        try:
            executor.run_once(200 if stop.is_set() else 1_000, draining=stop.is_set())
            backoff.reset()
        except LogUnavailableError as error:
            backoff.wait(attending, error)
    inbox.close()
    executor.close()
    log_event(LOG, "executor.stopped", left=executor.under_way)
