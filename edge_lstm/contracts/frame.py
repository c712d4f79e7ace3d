"""Readings lined up: what the model steps on, and what was found wrong with it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["COUNTED_ONLY", "Frame", "QualityEvent", "QualityReason"]


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One value for every channel of one asset.

    Attributes:
        asset: The machine.
        tick: Count of frames of this asset since its state was last reset, from 0.
        time_ns: Time of the frame, nanoseconds since 1970-01-01 UTC.
        values: One value a channel in manifest order, channel units; a masked
            channel carries the value last seen (or its centre when there is none).
        masked: One mark a channel: no usable value, so not scored in this frame.
    """

    asset: str
    tick: int
    time_ns: int
    values: tuple[float, ...]
    masked: tuple[bool, ...]


class QualityReason(StrEnum):
    """What is wrong with the *input*; never a fault of the machine. Names are stable."""

    GAP = "gap"
    """The asset was silent for longer than the bundle allows: the state starts anew."""
    MISSING = "missing"
    """A channel had no value for longer than the bundle allows."""
    OUT_OF_RANGE = "out_of_range"
    """A channel left its valid range: physically impossible, so a sensor fault."""
    STUCK = "stuck"
    """A channel repeats one value for longer than the site allows."""
    SILENT = "silent"
    """The asset has sent nothing for much longer than it usually does."""
    CLOCK_JUMP = "clock_jump"
    """The source's clock was set: time goes on from its new reading."""
    FUTURE = "future"
    """Readings are turned away that leapt ahead of our clock."""
    SOURCE_RESTART = "source_restart"
    """The source counts from anew."""
    SEQ_CONFLICT = "seq_conflict"
    """Different readings come under one sequence number or one time."""
    LATE = "late"
    """Many readings come too late to be scored."""
    NEW_ASSETS = "new_assets"
    """New assets come faster than the site allows; of no asset, once a minute."""
    SHORT_GAP = "short_gap"
    """Readings are missing, and not so many that the state starts anew."""
    REORDERED = "reordered"
    """A reading came after a newer one and was put in order."""
    WAITED = "waited"
    """Readings waited in vain for older ones, and complete no frame yet."""


COUNTED_ONLY = frozenset({QualityReason.SHORT_GAP, QualityReason.REORDERED, QualityReason.WAITED})
"""Reasons that are counted and neither logged nor published: they may come with every reading."""


class QualityEvent(msgspec.Struct, frozen=True, gc=False):
    """The start or the end of a fault of the input, published on ``…/quality``.

    What is over as soon as it is seen (a gap, a clock that was set) has no end.

    Attributes:
        asset: The machine.
        time_ns: Time of the frame at which it was noticed.
        reason: What is wrong.
        active: True at the start, False at the end.
        channel: The channel, or the empty string when it is the whole asset.
        detail: One line for people.
    """

    asset: str
    time_ns: int
    reason: QualityReason
    active: bool
    channel: str = ""
    detail: str = ""
