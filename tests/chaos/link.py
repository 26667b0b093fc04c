"""A fault-injecting TCP proxy: one link between a process and a server, whose weather can change.

It knows nothing of Redis, and of HTTP only where a request's head ends. Not here: which weather
comes when (`plan`).
"""

import random
import select
import socket
import struct
import threading
from contextlib import suppress

from tests.chaos.moods import FAIR, MADE_UP, Mood, Weather, make_answer, service_of

_CHUNK_BYTES = 1 << 16
_HEAD_BYTES_MAX = 1 << 16
_LOOK_SECONDS = 0.2  # at which a connection notices a change of the weather at the latest
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """Listens on a free port of the loopback and passes on to `port`, as the weather lets it."""

    def __init__(self, port: int, *, http: bool = False, seed: int = 0) -> None:
        self._target = ("127.0.0.1", port)
        self._http = http
        self._chance = random.Random(seed)
        self._weather = FAIR
        self._era = 0  # counts the weathers that change what was open before
        self._deaf_until_era = 0  # connections of earlier eras are never answered again
        self.struck = 0  # connections that a fault befell
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def set_weather(self, weather: Weather) -> None:
        """From now on; what is open is befallen too, by the moods that are about connections."""
        self._weather = weather
        if weather.mood in (Mood.REFUSE, Mood.RESET):
            self._era += 1
        if weather.mood is Mood.DEAF:
            self._era += 1
            self._deaf_until_era = self._era

    def close(self) -> None:
        """No more connections; those that are open end."""
        self._closing.set()
        self._listener.close()

    # -- connections -------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            weather = self._weather
            head = b""
            if self._http and weather is not FAIR:
                head = _read_head(client)
            if not self._befalls(weather, head):
                weather = FAIR
            else:
                self.struck += 1
            match weather.mood:
                case Mood.REFUSE:
                    _reset(client)
                case Mood.DEAF:
                    self._closing.wait()
                case mood if mood in MADE_UP:
                    client.sendall(make_answer(mood, service_of(head)))
                    _drain(client)
                case _:
                    self._connect(client, head, weather)

    def _befalls(self, weather: Weather, head: bytes) -> bool:
        if weather.mood in (Mood.PASS, Mood.RESET):
            return False
        if weather.service and head and service_of(head) != weather.service:
            return False
        return self._chance.random() < weather.share

    def _connect(self, client: socket.socket, head: bytes, weather: Weather) -> None:
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            _reset(client)
            return
        with server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.settimeout(None)
            server.sendall(head)
            self._pass_on(client, server, weather)

    def _pass_on(self, client: socket.socket, server: socket.socket, mine: Weather) -> None:
        """Until either side ends; `mine` is the weather that this connection was met by."""
        era = self._era
        other = {client: server, server: client}
        while not self._closing.is_set():
            if self._era > era:
                if era < self._deaf_until_era:
                    self._closing.wait()
                self.struck += 1
                _reset(client)
                return
            ready, _, _ = select.select([client, server], [], [], _LOOK_SECONDS)
            for source in ready:
                weather = mine if self._http else self._weather
                self._hold_up(weather)
                piece = source.recv(_CHUNK_BYTES)
                if source is server and weather.mood in (Mood.FORGET, Mood.HALVE):
                    self.struck += not self._http
                    half = len(piece) // 2 if weather.mood is Mood.HALVE else 0
                    client.sendall(piece[:half])
                    _reset(client)
                    return
                if not piece:
                    return
                other[source].sendall(piece)

    def _hold_up(self, weather: Weather) -> None:
        if weather.mood is Mood.SLOW:
            self._closing.wait(weather.delay_s)
        if weather.mood is Mood.STALL:
            while self._weather is weather and not self._closing.wait(_LOOK_SECONDS):
                pass


def _read_head(client: socket.socket) -> bytes:
    head = b""
    client.settimeout(5)
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES_MAX:
        piece = client.recv(_CHUNK_BYTES)
        if not piece:
            break
        head += piece
    client.settimeout(None)
    return head


def _drain(client: socket.socket) -> None:
    """Whoever still sends would be reset before it has read the answer."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1)
    while client.recv(_CHUNK_BYTES):
        pass


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    client.close()
