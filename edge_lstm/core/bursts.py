"""Faults that come in bursts: told once when they begin and once when they are over.

A leaky bucket a reason: every case fills it, every good reading takes one drop out. So an
attack or a broken source is two events, and its readings are counted one by one.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge_lstm.contracts.frame import QualityEvent, QualityReason
from edge_lstm.contracts.state import Burst

__all__ = ["hit", "soothe"]

_FULL = 60
"""Good readings in a row after which a burst is over."""
_WEIGHTS = {QualityReason.LATE: 6}
"""What one case adds: ten late readings are a burst, of all else one is enough."""


def hit(
    bursts: dict[str, Burst], reason: QualityReason, asset: str, time_ns: int, detail: str
) -> Iterator[QualityEvent]:
    """One more case; yields the start of a burst when it is one."""
    burst = bursts.setdefault(reason.value, Burst())
    burst.level = min(burst.level + _WEIGHTS.get(reason, _FULL), _FULL)
    if burst.level == _FULL and not burst.told:
        burst.told = True
        yield QualityEvent(asset, time_ns, reason, active=True, detail=detail)


def soothe(bursts: dict[str, Burst], asset: str, time_ns: int) -> Iterator[QualityEvent]:
    """A good reading; yields the ends of bursts that are over with it."""
    for name, burst in list(bursts.items()):
        burst.level -= 1
        if burst.level > 0:
            continue
        del bursts[name]
        if burst.told:
            yield QualityEvent(asset, time_ns, QualityReason(name), active=False, detail="over")
