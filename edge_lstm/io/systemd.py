"""What systemd is told, by its datagram protocol (sd_notify); silent everywhere else.

READY is said when the bundle is verified, the states are back and the loop runs, even
when the broker is away: the daemon is doing its work then, which is to keep trying, and
a restart by systemd would not bring the broker back. STATUS says how it stands.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping

from edge_lstm.logs import event

__all__ = ["Notifier"]

log = logging.getLogger(__name__)


class Notifier:
    """Sends notifications to the service manager, where there is one.

    Args:
        address: Path of the socket; a leading ``@`` is the abstract name space.
        watchdog_s: Time within which systemd wants a sign of life, or ``None``.
    """

    def __init__(self, address: str | None = None, *, watchdog_s: float | None = None) -> None:
        self._address, self.watchdog_s = address, watchdog_s
        self._status = ""
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], *, pid: int | None = None) -> Notifier:
        """The notifier that the environment asks for.

        The variables are taken out: a program we start must not speak for us.
        """
        address = environ.pop("NOTIFY_SOCKET", None)
        usec, whose = environ.pop("WATCHDOG_USEC", None), environ.pop("WATCHDOG_PID", None)
        meant = whose is None or whose == str(os.getpid() if pid is None else pid)
        watchdog_s = int(usec) / 1e6 if usec and usec.isdecimal() and int(usec) > 0 and meant else None
        if address is not None and not address.startswith(("/", "@")):
            address = None  # vsock: and other transports that systemd knows and we do not need
        return cls(address, watchdog_s=watchdog_s)

    def ready(self) -> None:
        """The daemon does its work."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The daemon has begun to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None or not self._address:
            return
        target = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            self._socket.sendto(text.encode(), target)
        except OSError as error:
            log.warning(event("systemd.not_told", text=text, reason=error.strerror))
