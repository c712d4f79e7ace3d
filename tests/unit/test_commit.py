"""What is gathered before it is written down, what is let go then, and what a window teaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from edge_lstm.commit import Commits
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.record import Control, unpack
from edge_lstm.io.rows import OutboxRow
from edge_lstm.io.store import Store
from edge_lstm.io.transport import Message


@dataclass
class ManualClock:
    """Time that goes when it is told to."""

    now_s: float = 0.0

    def time_ns(self) -> int:
        """Wall clock."""
        return round(self.now_s * 1e9)

    def monotonic(self) -> float:
        """Seconds since the start of the test."""
        return self.now_s


@dataclass
class ScriptedStore:
    """Writes down what it is asked for; complete is what the test says."""

    blocks: list[bytes] = field(default_factory=list)
    rows: list[OutboxRow] = field(default_factory=list)
    asked: int = 0
    completed: int = 0

    def append(self, block: bytes) -> int:
        """A block; its ticket."""
        self.blocks.append(block)
        self.asked += 1
        return self.asked

    def post(self, rows: Sequence[OutboxRow]) -> int:
        """Rows; their ticket."""
        self.rows += rows
        self.asked += 1
        return self.asked

    def complete(self) -> None:
        """The disk has everything."""
        self.completed = self.asked


class Bench:
    """Commits between a script and a store."""

    def __init__(self, *, inflight: int = 200, commit_s: float = 1.0) -> None:
        self.clock, self.store = ManualClock(), ScriptedStore()
        self.outbox = Outbox(self.clock.monotonic, lambda _after, _limit: [])
        store = cast("Store", self.store)
        self.commits = Commits(store, self.outbox, clock=self.clock, inflight=inflight, commit_s=commit_s)
        self.mid = 0

    def take(self, count: int, rows: Sequence[OutboxRow] = (), *, epoch: int = 1, qos: int = 1) -> None:
        """So many messages come, one after the other."""
        for left in range(count, 0, -1):
            self.mid += 1
            message = Message("t", b"%d" % self.mid, qos, False, 1, self.mid, epoch)
            self.commits.take([message], rows if left == 1 else ())

    def time_up(self) -> None:
        """The gathering ends by time, as the loop ends it."""
        left_s = self.commits.left_s()
        assert left_s is not None
        self.clock.now_s += left_s
        self.commits.flush(waited=True)

    def let_go(self) -> int:
        """The disk has everything; how many messages may be acknowledged."""
        self.store.complete()
        return sum(len(mids) for _, mids in self.commits.settle())

    def sizes(self) -> list[int]:
        """Messages in each block so far."""
        return [len(list(unpack(block))) for block in self.store.blocks]


def test_commits_gather_until_half_a_window() -> None:
    """The other half can come meanwhile."""
    bench = Bench(inflight=20)
    bench.take(25)

    assert [10, 10] == bench.sizes()
    assert 25 == bench.commits.waiting
    assert 20 == bench.let_go()
    assert 5 == bench.commits.waiting


def test_commits_acknowledge_in_order_and_on_their_connection_only_what_is_kept() -> None:
    """Nothing before its ticket; messages of QoS 0 have nothing to acknowledge."""
    bench = Bench(inflight=4)
    bench.take(2)
    assert [] == bench.commits.settle()
    bench.take(1, epoch=2)
    bench.take(1, epoch=2, qos=0)
    bench.take(1, epoch=3)
    bench.commits.flush()
    bench.store.completed = 1
    assert [(1, [1, 2])] == bench.commits.settle()
    bench.store.complete()

    assert [(2, [3]), (3, [5])] == bench.commits.settle()
    assert [] == bench.commits.settle()


def test_commits_write_down_at_once_what_led_to_an_alert() -> None:
    """Its rows may go when the ticket after its block is complete."""
    bench = Bench()
    row = OutboxRow(1, "t/alert", b"x", alert_seq=1)
    bench.take(3, [row])
    assert ([3], [row]) == (bench.sizes(), bench.store.rows)
    bench.store.completed = 1
    bench.outbox.settle(bench.store.completed)
    assert bench.outbox.take() is None
    bench.store.complete()
    bench.outbox.settle(bench.store.completed)

    assert row == bench.outbox.take()


def test_commits_put_control_records_in_their_place() -> None:
    """Between the messages before and after them."""
    bench = Bench()
    bench.take(2)
    bench.commits.control(Control("tick", 5), [])
    bench.take(1)
    bench.commits.flush()
    kinds = [[type(record).__name__ for record in unpack(block)] for block in bench.store.blocks]

    assert [["Message", "Message"], ["Control"], ["Message"]] == kinds


def test_commits_acknowledge_what_leaves_no_trace_in_its_turn() -> None:
    """A request waits for the readings before it, and for nothing on the disk of its own."""
    bench = Bench()
    bench.take(1)
    bench.commits.only_acknowledge(Message("t/replay", b"", 1, False, 1, 2, 1))
    bench.commits.flush()
    assert [1] == bench.sizes()
    bench.commits.only_acknowledge(Message("t/replay", b"", 1, False, 1, 3, 1))
    bench.commits.flush()
    assert [] == bench.commits.settle()
    bench.store.complete()

    assert [(1, [1, 2, 3])] == bench.commits.settle()
    assert [1] == bench.sizes()


def test_commits_tell_how_long_the_oldest_waits() -> None:
    """From its arrival until it is kept."""
    bench = Bench()
    assert (0.0, None) == (bench.commits.lag_s(), bench.commits.left_s())
    bench.take(1)
    bench.clock.now_s = 0.75
    bench.take(1)
    assert (0.75, 0.25) == (bench.commits.lag_s(), bench.commits.left_s())
    bench.commits.flush()
    bench.take(1)
    bench.clock.now_s = 2.0
    assert 2.0 == bench.commits.lag_s()
    bench.let_go()
    assert 1.25 == bench.commits.lag_s()


@pytest.mark.parametrize("window", [8, 20, 51])
def test_commits_learn_a_window_smaller_than_was_asked_for(
    window: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker sends so many and waits: from then on nothing waits for more than half of them."""
    caplog.set_level("INFO")
    bench = Bench(inflight=200)
    bench.take(window)
    bench.time_up()
    assert window == bench.let_go()
    bench.take(window)
    assert 1 == caplog.text.count(f"mqtt.window messages={window}")
    bench.commits.flush()
    bench.let_go()
    before = len(bench.sizes())
    bench.take(window)

    half = window // 2
    assert [half] * (window // half) == bench.sizes()[before:]


@pytest.mark.parametrize(
    ("first", "second", "pause_s"),
    [(20, 19, 0.0), (20, 20, 0.2), (7, 7, 0.0)],
    ids=["fewer-than-before", "slowly", "too-few-to-tell"],
)
def test_commits_learn_nothing_from_a_source_that_is_slow(first: int, second: int, pause_s: float) -> None:
    """As many messages as there were to send are no window."""
    bench = Bench(inflight=200)
    bench.take(first)
    bench.time_up()
    bench.let_go()
    for _ in range(second):
        bench.clock.now_s += pause_s / second
        bench.take(1)
    bench.clock.now_s += 0.2
    bench.take(1)
    bench.commits.flush()
    bench.let_go()
    before = len(bench.sizes())
    bench.take(199)

    assert [100] == bench.sizes()[before:]
