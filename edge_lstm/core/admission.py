"""Which new assets are taken: at most so many in all, and at most so many a minute.

The second is a token bucket (RFC 2697 calls it a meter) on times of arrival, kept in whole
nanoseconds: a minute of credit buys the minute's number of assets, and credit grows with time.
"""

from __future__ import annotations

from edge_lstm.contracts.frame import QualityEvent, QualityReason
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.state import AdmissionMemory
from edge_lstm.times import NS

__all__ = ["Admission"]

_MINUTE_NS = 60 * NS


class Admission:
    """Turns new assets away that are too many, so that made-up names cannot eat the memory.

    Args:
        max_assets: New assets are turned away when there are so many.
        per_minute: New assets that are taken in a minute; 0 is no limit.
    """

    def __init__(self, *, max_assets: int, per_minute: int) -> None:
        self._max = max_assets
        self._price_ns = _MINUTE_NS // per_minute if per_minute else 0

    def refuse(self, memory: AdmissionMemory, reading: Reading, *, known: int) -> list[Reject | QualityEvent]:
        """What is said to the first reading of a new asset; empty when it is taken.

        Args:
            memory: Updated in place.
            reading: The reading.
            known: Assets there are.
        """
        if known >= self._max:
            detail = f"max_assets is {self._max}"
            return [Reject(RejectReason.TOO_MANY_ASSETS, reading.asset, detail, reading.time_ns)]
        if not (self._price_ns and reading.arrived_ns):  # a recording has no pace
            return []
        now_ns = reading.arrived_ns
        memory.credit_ns = min(_MINUTE_NS, memory.credit_ns + now_ns - memory.last_ns)
        memory.last_ns = now_ns
        if memory.credit_ns >= self._price_ns:
            memory.credit_ns -= self._price_ns
            return []
        detail = "more new assets than streams.new_assets_per_minute allows"
        return [
            Reject(RejectReason.TOO_MANY_NEW, reading.asset, detail, reading.time_ns),
            *self._told(memory, now_ns),
        ]

    @staticmethod
    def _told(memory: AdmissionMemory, now_ns: int) -> list[QualityEvent]:
        """One summary a minute."""
        memory.refused += 1
        if memory.told_ns and now_ns - memory.told_ns < _MINUTE_NS:
            return []
        detail = f"{memory.refused} readings of new assets turned away"
        memory.refused, memory.told_ns = 0, now_ns
        return [QualityEvent("", now_ns, QualityReason.NEW_ASSETS, active=True, detail=detail)]
