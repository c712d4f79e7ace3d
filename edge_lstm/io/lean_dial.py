"""What may block in the lean client: name, TCP and TLS, in a thread that lives for one attempt."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_lstm.io.settings import MqttSettings, read_password
from edge_lstm.io.story import ConnectionLost, why

__all__ = ["Dial", "Line"]


@dataclass(frozen=True, slots=True)
class Line:
    """An open connection, non-blocking, and the password to be shown on it."""

    socket: socket.socket
    password: str | None


class Dial:
    """One attempt to reach the broker.

    Args:
        settings: The broker.
        ready: Called, from the attempt's thread, when it has ended.
    """

    def __init__(self, settings: MqttSettings, ready: Callable[[], None]) -> None:
        self._settings, self._ready = settings, ready
        self._lock = threading.Lock()
        self._abandoned = False
        self._outcome: Line | ConnectionLost | None = None
        # Name look-up, TCP and TLS have one connect_timeout_s each; the resolver does not know of it.
        self._give_up = time.monotonic() + 3 * settings.connect_timeout_s
        self._thread = threading.Thread(target=self._work, name="edge-lstm-dial", daemon=True)
        self._thread.start()

    @property
    def give_up(self) -> float:
        """When to wait no longer, on the monotonic clock, seconds."""
        return self._give_up

    @property
    def alive(self) -> bool:
        """Whether its thread still runs: it cannot be ended from outside."""
        return self._thread.is_alive()

    def result(self) -> Line | None:
        """The connection, or ``None`` while there is no outcome.

        Raises:
            ConnectionLost: It failed, or took too long.
        """
        with self._lock:
            outcome = self._outcome
        if isinstance(outcome, Line):
            return outcome
        if outcome is not None:
            raise outcome
        if time.monotonic() >= self._give_up:
            raise ConnectionLost("name look-up, TCP and TLS have not ended in time")
        if not self._thread.is_alive():
            raise ConnectionLost("the thread that connects has died")
        return None

    def abandon(self) -> None:
        """Want its connection no longer; one that is made all the same is closed."""
        with self._lock:
            self._abandoned = True
            if isinstance(self._outcome, Line):
                self._outcome.socket.close()

    def _work(self) -> None:
        outcome: Line | ConnectionLost = ConnectionLost("the attempt to connect has died")
        try:
            password = read_password(self._settings)
            outcome = Line(self._connect(), password)
        except Exception as error:  # noqa: BLE001 - whatever it is, the owner tries again and says why
            outcome = why(error)
        finally:
            with self._lock:
                self._outcome = outcome
                if self._abandoned and isinstance(outcome, Line):
                    outcome.socket.close()
            self._ready()

    def _connect(self) -> socket.socket:
        """TCP to the first address that answers, and TLS on top."""
        settings = self._settings
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        end = time.monotonic() + settings.connect_timeout_s
        problem: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in found:
            if self._abandoned:
                break
            left_s = max(0.1, end - time.monotonic())
            try:
                return _open(settings, socket.socket(family, kind, protocol), address, left_s)
            except OSError as error:
                problem = error
        raise problem


def _open(
    settings: MqttSettings, sock: socket.socket, address: tuple[object, ...], timeout_s: float
) -> socket.socket:
    """Connect one socket; it is closed when that fails."""
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if settings.tls is not None:
            sock.settimeout(settings.connect_timeout_s)
            sock = settings.tls.wrap_socket(sock, server_hostname=settings.host)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
