"""Publications that must arrive: kept in order until the broker has confirmed them.

This is the part in memory of the rows that the store keeps. A client's own queue forgets
with its connection and may count a refused message as delivered, so it is only ever the pipe.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge_lstm.io.rows import OutboxRow

__all__ = ["Outbox"]

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 600.0


@dataclass(slots=True)
class _Refusal:
    """What is known of a row that the broker did not take."""

    times: int
    due: float
    reason: str


class Outbox:
    """Rows of the store's outbox on their way to the broker; a bounded number of them in memory.

    A row may go when its ticket is complete. Rows that the broker refuses wait, each for
    twice as long as the time before, and hold nothing else up; those for which there is no
    room are only remembered by their number and read again when they are due.

    Args:
        monotonic: Seconds that never jump.
        fetch: Gives rows after a number, in order: `edge_lstm.io.store.Store.waiting`.
        recovered: Rows that waited when the store was opened, in order.
        waiting: How many waited then; more than were recovered are read when there is room.
        last: Greatest number ever posted; what replay makes again is not above it.
        window: Most rows under way at once.
        room: Most rows in memory.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        fetch: Callable[[int, int], Sequence[OutboxRow]],
        *,
        recovered: Sequence[OutboxRow] = (),
        waiting: int = 0,
        last: int = 0,
        window: int = 20,
        room: int = 2000,
    ) -> None:
        self._monotonic, self._fetch, self._window, self._room = monotonic, fetch, window, room
        self._rows: dict[int, OutboxRow] = {row.seq: row for row in recovered[:room]}
        self._ready: list[int] = list(self._rows)  # a heap: numbers in order
        self._under_way: set[int] = set()
        self._refusals: dict[int, _Refusal] = {}
        self._parked: set[int] = set()  # of these, the rows that are not in memory
        self._due: list[tuple[float, int]] = []
        self._unsettled: deque[tuple[int, OutboxRow]] = deque()
        self._on_disk = max(0, waiting - len(self._rows))
        self._edge = max(self._rows, default=0 if self._on_disk else last)
        self._last = last

    def __len__(self) -> int:
        """Rows that are not delivered, on the disk or in memory; those being posted too."""
        return len(self._rows) + len(self._parked) + self._on_disk + len(self._unsettled)

    @property
    def refused(self) -> int:
        """Rows that the broker did not take, and that wait for another try."""
        return len(self._refusals)

    def refused_by_reason(self) -> dict[str, int]:
        """How many of these, by what the broker said."""
        return dict(Counter(refusal.reason for refusal in self._refusals.values()))

    def rows(self) -> list[OutboxRow]:
        """What is in memory, in order; what a full checkpoint of the store asks for."""
        return [self._rows[seq] for seq in sorted(self._rows)] + [row for _, row in self._unsettled]

    def add(self, rows: Iterable[OutboxRow], ticket: int) -> None:
        """Take rows that were posted under a ticket; they go when it is complete."""
        for row in rows:
            if row.seq > self._last:
                self._last = row.seq
                self._unsettled.append((ticket, row))

    def settle(self, completed: int) -> None:
        """Tickets up to this one are complete."""
        while self._unsettled and self._unsettled[0][0] <= completed:
            _, row = self._unsettled.popleft()
            if row.seq <= self._edge:
                continue  # it was read from the disk meanwhile
            if self._on_disk or len(self._rows) >= self._room:
                self._on_disk += 1
            else:
                self._keep(row)

    def take(self) -> OutboxRow | None:
        """The next row to send, or ``None`` when none may go now.

        Raises:
            SnapshotError: Rows could not be read; all stays as it is.
        """
        if len(self._under_way) >= self._window:
            return None
        self._wake_refused()
        if not self._ready and self._on_disk:
            self._read()
        if not self._ready:
            return None
        seq = heapq.heappop(self._ready)
        self._under_way.add(seq)
        return self._rows[seq]

    def next_retry_s(self) -> float | None:
        """Until a refused row is due, seconds; ``None`` when there is none."""
        return max(0.0, self._due[0][0] - self._monotonic()) if self._due else None

    def confirm(self, seq: int) -> OutboxRow | None:
        """The broker has it: forget it, and tell the store. ``None`` when it was known already."""
        row = self._rows.pop(seq, None)
        self._under_way.discard(seq)
        self._refusals.pop(seq, None)
        if row is not None and seq in self._ready:  # sent before a reconnect, confirmed after it
            self._ready.remove(seq)
            heapq.heapify(self._ready)
        return row

    def refuse(self, seq: int, reason: str) -> OutboxRow | None:
        """The broker did not take it: it waits for another try."""
        if seq not in self._under_way:
            return self._rows.get(seq)
        self._under_way.discard(seq)
        times = self._refusals[seq].times + 1 if seq in self._refusals else 1
        due = self._monotonic() + min(FIRST_RETRY_S * 2.0 ** (times - 1), LONGEST_RETRY_S)
        self._refusals[seq] = _Refusal(times, due, reason)
        heapq.heappush(self._due, (due, seq))
        row = self._rows[seq]
        if 2 * (len(self._refusals) - len(self._parked)) > self._room:
            del self._rows[seq]
            self._parked.add(seq)
        return row

    def requeue(self) -> None:
        """The connection has ended: everything under way waits again, in order."""
        for seq in self._under_way:
            heapq.heappush(self._ready, seq)
        self._under_way.clear()

    # -------------------------------------------------------------------------------- inside

    def _keep(self, row: OutboxRow) -> None:
        self._rows[row.seq] = row
        heapq.heappush(self._ready, row.seq)
        self._edge = row.seq

    def _wake_refused(self) -> None:
        """Refused rows whose time has come are ready again."""
        now = self._monotonic()
        while self._due and self._due[0][0] <= now:
            due, seq = self._due[0]
            if seq in self._parked:
                self._unpark(seq)
            heapq.heappop(self._due)
            refusal = self._refusals.get(seq)
            if refusal is not None and refusal.due == due:
                heapq.heappush(self._ready, seq)

    def _unpark(self, seq: int) -> None:
        """Read a refused row again; it may have been dropped, because the table was full."""
        found = [row for row in self._fetch(seq - 1, 1) if row.seq == seq]
        self._parked.discard(seq)
        if found:
            self._rows[seq] = found[0]
        else:
            del self._refusals[seq]

    def _read(self) -> None:
        """Fill the room with rows from the disk."""
        limit = self._room - len(self._rows)
        if limit <= 0:
            return
        found = self._fetch(self._edge, limit)
        for row in found:
            self._keep(row)
        self._on_disk = self._on_disk - len(found) if len(found) == limit else 0
