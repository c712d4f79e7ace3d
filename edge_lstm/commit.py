"""From taken to kept: what came in is written down together, and only then acknowledged.

Order is everything here. Records go to the journal in the order in which they were taken;
acknowledgements leave in the order of arrival (MQTT 5, 4.6), each after its record is on
the disk; alerts reach the outbox after the readings that led to them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_lstm.clock import Clock
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.record import Control, pack_control, pack_messages
from edge_lstm.io.rows import OutboxRow
from edge_lstm.io.store import Store
from edge_lstm.io.transport import Message
from edge_lstm.logs import event

__all__ = ["Commits"]

log = logging.getLogger(__name__)

_RECORDS = 4000
"""A block of the journal has no more records than about this."""
_AT_ONCE_S = 0.1
_LEAST = 8


@dataclass(slots=True)
class _Held:
    """What waits for one ticket of the store."""

    ticket: int
    messages: Sequence[Message]
    since: float
    waited: bool
    size: int


class Commits:
    """Gathers records and holds back what follows from them.

    Args:
        store: Where they are written down.
        outbox: Gets the publications, with the ticket under which they are posted.
        clock: Its monotonic time counts.
        inflight: Messages that the broker sends ahead of our acknowledgements; half of them
            are written down at once, so that the other half can come meanwhile.
        commit_s: Longest time that a record is gathered, seconds.
    """

    def __init__(self, store: Store, outbox: Outbox, *, clock: Clock, inflight: int, commit_s: float) -> None:
        self._store, self._outbox, self._clock, self._commit_s = store, outbox, clock, commit_s
        self._enough = max(1, inflight // 2)
        self._records: list[Message] = []
        self._messages: list[Message] = []
        self._rows: list[OutboxRow] = []
        self._since = 0.0
        self._bytes = self._size = 0  # of all messages that wait, and of those that are gathered
        self._held: deque[_Held] = deque()
        self._let_go: tuple[float, int] | None = None  # when a gathering that took its time was acknowledged
        self._came = 0  # messages since then

    def take(self, messages: Sequence[Message], rows: Sequence[OutboxRow]) -> None:
        """Messages that were scored, and what must arrive of what followed."""
        self._begin()
        self._learn(len(messages))
        self._records.extend(messages)
        self._messages.extend(messages)
        size = sum([len(message.payload) for message in messages])
        self._size += size
        self._bytes += size
        self._rows.extend(rows)
        if rows or len(self._messages) >= self._enough or len(self._records) >= _RECORDS:
            self.flush()

    def _learn(self, count: int) -> None:
        """Find out that the broker sends less ahead than it is allowed to, so that nothing waits in vain.

        Then gathering ends by time, with as many messages as its window holds, and as many
        come at once when they are acknowledged.
        """
        if self._let_go is None:
            return
        moment, window = self._let_go
        self._came += count
        if self._clock.monotonic() - moment > _AT_ONCE_S:
            self._let_go = None
        elif self._came >= window:
            self._enough, self._let_go = max(1, window // 2), None
            log.info(event("mqtt.window", messages=window, detail="the broker sends no more ahead"))

    def control(self, record: Control, rows: Sequence[OutboxRow]) -> None:
        """A record that is no message; written down at once."""
        self.flush()
        self._store.append(pack_control(record))
        self._rows.extend(rows)
        self.flush()

    def only_acknowledge(self, message: Message) -> None:
        """A message that leaves no trace in the states, acknowledged in its turn."""
        self._begin()
        self._messages.append(message)
        self._size += len(message.payload)
        self._bytes += len(message.payload)

    def left_s(self) -> float | None:
        """Until what is gathered must be written down, seconds; ``None`` when nothing is."""
        gathered = self._records or self._messages
        return self._since + self._commit_s - self._clock.monotonic() if gathered else None

    def lag_s(self) -> float:
        """Age of the oldest message that is not written down, seconds; 0 when there is none."""
        since = self._held[0].since if self._held else self._since if self._messages else None
        return 0.0 if since is None else self._clock.monotonic() - since

    @property
    def waiting_bytes(self) -> int:
        """Payload of these, bytes."""
        return self._bytes

    @property
    def waiting(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._messages) + sum(len(held.messages) for held in self._held)

    def _begin(self) -> None:
        if not self._records and not self._messages:
            self._since = self._clock.monotonic()

    def flush(self, *, waited: bool = False) -> None:
        """Hand over what is gathered to the store.

        Args:
            waited: Whether its time is up.
        """
        if self._records:
            ticket = self._store.append(pack_messages(self._records))
        else:
            ticket = self._held[-1].ticket if self._held else 0
        if self._messages:
            waited = waited and len(self._messages) >= _LEAST
            self._held.append(_Held(ticket, self._messages, self._since, waited, self._size))
        if self._rows:
            self._outbox.add(self._rows, self._store.post(self._rows))
        self._records, self._messages, self._rows, self._size = [], [], [], 0

    def settle(self) -> list[tuple[int, list[int]]]:
        """What the store has kept since the last call.

        Returns:
            Connection and packet identifiers to acknowledge on it, in order of arrival.
        """
        acks: list[tuple[int, list[int]]] = []
        completed = self._store.completed
        while self._held and self._held[0].ticket <= completed:
            held = self._held.popleft()
            _gather(acks, held.messages)
            self._bytes -= held.size
            if held.waited:
                self._let_go, self._came = (self._clock.monotonic(), len(held.messages)), 0
        return acks


def _gather(acks: list[tuple[int, list[int]]], messages: Iterable[Message]) -> None:
    for message in messages:
        if not message.qos:
            continue
        if not acks or acks[-1][0] != message.epoch:
            acks.append((message.epoch, []))
        acks[-1][1].append(message.mid)
