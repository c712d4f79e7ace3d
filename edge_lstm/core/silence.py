"""Sensors that fall silent: no reading for much longer than is usual.

What is usual is a running estimate of the 95th percentile of the time between readings,
by stochastic approximation (Robbins and Monro, 1951): it rises by 19/256 when a step is
longer and falls by 1/256 when it is not, in whole nanoseconds so that a replay repeats it.
"""

from __future__ import annotations

from edge_lstm.contracts.frame import QualityEvent, QualityReason
from edge_lstm.contracts.state import AlignMemory
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.times import NS

__all__ = ["Silence", "learn"]

_UP, _SHIFT = 19, 8
_TIMES = 10
"""Usual steps without a reading that are silence."""


def learn(usual_ns: int, step_ns: int, least_ns: int) -> int:
    """The estimate after one more step, never below the least, nanoseconds."""
    if step_ns > usual_ns:
        return usual_ns + (usual_ns * _UP >> _SHIFT)
    return max(least_ns, usual_ns - (usual_ns >> _SHIFT))


class Silence:
    """Says when an asset falls silent and when it is back.

    Args:
        config: ``silent_after_s`` is read.
    """

    def __init__(self, config: StreamsConfig) -> None:
        said = config.silent_after_s
        self._after_ns = None if said == "auto" else round(said * NS)

    def watches(self, memory: AlignMemory) -> bool:
        """Whether a silence may begin without any reading."""
        return self._after_ns != 0 and bool(memory.arrived_ns) and not memory.silent

    def begins(self, memory: AlignMemory, asset: str, now_ns: int, since_ns: int) -> QualityEvent | None:
        """The start of a silence, if it begins by now; readings could come since then (times of arrival)."""
        after_ns = self._after_ns
        if after_ns is None:
            after_ns = _TIMES * memory.interval_ns
        quiet_ns = now_ns - max(memory.arrived_ns, since_ns)
        if memory.silent or not (memory.arrived_ns and after_ns and quiet_ns > after_ns):
            return None
        memory.silent, memory.calm, memory.plain = True, False, False
        detail = f"no reading for {quiet_ns / NS:g} s, {after_ns / NS:g} s are allowed"
        return QualityEvent(asset, now_ns, QualityReason.SILENT, active=True, detail=detail)

    @staticmethod
    def declared(memory: AlignMemory, asset: str, now_ns: int) -> QualityEvent | None:
        """The start of a silence that the source itself has told of."""
        if memory.silent:
            return None
        memory.silent, memory.calm, memory.plain = True, False, False
        detail = "its source has said that nothing comes any more"
        return QualityEvent(asset, now_ns, QualityReason.SILENT, active=True, detail=detail)

    @staticmethod
    def ends(memory: AlignMemory, asset: str, time_ns: int) -> QualityEvent | None:
        """The end of a silence, with a reading."""
        if not memory.silent:
            return None
        memory.silent = False
        return QualityEvent(asset, time_ns, QualityReason.SILENT, active=False, detail="over")
