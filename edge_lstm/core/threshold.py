"""Score to open and closed: level, hysteresis, debounce, refractory time.

The states and words follow alarm practice (ISA-18.2 / IEC 62682: on-delay, off-delay,
deadband); counting is in frames, so a replay decides as the device did.
"""

from __future__ import annotations

from typing import Literal

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.manifest import Threshold
from edge_lstm.contracts.state import AlarmMemory

__all__ = ["AlarmRule", "Transition", "is_busy"]

Transition = Literal["none", "open", "stay", "close"]


def is_busy(memory: AlarmMemory) -> bool:
    """Whether a score that is not above the level would change anything in a memory."""
    return bool(memory.above or memory.quiet) or memory.alert is not None


class AlarmRule:
    """Decides for any number of streams; all memory is in `AlarmMemory`.

    Args:
        calibrated: The bundle's numbers.
        site: What the site says instead.
    """

    def __init__(self, calibrated: Threshold, site: AlarmOverrides) -> None:
        def choose(name: str) -> float:
            said = getattr(site, name)
            return float(
                getattr(calibrated, name if name != "threshold" else "level") if said is None else said
            )

        self.level = choose("threshold")
        self._close_level = self.level * choose("close_ratio")
        self._open_after = max(1, int(choose("open_after")))
        self._close_after = max(1, int(choose("close_after")))
        self._refractory = int(choose("refractory"))

    def step(self, memory: AlarmMemory, score: float, *, warming: bool) -> Transition:
        """Take one score; say what it does to the episode.

        While warming nothing opens, but an open episode can close: an asset that comes
        back healthy after a gap must not stay in alarm for ever.
        """
        memory.above = memory.above + 1 if score > self.level else 0
        memory.quiet = max(0, memory.quiet - 1)
        if memory.alert is None:
            if warming:
                memory.above = 0
            if memory.above < self._open_after or memory.quiet:
                return "none"
            memory.below, memory.peak = 0, score
            return "open"
        memory.peak = max(memory.peak, score)
        memory.below = memory.below + 1 if score < self._close_level else 0
        if memory.below < self._close_after:
            return "stay"
        memory.above, memory.quiet = 0, self._refractory
        return "close"
