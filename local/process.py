"""The embedded default: a Redis and a stand-in for AWS, only where the settings name none.

Started on one thread that stays until the end. What it started ends with it, however it ends.
"""

import logging
import threading
from contextlib import ExitStack

from local.aws_server import aws_server
from local.child import Child, LocalError
from local.redis_server import redis_server, synchronise, wait_until_clients_left
from shared.logging import log_event
from shared.settings import Settings

LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_AGAIN_SECONDS = 0.5  # after a server that could not be started again
_LOOKS_PER_SYNCHRONISATION = 10


def run(settings: Settings, stop: threading.Event) -> None:
    """Start what is not named, look after it until `stop`, end it. Raises LocalError."""
    if not settings.embedded_redis:
        log_event(LOG, "local.stepped_aside", for_="redis", named="REDIS_URL or REDIS_HOST")
    if not settings.embedded_aws:
        named = "SQS_QUEUE_URL or AWS_ENDPOINT_URL"
        log_event(LOG, "local.stepped_aside", for_="aws", named=named)
    with ExitStack() as stack:
        servers = _enter(stack, settings)
        for server in servers:
            _start(server, stop)
        _look_after(servers, settings, stop)
        if settings.embedded_redis:
            wait_until_clients_left(settings)


def _enter(stack: ExitStack, settings: Settings) -> list[Child]:
    servers = []
    if settings.embedded_redis:
        servers.append(stack.enter_context(redis_server(settings)))
    if settings.embedded_aws:
        servers.append(stack.enter_context(aws_server(settings)))
    return servers


def _start(server: Child, stop: threading.Event) -> None:
    server.start(stop)
    log_event(LOG, "local.started", server=server.name, id=server.id)


def _look_after(servers: list[Child], settings: Settings, stop: threading.Event) -> None:
    looks = 0
    while not stop.wait(_LOOK_SECONDS):
        _restart_dead(servers, stop)
        looks += 1
        if settings.embedded_redis and looks % _LOOKS_PER_SYNCHRONISATION == 0:
            synchronise(settings)


def _restart_dead(servers: list[Child], stop: threading.Event) -> None:
    for server in servers:
        if not server.is_alive():
            level = logging.WARNING
            log_event(LOG, "local.died", level=level, server=server.name, id=server.id)
            try:
                _start(server, stop)
            except LocalError as error:
                # Killed while it was starting, or its disk is full. The other server runs, and
                # the messages in it are not given up for this one.
                fields = {"server": server.name, "reason": error}
                log_event(LOG, "local.not_restarted", level=logging.ERROR, **fields)
                stop.wait(_AGAIN_SECONDS)
