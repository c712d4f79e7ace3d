"""What systemd is told, by its datagram protocol (sd_notify); silent everywhere else.

READY is said when the bundle is verified, the states are back and the loop runs, even
when the broker is away: the daemon is doing its work then, which is to keep trying, and
a restart by systemd would not bring the broker back. STATUS says how it stands.

What the words mean: sd_notify(3). Only systemd 253 and later wait for a reload to end
(``Type=notify-reload``); the same words are right for those before it.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

from edge_lstm.clock import Clock
from edge_lstm.logs import event

__all__ = ["Notifier", "Watchdog"]

log = logging.getLogger(__name__)

_SIGNS = 3
"""Signs of life within the time of the watchdog; systemd asks for two (sd_watchdog_enabled(3))."""


class Notifier:
    """Sends notifications to the service manager, where there is one.

    Args:
        address: Path of the socket; a leading ``@`` is the abstract name space.
        watchdog_s: Time within which systemd wants a sign of life, or ``None``.
    """

    def __init__(self, address: str | None = None, *, watchdog_s: float | None = None) -> None:
        self._address, self.watchdog_s = address, watchdog_s
        self._status = ""
        self._asked_s = float("-inf")
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

    def reloading(self) -> None:
        """The daemon has begun to read its configuration anew; `ready` says that it is done, well or not.

        systemd 253 takes the time in it to tell this reload from one before it, and without
        it waits in vain.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The daemon has begun to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def progress(self, for_s: float = 30.0) -> None:
        """Work at a start, a reload or an end goes on: allow that much more, and feed the watchdog.

        Call it after every piece of a long recovery, as often as you like; never from where
        nothing gets done. systemd is told at most four times in ``for_s``.

        Args:
            for_s: Time within which it will be called again or be done, seconds.
        """
        now_s = time.monotonic()
        if now_s - self._asked_s >= for_s / 4:
            self._asked_s = now_s
            self._send(f"EXTEND_TIMEOUT_USEC={round(for_s * 1e6)}\nWATCHDOG=1")

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


class Watchdog:
    """Gives systemd signs of life, for as long as all that must work does.

    The scoring loop calls `turn` in each of its turns, so a loop that hangs gives none.
    A disk that is known to be full is no reason to be killed: a new process would find it
    as full, and readings wait at the broker. One that takes work and never ends it is.

    Args:
        notifier: Whom to tell, and how long it waits.
        clock: Its monotonic time counts.
    """

    def __init__(self, notifier: Notifier, clock: Clock) -> None:
        self._notifier, self._clock = notifier, clock
        self._limit_s = notifier.watchdog_s
        self._next = clock.monotonic()
        self._withheld = ""

    def left_s(self) -> float:
        """Until the next sign of life is due, seconds; endless when systemd wants none."""
        return float("inf") if self._limit_s is None else self._next - self._clock.monotonic()

    def turn(self, *, transport_alive: bool, uncommitted_s: float = 0.0, paused: bool = False) -> None:
        """The loop has turned once more.

        Args:
            transport_alive: Whether the transport is at work, connected or trying.
            uncommitted_s: Age of the oldest work that the storage has not made durable, seconds;
                0 when there is none.
            paused: Whether the storage cannot write, knows it and tries again.
        """
        if self._limit_s is None or self.left_s() > 0:
            return
        self._next = self._clock.monotonic() + self._limit_s / _SIGNS
        why = "" if transport_alive else "the transport has ended"
        if not why and not paused and uncommitted_s > self._limit_s:
            why = f"the storage has committed nothing for {uncommitted_s:.0f} s"
        if why and why != self._withheld:
            log.error(event("watchdog.withheld", reason=why, restart_in_s=self._limit_s))
        self._withheld = why
        if not why:
            self._notifier.alive()
