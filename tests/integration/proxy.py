"""A bad network between a client and a server: TCP through a proxy with faults that can be switched.

Of threads and sockets alone, so that tests, tortures and people at a prompt can use it:

    with Proxy(("127.0.0.1", 1883), seed=1) as proxy:
        client.connect("127.0.0.1", proxy.port)
        proxy.down.swallow = True          # half-open: nothing comes back, and TCP sees no fault
        proxy.reset()                      # every connection ends by RST

Which faults there are follows the toxics of Shopify's toxiproxy.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Self

__all__ = ["Direction", "Proxy"]

_CHUNK = 2**16
_TURN_S = 0.05
_RST = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: close() sends RST


@dataclass
class Direction:
    """What happens to bytes that go one way; may be changed while they go.

    Attributes:
        delay_s: Every piece waits this long, seconds.
        jitter_s: And up to this much longer, seconds.
        bytes_per_s: Bandwidth; 0 is no limit.
        slice_bytes: Longest piece that is sent at once; 0 is no limit.
        swallow: Bytes vanish, and nobody is told: a half-open connection.
        cut_after: RST to both sides after so many further bytes; ``None`` is never.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    slice_bytes: int = 0
    swallow: bool = False
    cut_after: int | None = None

    def heal(self) -> None:
        """No faults any more."""
        self.__dict__.update(Direction().__dict__)


class Proxy:
    """Listens on a free loopback port and passes on to a server.

    Args:
        target: Host and port of the server.
        seed: Of the jitter.

    Attributes:
        port: Where it listens.
        up: From the client to the server.
        down: From the server to the client.
        refuse: New connections are reset at once.
        accepted: Connections so far.
    """

    def __init__(self, target: tuple[str, int], *, seed: int = 0) -> None:
        self._target = target
        self._chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self.up, self.down = Direction(), Direction()
        self.refuse = False
        self.accepted = 0
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._over = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(_TURN_S)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def heal(self) -> None:
        """No faults any more; connections that were cut stay cut."""
        self.up.heal()
        self.down.heal()
        self.refuse = False

    def reset(self) -> None:
        """End every connection by RST, to both sides."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.end(rst=True)

    def close(self) -> None:
        """End everything."""
        self._over = True
        self.reset()
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while not self._over:
            try:
                client = self._socket.accept()[0]
            except TimeoutError:
                continue
            self.accepted += 1
            try:
                if self.refuse:
                    raise ConnectionRefusedError
                server = socket.create_connection(self._target, timeout=5.0)
            except OSError:
                _close(client, rst=True)
                continue
            link = _Link(client, server)
            with self._lock:
                self._links.add(link)
            for source, drain, faults in ((client, server, self.up), (server, client, self.down)):
                source.settimeout(_TURN_S)
                thread = threading.Thread(target=self._pump, args=(link, source, drain, faults), daemon=True)
                thread.start()

    def _pump(self, link: _Link, source: socket.socket, drain: socket.socket, faults: Direction) -> None:
        """Pass bytes on, one way, until one side ends."""
        try:
            while not (self._over or link.over):
                with contextlib.suppress(TimeoutError):
                    piece = source.recv(faults.slice_bytes or _CHUNK)
                    if not piece:
                        link.end(rst=False)
                        break
                    self._pass(link, piece, drain, faults)
        except OSError:
            link.end(rst=True)
        with self._lock:
            self._links.discard(link)

    def _pass(self, link: _Link, piece: bytes, drain: socket.socket, faults: Direction) -> None:
        if faults.delay_s or faults.jitter_s:
            time.sleep(faults.delay_s + faults.jitter_s * self._chance.random())
        if faults.bytes_per_s:
            time.sleep(len(piece) / faults.bytes_per_s)
        if faults.swallow:
            return
        cut = faults.cut_after is not None and faults.cut_after <= len(piece)
        if faults.cut_after is not None:
            piece = piece[: faults.cut_after]
            faults.cut_after -= len(piece)
        _send(drain, piece)
        if cut:
            faults.cut_after = None
            time.sleep(_TURN_S)  # what was sent arrives before the RST that would discard it
            link.end(rst=True)


class _Link:
    """The two sockets of one connection."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._sockets = (client, server)
        self.over = False
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def end(self, *, rst: bool) -> None:
        """Close both."""
        self.over = True
        for one in self._sockets:
            _close(one, rst=rst)


def _send(drain: socket.socket, piece: bytes) -> None:
    """Send all of it, however slowly the other side reads."""
    left = memoryview(piece)
    while left:
        with contextlib.suppress(TimeoutError):
            left = left[drain.send(left) :]


def _close(sock: socket.socket, *, rst: bool) -> None:
    with contextlib.suppress(OSError):
        if rst:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        else:
            sock.shutdown(socket.SHUT_WR)
        sock.close()
