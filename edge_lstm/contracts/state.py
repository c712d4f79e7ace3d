"""What a detector remembers, in a form that can be written down and read back bit for bit."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission

__all__ = [
    "SNAPSHOT_VERSION",
    "AlarmMemory",
    "AlignMemory",
    "CommissionMemory",
    "DetectorSnapshot",
    "ResetReason",
    "StreamSnapshot",
]

SNAPSHOT_VERSION = 2

ResetReason = Literal["start", "gap", "command", "model", "commission"]


class AlignMemory(msgspec.Struct):
    """What `edge_lstm.core.align` knows of one asset.

    Attributes:
        last_time_ns: Time of the newest frame, or null before the first.
        tick: Tick of the next frame.
        values: Channel index to the value last seen, channel units.
        missing: Frames in a row without a value, a number a channel.
        impossible: Channel index to value, of the newest frame's values outside their range.
        pending: Channel index to value of the frame still waiting for channels;
            null is a channel that said it had no value.
        pending_start_ns: Time of the first reading of that frame.
        pending_time_ns: Time of the newest reading of that frame.
    """

    missing: list[int]
    last_time_ns: int | None = None
    tick: int = 0
    values: dict[int, float] = {}
    impossible: dict[int, float] = {}
    pending: dict[int, float | None] = {}
    pending_start_ns: int = 0
    pending_time_ns: int = 0


class AlarmMemory(msgspec.Struct):
    """What `edge_lstm.core.threshold` knows of one asset.

    Attributes:
        above: Frames in a row above the threshold.
        below: Frames in a row below the closing level, while open.
        quiet: Frames left of the refractory time.
        peak: Highest score of the open episode.
        alert: Last alert of the open episode, or null when none is open.
        alert_ns: Time of the frame of that alert.
        started_ns: Time of the frame that opened the episode.
    """

    above: int = 0
    below: int = 0
    quiet: int = 0
    peak: float = 0.0
    alert: Alert | None = None
    alert_ns: int = 0
    started_ns: int = 0


class CommissionMemory(msgspec.Struct):
    """What `edge_lstm.core.commission` knows of one asset that the bundle does not name.

    Attributes:
        rows: The baseline so far: a little-endian double a channel and frame, NaN where
            missing; empty before the first frame, and again when it is done.
        began_ns: Time of the first frame of the baseline.
        refused: Baselines that were refused.
        told: What was told last; with status ``done`` it holds what was learned.
    """

    rows: bytearray = msgspec.field(default_factory=bytearray)
    began_ns: int = 0
    refused: int = 0
    told: Commission | None = None


class StreamSnapshot(msgspec.Struct):
    """Everything about one asset.

    Attributes:
        asset: The machine.
        arrays: Name to raw bytes of the stream's arrays (hidden, cell, smoothing), native
            little-endian order; shapes and types are the bundle's.
        align: Memory of the aligner.
        alarm: Memory of the threshold.
        faults: Active faults of the input, ``reason/channel``.
        reset_ns: Time of the first frame since the state was last reset.
        reset_reason: Why it was reset.
        commission: Memory of its commissioning; null when it needs none.
    """

    asset: str
    arrays: dict[str, bytes]
    align: AlignMemory
    alarm: AlarmMemory
    faults: list[str]
    reset_ns: int
    reset_reason: ResetReason
    commission: CommissionMemory | None = None


class DetectorSnapshot(msgspec.Struct):
    """Everything a detector remembers.

    Attributes:
        version: Version of this schema.
        bundle_sha256: Digest of the bundle the states belong to.
        streams: One entry an asset.
    """

    version: int
    bundle_sha256: str
    streams: list[StreamSnapshot]
