"""The consumer of alerts: keeps everything, notices gaps in the numbers, asks for what is missing."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from edge_lstm.torture.wire import Peer

__all__ = ["Consumer"]

_ASK_EVERY_S = 0.7
"""A daemon answers one request in half a second."""


class Consumer:
    """A persistent subscriber at QoS 1.

    Args:
        port: The broker's.
        root: ``<base>/<node>`` of the daemon.
        replay: Whether it asks for what it misses.

    Attributes:
        alerts: Payloads of all alerts that came in, repeats included.
        health: The newest health message.
        next_seq: First number that is missing.
        asked: How often it asked.
        away: While true it has no connection, as a consumer that is restarted.
        insists: While true it asks all the time: what is missing at the end leaves no gap to see.
    """

    def __init__(self, port: int, root: str, *, replay: bool = True) -> None:
        self._root, self._replay = root, replay
        topics = (f"{root}/+/alert", f"{root}/alerts/replayed", f"{root}/health")
        self.peer = Peer(port, f"consumer-{root.replace('/', '-')}", topics)
        self.alerts: list[bytes] = []
        self.health: dict[str, Any] = {}
        self.asked = 0
        self.away = self.insists = False
        self._numbers: set[int] = set()
        self.next_seq = 1
        self._ask_at = 0.0

    def poll(self, timeout_s: float) -> None:
        """Hear for a moment."""
        if self.away:
            self.peer.drop()
            time.sleep(timeout_s)
            return
        self.peer.poll(timeout_s)
        while self.peer.heard:
            self.take(*self.peer.heard.popleft())
        if self._replay and (self._numbers or self.insists) and time.monotonic() >= self._ask_at:
            self._ask()

    def _ask(self) -> None:
        """Ask for everything from the first number that is missing."""
        self._ask_at = time.monotonic() + _ASK_EVERY_S
        self.asked += 1
        self.peer.publish(f"{self._root}/alerts/replay", msgspec.json.encode({"from_seq": self.next_seq}))

    def take(self, topic: str, payload: bytes) -> None:
        """Note one message."""
        if topic == f"{self._root}/health":
            self.health = msgspec.json.decode(payload)
            return
        if not payload:
            return
        said = msgspec.json.decode(payload)
        self.alerts.append(payload)
        number = said.get("seq")
        if isinstance(number, int) and number >= self.next_seq:
            self._numbers.add(number)
            while self.next_seq in self._numbers:  # what is left is beyond a gap
                self._numbers.remove(self.next_seq)
                self.next_seq += 1
