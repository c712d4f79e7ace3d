"""Readings lined up: what the model steps on, and what was found wrong with it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Frame", "QualityEvent", "QualityReason"]


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


class QualityEvent(msgspec.Struct, frozen=True, gc=False):
    """The start or the end of a fault of the input, published on ``…/quality``.

    Attributes:
        asset: The machine.
        time_ns: Time of the frame at which it was noticed.
        reason: What is wrong.
        active: True at the start, False at the end. A gap is noticed at its end only.
        channel: The channel, or the empty string when it is the whole asset.
        detail: One line for people.
    """

    asset: str
    time_ns: int
    reason: QualityReason
    active: bool
    channel: str = ""
    detail: str = ""
