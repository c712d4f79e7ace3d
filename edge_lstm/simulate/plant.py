"""Several pumps on one simulated clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as count_up

from edge_lstm.simulate.faults import Fault
from edge_lstm.simulate.pump import DAY_S, Pump
from edge_lstm.times import NS

__all__ = ["Plant", "Sample", "Tick"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one pump's sensors say at one time.

    Attributes:
        asset: The pump.
        values: Channel to value; ``None`` where a sensor has dropped out.
        faulty: Whether a fault was there.
    """

    asset: str
    values: dict[str, float | None]
    faulty: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """All pumps at one time.

    Attributes:
        elapsed_s: Simulated time since the first tick, seconds.
        time_ns: Simulated time, nanoseconds since 1970-01-01 UTC.
        samples: One sample a pump.
        began: Faults that were not there in the tick before.
        ended: Faults that were there in the tick before.
    """

    elapsed_s: float
    time_ns: int
    samples: tuple[Sample, ...]
    began: tuple[Fault, ...]
    ended: tuple[Fault, ...]


class Plant:
    """Several pumps on one simulated clock.

    Args:
        assets: Names of the pumps.
        seed: The run; see `Pump`.
        period_s: Simulated time between ticks, seconds.
        start_ns: Simulated time of the first tick, nanoseconds since 1970-01-01 UTC;
            its time of day is where the daily course begins.
        faults: What will go wrong.
    """

    def __init__(
        self,
        assets: Sequence[str],
        *,
        seed: int,
        period_s: float,
        start_ns: int,
        faults: Sequence[Fault] = (),
    ) -> None:
        start_s = (start_ns / NS) % DAY_S
        self.period_s, self.start_ns, self.faults = period_s, start_ns, tuple(faults)
        self._pumps = [Pump(seed, name, period_s, start_s=start_s, faults=faults) for name in assets]

    def time_ns(self, tick: int) -> int:
        """Simulated time of a tick, counted from 0."""
        return self.start_ns + round(tick * self.period_s * NS)

    def ticks(self, count: int | None = None) -> Iterator[Tick]:
        """Advance the pumps tick by tick; without end when no count is given."""
        there: set[Fault] = set()
        for number in count_up() if count is None else range(count):
            elapsed_s = number * self.period_s
            samples = tuple(Sample(pump.asset, pump.step(), pump.faulty) for pump in self._pumps)
            now = {fault for fault in self.faults if fault.active(elapsed_s)}
            yield Tick(elapsed_s, self.time_ns(number), samples, tuple(now - there), tuple(there - now))
            there = now
