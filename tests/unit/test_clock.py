"""Times of arrival, whatever the wall clock does."""

from __future__ import annotations

from dataclasses import dataclass

from edge_lstm.clock import ArrivalClock, SystemClock
from edge_lstm.times import NS


@dataclass
class TwoClocks:
    """A wall clock and a monotonic clock, set by hand."""

    wall_s: float = 1000.0
    steady_s: float = 5.0

    def time_ns(self) -> int:
        """What the wall clock shows."""
        return round(self.wall_s * NS)

    def monotonic(self) -> float:
        """What the monotonic clock shows."""
        return self.steady_s

    def go(self, seconds: float) -> None:
        """Both go on."""
        self.wall_s += seconds
        self.steady_s += seconds


def test_arrival_is_the_wall_time() -> None:
    """As long as nobody touches the clock."""
    clock = TwoClocks()
    arrival = ArrivalClock(clock)
    clock.go(2.5)

    assert 1002.5 == arrival.now_ns() / NS


def test_arrival_never_repeats() -> None:
    """Two messages in one nanosecond are still two readings."""
    arrival = ArrivalClock(TwoClocks())
    first, second = arrival.now_ns(), arrival.now_ns()

    assert second == first + 1


def test_arrival_rides_out_a_step_back() -> None:
    """A clock set back by an hour must not make an hour of readings late."""
    clock = TwoClocks()
    arrival = ArrivalClock(clock)
    clock.wall_s -= 3600
    clock.go(3)

    assert 1003.0 == arrival.now_ns() / NS


def test_arrival_follows_a_step_forward() -> None:
    """A board without a battery clock has found its time server."""
    clock = TwoClocks()
    arrival = ArrivalClock(clock)
    clock.wall_s += 1e9
    clock.go(1)

    assert 1e9 + 1001 == arrival.now_ns() / NS


def test_system_clock_goes_on() -> None:
    """The real one."""
    clock = SystemClock()

    assert clock.monotonic() <= clock.monotonic()
    assert clock.time_ns() > 1_700_000_000 * NS


def test_arrivals_go_on_after_those_of_the_last_process() -> None:
    """A board that starts with its clock in the past gives no time twice, and distances stay true."""
    clock = TwoClocks(wall_s=1_000.0)
    arrival = ArrivalClock(clock, after_ns=5_000 * NS)
    first = arrival.now_ns()
    clock.go(2.0)

    assert first > 5_000 * NS
    assert 2.0 == round((arrival.now_ns() - first) / NS, 6)
