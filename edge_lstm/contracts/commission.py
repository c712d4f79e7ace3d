"""Commissioning: what a site asks for, and what was learned of one machine."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from edge_lstm.contracts.alert import AlertModel

__all__ = [
    "COMMISSION_SCHEMA",
    "LEAST_READINGS",
    "MOST_READINGS",
    "ChannelScaling",
    "Commission",
    "CommissionConfig",
]

COMMISSION_SCHEMA: Final = "edge-lstm.commission/1"

LEAST_READINGS, MOST_READINGS = 50, 100_000

Readings = Annotated[int, Meta(ge=LEAST_READINGS, le=MOST_READINGS)]
Spreads = Annotated[float, Meta(gt=0, le=1e6)]
Ratio = Annotated[float, Meta(gt=1, le=1e6)]
Share = Annotated[float, Meta(ge=0, lt=1)]


class CommissionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an asset that the bundle does not name is learned (docs/howto-commission.md).

    Attributes:
        readings: Frames from which centre and spread are learned, 50 to 100000; null is off: such an
            asset is scored with the bundle's common scaling.
        max_drift: Most that the centre may move within them, in units of the spread.
        max_ratio: Most that the spread of one half may be of the other's.
        max_missing: Largest share of a channel's values that may be missing.
    """

    readings: Readings | None = None
    max_drift: Spreads = 3.0
    max_ratio: Ratio = 10.0
    max_missing: Share = 0.2


class ChannelScaling(msgspec.Struct, frozen=True):
    """One channel as learned.

    Attributes:
        channel: Name of the channel.
        unit: Unit of the channel, empty when not known.
        centre: Its centre, channel units.
        scale: Its spread, channel units.
        still: Whether it never moved, so that the scale is a share of the bundle's.
    """

    channel: str
    unit: str
    centre: float
    scale: float
    still: bool = False


class Commission(msgspec.Struct, frozen=True, kw_only=True):
    """How the commissioning of one asset stands; published and retained.

    Attributes:
        schema: Always ``edge-lstm.commission/1``.
        asset: The machine.
        status: ``commissioning`` until it is ``done``.
        time: Time of the frame that caused this message, RFC 3339 UTC with milliseconds.
        began: Time of the first frame of this baseline.
        readings: Frames in the baseline that was judged; 0 before the first.
        wanted: Frames that are needed.
        refused: Baselines that were refused so far.
        reason: Why the last one was refused; empty when none was.
        channels: What was learned, in model order; empty until it is done.
        node: The device.
        model: Which model.
    """

    schema: Literal["edge-lstm.commission/1"] = COMMISSION_SCHEMA
    asset: str
    status: Literal["commissioning", "done"]
    time: str
    began: str
    readings: int
    wanted: int
    refused: int
    reason: str
    channels: list[ChannelScaling]
    node: str
    model: AlertModel
