"""Events from the network's thread to the owner's, in pieces: a thread switch a piece, not one a message."""

from __future__ import annotations

import queue

from edge_lstm.io.transport import TransportEvent, Woken

__all__ = ["Handover"]

_WOKEN = Woken()


class Handover:
    """Two threads: one gathers and hands over, the other takes."""

    def __init__(self) -> None:
        # SimpleQueue: its put may interrupt its own get in a signal handler.
        self._pieces: queue.SimpleQueue[list[TransportEvent]] = queue.SimpleQueue()
        self._fresh: list[TransportEvent] = []  # not in the queue yet: the network's
        self._ready: list[TransportEvent] = []  # out of it again: the owner's
        self._put = self._taken = 0

    @property
    def waiting(self) -> int:
        """Events that were handed over and not taken."""
        return self._put - self._taken

    def gather(self, found: TransportEvent) -> None:
        """Note an event; it goes with the next piece."""
        self._fresh.append(found)

    def hand_over(self) -> None:
        """What was gathered goes to the owner."""
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            self._put += len(fresh)
            self._pieces.put(fresh)

    def wake(self) -> None:
        """Give the owner a `Woken`; from any thread, and from a signal handler."""
        self._pieces.put([_WOKEN])

    def take(self, timeout_s: float, most: int) -> list[TransportEvent]:
        """What there is, at most ``most`` events; waits only if there is nothing at all."""
        try:
            if not self._ready:
                self._ready += self._pieces.get(timeout=max(0.0, timeout_s))
            while len(self._ready) < most:
                self._ready += self._pieces.get_nowait()
        except queue.Empty:
            pass
        found, self._ready = self._ready[:most], self._ready[most:]
        self._taken += len(found) - found.count(_WOKEN)
        return found
