"""Sends the load at a steady pace and hears what is announced: the callers of a run.

Past the links: what a caller does is not what is tested here. Not here: what is sent (`load`).
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import redis
from botocore.exceptions import BotoCoreError, ClientError

from tests.chaos.load import Sending
from tests.e2e.client import Client

_BATCH_MAX = 10
_APPEND_ONCE = """
if redis.call('SET', KEYS[1], 1, 'NX') then redis.call('XADD', KEYS[2], '*', 'event', ARGV[1]) end
"""


class Sender:
    """A thread that sends; `sent` is what the stack must answer for."""

    def __init__(self, client: Client, load: Iterator[Sending], *, rate: float, at_once: int):
        self._client = client
        self._load = load
        self._rate = rate  # sendings a second, where the stack keeps up
        self._at_once = at_once  # without a result
        self.sent: list[Sending] = []
        self.duplicates = 0
        self._later: deque[tuple[int, Sending]] = deque()
        self._answers = 0
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(1, "sender")
        self._running: Future[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._running = self._threads.submit(self._run)

    def check(self) -> None:
        """Raise what ended it, if anything did."""
        assert self._running is not None
        if self._running.done():
            self._running.result()

    def stop(self) -> None:
        """Send what was to be sent again, and no more."""
        self._stop.set()
        self._threads.shutdown()
        self.check()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            due = int((time.monotonic() - began) * self._rate) - len(self.sent)
            room = self._at_once - (self._answers - self._count_results())
            count = min(due, room, _BATCH_MAX)
            if count <= 0:
                self._stop.wait(0.02)
                continue
            self._send([next(self._load) for _ in range(count)])
        self._send_batch([sending for _, sending in self._later])

    def _count_results(self) -> int:
        """How many there are; more than there can be while Redis is away: then nothing waits."""
        with suppress(redis.RedisError):
            return int(self._client.redis.xlen("{hearth:0}:publications"))
        return 0

    def _send(self, sendings: list[Sending]) -> None:
        messages: list[Sending] = []
        for sending in sendings:
            if sending.stream:
                self._append(sending)
            else:
                messages.append(sending)
            self._answers += bool(sending.statuses)
            for distance in sending.again:
                self._later.append((len(self.sent) + distance, sending))
            self.sent.append(sending)
        due = [one for one in self._later if one[0] <= len(self.sent)]
        for one in due:
            self._later.remove(one)
        self.duplicates += len(due)
        self._send_batch([*messages, *[sending for _, sending in due]])

    def _send_batch(self, messages: list[Sending]) -> None:
        for start in range(0, len(messages), _BATCH_MAX):
            entries = [
                {"Id": str(place), "MessageBody": one.body}
                for place, one in enumerate(messages[start : start + _BATCH_MAX])
            ]
            answer = self._client.sqs.send_message_batch(
                QueueUrl=self._client.queue_url, Entries=entries
            )
            assert not answer.get("Failed"), answer

    def _append(self, sending: Sending) -> None:
        """Once, however often Redis is killed meanwhile."""
        keys = [f"{{hearth:0}}:chaos:{sending.id}", f"{{hearth:0}}:{sending.stream}"]
        retry(lambda: self._client.redis.eval(_APPEND_ONCE, 2, *keys, sending.body))


class Listener:
    """A thread that hears what is announced, as far as pub/sub tells."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heard: dict[str, list[bytes]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(redis.RedisError, OSError):
                connection: Any = redis.Redis(port=self._port, socket_timeout=10)
                with connection, connection.pubsub() as pubsub:
                    pubsub.psubscribe("result:*")
                    self._listen(pubsub)
            self._stop.wait(0.05)

    def _listen(self, pubsub: Any) -> None:
        while not self._stop.is_set():
            message = pubsub.get_message(ignore_subscribe_messages=True, timeout=0.2)
            if message is not None:
                request_id = json.loads(message["data"])["requestId"]
                self.heard.setdefault(request_id, []).append(message["data"])


def retry(call: Callable[[], Any], seconds: float = 60) -> Any:
    """Until the server takes it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (redis.RedisError, BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
