"""Bytes in and out of a non-blocking socket, plain or TLS, through bounded buffers."""

from __future__ import annotations

import socket

from edge_lstm.io.story import ConnectionLost

__all__ = ["Pipe"]

_ROOM = 2**18
_RECORDS = 16  # of TLS, 16 KiB each, read at once


class Pipe:
    """One connection's bytes. Reading fills ``buffer[at:end]``; the reader moves ``at`` on.

    Args:
        sock: Connected and non-blocking; closed with the pipe.

    Attributes:
        buffer: What was read.
        view: The same, to be sliced without copying.
        at: Begin of what was not used yet.
        end: End of what was read.
        out: What waits to be written.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket, self._is_tls = sock, type(sock) is not socket.socket
        self._waits = _waits_of_tls() if self._is_tls else (BlockingIOError, InterruptedError)
        self.buffer = bytearray(_ROOM)
        self.view = memoryview(self.buffer)
        self.at = self.end = 0
        self.out = bytearray()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def make_room(self, size: int = 0) -> None:
        """Move what was not used to the front, with room for ``size`` bytes from there."""
        left = self.end - self.at
        if size > len(self.buffer) or (len(self.buffer) > _ROOM and max(left, size) <= _ROOM):
            fresh = bytearray(max(_ROOM, size))
            fresh[:left] = self.view[self.at : self.end]
            self.buffer, self.view = fresh, memoryview(fresh)
        elif self.at:
            self.buffer[:left] = self.buffer[self.at : self.end]
        self.at, self.end = 0, left

    def read(self) -> bool:
        """Read once what is there; false when nothing is.

        Raises:
            ConnectionLost: The broker has closed the connection.
            OSError: It has ended otherwise.
        """
        if self.at == self.end:
            self.make_room()
        found = False
        for _ in range(_RECORDS if self._is_tls else 1):
            try:
                count = self._receive()
            except (ConnectionLost, OSError):
                if found:  # first what came before the end
                    return True
                raise
            if not count:
                break
            self.end += count
            found = True
        return found

    def _receive(self) -> int:
        """Bytes that are there, at most as many as there is room for; 0 when none are."""
        room = self.view[self.end :]
        if not room:
            return 0
        try:
            count = self._socket.recv_into(room)
        except self._waits:
            return 0
        if not count:
            raise ConnectionLost("the broker has closed the connection", closed=True)
        return count

    def flush(self) -> None:
        """Write what waits, as much of it as the network takes now.

        Raises:
            OSError: The connection has ended.
        """
        while self.out:
            try:
                sent = self._socket.send(self.out)
            except self._waits:
                return
            del self.out[:sent]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _waits_of_tls() -> tuple[type[OSError], ...]:
    """What says that there is nothing to do now. The module costs 4 MiB, which only TLS is worth."""
    import ssl  # noqa: PLC0415 - memory, where no TLS is used

    return (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
