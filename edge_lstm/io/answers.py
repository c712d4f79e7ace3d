"""One thread that answers short questions on sockets, and that no client can hold up.

A question is a few bytes, its answer is sent, and the connection ends. Each listener has
few connections, each connection few bytes and little time; when one more comes than there
is room for, the oldest gives way. Answers are made from what the scoring loop has laid
out (`Notice`), so that nothing here ever waits for it, nor it for anything here.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Generic, TypeVar

from edge_lstm.logs import event

__all__ = ["Answers", "Listener", "Notice"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_CONNECTIONS = 8
_MOST_BYTES = 8192
"""Of a question; an HTTP header of a scraper has a few hundred."""
_MOST_S = 5.0
"""From the connection to the last byte of the answer."""
_CHUNK = 65536


class Notice(Generic[T]):
    """What one thread lays out for others to read: the newest whole, never a half.

    Setting an attribute is one step in Python, so there is no lock that could be held.

    Attributes:
        latest: The newest, or ``None`` before the first; a value that nobody changes any more.
    """

    def __init__(self) -> None:
        self.latest: T | None = None


@dataclass(slots=True, kw_only=True)
class Listener:
    """A socket that listens, and what to say to whom.

    Attributes:
        name: For the log.
        bound: A socket that listens; closed by `Answers`.
        answer: The bytes received so far to the answer, or ``None`` while more must come; ``b""``
            ends the connection without a word. May raise nothing.
        admits: Whether to speak to this connection at all.
        path: The socket's file, removed at the end.
    """

    name: str
    bound: socket.socket
    answer: Callable[[bytes], bytes | None]
    admits: Callable[[socket.socket], bool] = lambda _connection: True
    path: Path | None = None
    connections: dict[int, _Connection] = field(default_factory=dict)


@dataclass(slots=True)
class _Connection:
    """A client in the middle of a question or an answer."""

    listener: Listener
    client: socket.socket
    deadline: float
    question: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class Answers:
    """Answers on all listeners until it is closed.

    Args:
        listeners: Where questions come in.
        patience_s: Longest life of a connection, seconds.
    """

    def __init__(self, listeners: Sequence[Listener], *, patience_s: float = _MOST_S) -> None:
        self._patience_s = patience_s
        self._listeners = list(listeners)
        self._selector = selectors.DefaultSelector()
        self._end_in, self._end_out = socket.socketpair()
        self._selector.register(self._end_out, selectors.EVENT_READ, None)
        for one in self._listeners:
            one.bound.setblocking(False)
            self._selector.register(one.bound, selectors.EVENT_READ, one)
        self._thread = Thread(target=self._work, name="answers", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """End, and close every socket."""
        self._end_in.close()
        if self._thread.ident is not None:
            self._thread.join()
        for one in self._listeners:
            for connection in list(one.connections.values()):
                self._drop(connection)
            self._selector.unregister(one.bound)
            one.bound.close()
            if one.path is not None:
                one.path.unlink(missing_ok=True)
        self._selector.close()
        self._end_out.close()

    def _work(self) -> None:
        while True:
            for key, _ in self._selector.select(self._wait_s()):
                if key.data is None:
                    return
                if isinstance(key.data, Listener):
                    self._accept(key.data)
                else:
                    self._serve(key.data)
            self._drop_late()

    def _all(self) -> list[_Connection]:
        return [found for one in self._listeners for found in one.connections.values()]

    def _wait_s(self) -> float | None:
        deadlines = [found.deadline for found in self._all()]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _drop_late(self) -> None:
        now = time.monotonic()
        for found in self._all():
            if found.deadline <= now:
                self._drop(found)

    def _accept(self, listener: Listener) -> None:
        try:
            taken, _ = listener.bound.accept()
        except BlockingIOError:  # the client has gone again
            return
        except OSError as error:  # out of files, say: a pause, or this would be a busy loop
            log.warning(event("answers.not_accepted", where=listener.name, reason=error.strerror))
            time.sleep(0.1)
            return
        taken.setblocking(False)
        if not listener.admits(taken):
            taken.close()
            return
        if len(listener.connections) >= _MOST_CONNECTIONS:
            self._drop(next(iter(listener.connections.values())))
        found = _Connection(listener, taken, time.monotonic() + self._patience_s)
        listener.connections[taken.fileno()] = found
        self._selector.register(taken, selectors.EVENT_READ, found)

    def _drop(self, found: _Connection) -> None:
        found.listener.connections.pop(found.client.fileno(), None)
        self._selector.unregister(found.client)
        found.client.close()

    def _serve(self, found: _Connection) -> None:
        if found.client.fileno() < 0:  # it gave way earlier in this round
            return
        try:
            done = self._read(found) if found.answer is None else self._write(found, found.answer)
        except BlockingIOError:
            return
        except OSError:  # it has gone away
            done = True
        if done:
            self._drop(found)

    def _read(self, found: _Connection) -> bool:
        """Take what has come; true when the connection is over."""
        part = found.client.recv(_MOST_BYTES + 1 - len(found.question))
        found.question += part
        if not part or len(found.question) > _MOST_BYTES:
            return True
        answer = found.listener.answer(bytes(found.question))
        if answer is None:
            return False
        found.answer = memoryview(answer)
        self._selector.modify(found.client, selectors.EVENT_WRITE, found)
        return self._write(found, found.answer)

    def _write(self, found: _Connection, left: memoryview) -> bool:
        """Send what the client takes; true when it has all."""
        if left:
            left = left[found.client.send(left[:_CHUNK]) :]
        found.answer = left
        return not left
