"""How equal are the scores and alerts of two machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Agreement", "agreement"]


class Agreement(NamedTuple):
    """Two runs over the same readings.

    Attributes:
        scores: How many scores both have.
        identical: How many of them are the same number, to the last bit.
        greatest: Greatest difference of a score, as a share of the threshold.
        verdicts: Whether status was the same at every reading, and alerts opened and closed alike.
    """

    scores: int
    identical: int
    greatest: float
    verdicts: bool

    def __str__(self) -> str:
        same = "same verdicts" if self.verdicts else "OTHER VERDICTS"
        return f"{same}, {self.identical}/{self.scores} scores bit for bit, greatest off {self.greatest:.1e}"


def agreement(
    here: Mapping[str, Mapping[str, Any]],
    there: Mapping[str, Mapping[str, Any]],
    alerts_here: Iterable[Mapping[str, Any]] = (),
    alerts_there: Iterable[Mapping[str, Any]] = (),
) -> Agreement:
    """Compare scores by their time, and alerts by type and time.

    Raises:
        ValueError: They are not of the same readings.
    """
    if here.keys() != there.keys() or not here:
        raise ValueError(f"{len(here)} scores here and {len(there)} there are not of the same readings")
    pairs = [(one, there[moment]) for moment, one in here.items()]
    off = [abs(float(a["score"]) - float(b["score"])) / float(a["threshold"]) for a, b in pairs]
    same = all(a["status"] == b["status"] for a, b in pairs) and _events(alerts_here) == _events(alerts_there)
    return Agreement(len(pairs), sum(one == 0.0 for one in off), max(off), same)


def _events(alerts: Iterable[Mapping[str, Any]]) -> Sequence[tuple[object, ...]]:
    return [(alert["type"], alert["kind"], alert["severity"], alert["time"]) for alert in alerts]
