"""What a detector remembers, in a form that can be written down and read back bit for bit."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission

__all__ = [
    "SNAPSHOT_VERSION",
    "AdmissionMemory",
    "AlarmMemory",
    "AlignMemory",
    "Burst",
    "CommissionMemory",
    "DetectorSnapshot",
    "Held",
    "ResetReason",
    "StreamSnapshot",
]

SNAPSHOT_VERSION = 3

ResetReason = Literal["start", "gap", "command", "model", "commission"]


class Held(msgspec.Struct, array_like=True):
    """A reading that waits until nothing older can come before it.

    Attributes:
        time_ns: Time of the reading.
        due_ns: Time of arrival after which it waits no longer; 0 is never.
        given: Channel index to value; null is a channel that said it had no value.
    """

    time_ns: int
    due_ns: int
    given: dict[int, float | None]


class Burst(msgspec.Struct, array_like=True):
    """How much of one fault there was lately: rises with every case, falls with every good reading.

    Attributes:
        level: 0 is none.
        told: Whether its start was told, and its end was not.
    """

    level: int = 0
    told: bool = False


class AlignMemory(msgspec.Struct, omit_defaults=True):
    """What `edge_lstm.core.align` and `edge_lstm.core.intake` know of one asset.

    Attributes:
        values: Values last seen, in channel order and units; the centre where there was none.
        missing: Frames in a row without a value, a number a channel; empty is none anywhere.
        calm: Nothing is held, suspected or told that needs a look at every reading.
        plain: Nor is anything missing, impossible or pending: whole readings in order are frames.
        last_time_ns: Time of the newest frame, or null before the first.
        tick: Tick of the next frame.
        impossible: Channel index to value, of the newest frame's values outside their range.
        pending: Channel index to time and value of the frame still waiting for channels.
        pending_start_ns: Time of the first reading of that frame.
        pending_time_ns: Time of the newest reading of that frame.
        epoch: How often the source's clock was set.
        newest_ns: Time of the newest reading that was held or gathered, or null before the first.
        arrived_ns: Time of arrival of the newest reading that was no repeat, or 0.
        interval_ns: Running estimate of the 95th percentile of the time between readings, a period at least.
        silent: Whether the asset was called silent.
        recent: Fingerprints of the newest readings, oldest first.
        counts: Lowest channel of a reading to the newest sequence number of such readings, and
            which of the 64 numbers up to it were seen (bit 0 is the newest).
        held: Readings that wait to be put in order, oldest first.
        run: Readings in a row whose clock disagrees with ours or with the readings before: number,
            time and arrival of the first, time of the newest; null is none.
        bursts: Faults that came lately, by reason.
        repeats: Watched channel's index to its newest value, and the frames in a row that had it.
    """

    values: tuple[float, ...]
    missing: list[int] = []
    calm: bool = False
    plain: bool = False
    last_time_ns: int | None = None
    tick: int = 0
    impossible: dict[int, float] = {}
    pending: dict[int, tuple[int, float | None]] = {}
    pending_start_ns: int = 0
    pending_time_ns: int = 0
    epoch: int = 0
    newest_ns: int | None = None
    arrived_ns: int = 0
    interval_ns: int = 0
    silent: bool = False
    recent: list[int] = []
    counts: dict[int, tuple[int, int]] = {}
    held: list[Held] = []
    run: tuple[int, int, int, int] | None = None
    bursts: dict[str, Burst] = {}
    repeats: dict[int, tuple[float, int]] = {}


class AdmissionMemory(msgspec.Struct):
    """What `edge_lstm.core.admission` knows of new assets.

    Attributes:
        credit_ns: Unspent time; one new asset costs a minute over the number a minute.
        last_ns: Time of arrival of the newest new asset.
        refused: Readings of new assets that were turned away since it was told last.
        told_ns: When it was told last, time of arrival; 0 is never.
    """

    credit_ns: int = 0
    last_ns: int = 0
    refused: int = 0
    told_ns: int = 0


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
        admission: Memory of the admission of new assets.
    """

    version: int
    bundle_sha256: str
    streams: list[StreamSnapshot]
    admission: AdmissionMemory = msgspec.field(default_factory=AdmissionMemory)
