"""What a site may say about its own alarms, over the bundle's calibrated numbers."""

from __future__ import annotations

import msgspec

__all__ = ["AlarmOverrides"]


class AlarmOverrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every value left null is the bundle's.

    Attributes:
        threshold: Score above which a frame counts as anomalous.
        close_ratio: An episode can close below ``close_ratio * threshold``.
        open_after: Consecutive frames above the threshold that open an episode.
        close_after: Consecutive frames below the closing level that close it.
        refractory: Frames after a close during which no new episode opens.
        score_when: Rule that says when to score, like ``speed > 5``; an empty text is always.
        update_every_s: Shortest time between two updates of one open episode, seconds.
    """

    threshold: float | None = None
    close_ratio: float | None = None
    open_after: int | None = None
    close_after: int | None = None
    refractory: int | None = None
    score_when: str | None = None
    update_every_s: float = 300.0
