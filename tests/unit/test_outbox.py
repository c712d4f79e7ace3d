"""Rows go in order, when they are durable, and none that the broker refuses holds another up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge_lstm.io.database import Database
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.rows import OutboxRow


class ManualClock:
    """Time that stands still until it is advanced."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """Seconds since the test began."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


def rows(*seqs: int) -> list[OutboxRow]:
    """Rows of these numbers."""
    return [OutboxRow(seq, f"t/{seq}", b"") for seq in seqs]


def taken(outbox: Outbox) -> list[int]:
    """Numbers of everything that may go now."""
    found = []
    while row := outbox.take():
        found.append(row.seq)
    return found


class Disk:
    """The table behind the window: real rows in a real database."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.database, self.clock, self.ticket = Database(folder), clock, 0

    def window(self, *, window: int = 20, room: int = 2000) -> Outbox:
        """What a process begins with."""
        return Outbox(
            self.clock.monotonic,
            self.database.outbox,
            recovered=self.database.outbox(0, room),
            waiting=self.database.waiting,
            last=self.database.marks.outbox_last,
            window=window,
            room=room,
        )

    def post(self, outbox: Outbox, new: Sequence[OutboxRow], *, settle: bool = True) -> None:
        """Post rows as the loop does."""
        self.ticket += 1
        outbox.add(new, self.ticket)
        self.database.post(new, (), 0)
        if settle:
            outbox.settle(self.ticket)

    def confirm(self, outbox: Outbox, seqs: Sequence[int]) -> None:
        """The broker has them."""
        for seq in seqs:
            outbox.confirm(seq)
        self.database.post((), seqs, 0)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
def disk(quick_folder: Path, clock: ManualClock) -> Iterator[Disk]:
    """An empty table."""
    made = Disk(quick_folder, clock)
    yield made
    made.database.close()


def test_rows_go_when_their_ticket_is_complete(disk: Disk) -> None:
    """Not before, in order, and no more than the window."""
    outbox = disk.window(window=2)
    disk.post(outbox, rows(1, 2), settle=False)
    disk.post(outbox, rows(3), settle=False)
    assert ([], 3) == (taken(outbox), len(outbox))
    outbox.settle(1)
    assert [1, 2] == taken(outbox)
    outbox.settle(2)
    disk.confirm(outbox, [2])
    assert [3] == taken(outbox)
    assert 2 == len(outbox)


def test_what_replay_makes_again_is_left_out(disk: Disk) -> None:
    """Delivered or not, posted numbers are not taken twice."""
    first = disk.window()
    disk.post(first, rows(1, 2, 3))
    disk.confirm(first, [1])
    outbox = disk.window()
    disk.post(outbox, rows(1, 2, 3, 4))
    assert [2, 3, 4] == taken(outbox)


def test_a_lost_connection_sends_again_in_order(disk: Disk) -> None:
    """What was under way waits again; late confirmations still count."""
    outbox = disk.window()
    disk.post(outbox, rows(1, 2, 3, 4))
    assert [1, 2, 3, 4] == taken(outbox)
    outbox.requeue()
    assert outbox.confirm(2) is not None
    assert outbox.confirm(2) is None
    assert [1, 3, 4] == taken(outbox)


def test_refused_rows_wait_longer_each_time_and_hold_nothing_up(disk: Disk, clock: ManualClock) -> None:
    """One second, two, four, up to ten minutes; counted by what the broker said."""
    outbox = disk.window(window=2)
    disk.post(outbox, rows(1, 2, 3, 4))
    assert [1, 2] == taken(outbox)
    outbox.refuse(1, "denied")
    outbox.refuse(2, "quota")
    assert [3, 4] == taken(outbox)
    disk.confirm(outbox, [3, 4])
    assert (2, {"denied": 1, "quota": 1}) == (outbox.refused, outbox.refused_by_reason())
    waits = []
    for _ in range(13):
        assert [] == taken(outbox)
        left_s = outbox.next_retry_s()
        assert left_s is not None
        waits.append(left_s)
        clock.advance(left_s)
        assert [1, 2] == taken(outbox)
        for seq in (1, 2):
            outbox.refuse(seq, "denied")
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600] == [round(wait, 6) for wait in waits]
    clock.advance(600)
    assert [1, 2] == taken(outbox)
    disk.confirm(outbox, [1, 2])
    assert (0, 0, {}) == (len(outbox), outbox.refused, outbox.refused_by_reason())


def test_more_rows_than_room_stay_on_the_disk(disk: Disk) -> None:
    """They are read when there is room, in order, none twice, over a restart too."""
    outbox = disk.window(window=5, room=10)
    disk.post(outbox, rows(*range(1, 31)))
    disk.post(outbox, rows(*range(31, 61)), settle=False)
    assert 60 == len(outbox)
    assert 10 == len(outbox.rows()) - 30
    sent = []
    for _ in range(7):
        batch = taken(outbox)
        disk.confirm(outbox, batch)
        sent += batch
    outbox.settle(disk.ticket)
    outbox = disk.window(window=5, room=10)
    while batch := taken(outbox):
        disk.confirm(outbox, batch)
        sent += batch
    assert [*range(1, 61)] == sent
    assert (0, 0) == (len(outbox), disk.database.waiting)


def test_many_refused_rows_leave_room_for_others(disk: Disk, clock: ManualClock) -> None:
    """Only their numbers stay in memory; they are read again when they are due."""
    outbox = disk.window(window=5, room=10)
    disk.post(outbox, rows(*range(1, 101)))
    sent = []
    while batch := taken(outbox):
        for seq in batch:
            if seq <= 50:
                outbox.refuse(seq, "denied")
        disk.confirm(outbox, [seq for seq in batch if seq > 50])
        sent += [seq for seq in batch if seq > 50]
    assert [*range(51, 101)] == sent
    assert (50, 50) == (outbox.refused, len(outbox))
    assert len(outbox.rows()) <= 10
    again = []
    clock.advance(1.0)
    while batch := taken(outbox):
        disk.confirm(outbox, batch)
        again += batch
    assert [*range(1, 51)] == sorted(again)
    assert (0, 0) == (len(outbox), outbox.refused)


def test_refused_rows_that_the_full_table_dropped_are_forgotten(disk: Disk, clock: ManualClock) -> None:
    """What is gone from the disk is not waited for."""
    outbox = disk.window(window=20, room=2)
    disk.post(outbox, rows(1, 2, 3, 4))
    while batch := taken(outbox):
        for seq in batch:
            outbox.refuse(seq, "denied")
    disk.database.post((), (1, 2, 3, 4), 0)
    clock.advance(1.0)
    assert set(taken(outbox)) <= {1, 2, 3, 4}
    assert outbox.refused <= 2
