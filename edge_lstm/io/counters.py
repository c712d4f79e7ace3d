"""What is counted and numbered for as long as the state folder lives, and that nothing is missing in it."""

from __future__ import annotations

import msgspec

from edge_lstm.contracts.reading import RejectReason

__all__ = ["Counters", "balance"]


class Counters(msgspec.Struct):
    """What has been counted since the state folder was new.

    Attributes:
        received: Readings that came in; a message that is no reading counts as one.
        accepted: Readings of these that went into a frame, or wait to; see `balance`.
        readings: Messages that became a reading.
        frames: Frames that were scored.
        alerts: Alerts of any type.
        bad_values: Values of the model's channels that were there but were not numbers.
        failures: Messages that met a fault of ours.
        spoiled: Readings of these messages.
        rejects: What was turned away, by reason.
        quality: Faults of the input that began, by reason.
        last_reading_ns: Time of arrival of the newest reading, nanoseconds since 1970-01-01 UTC; 0 is never.
        published: Publications that must arrive: their newest number.
        alert_seq: The newest alert's number.
    """

    received: int = 0
    accepted: int = 0
    readings: int = 0
    frames: int = 0
    alerts: int = 0
    bad_values: int = 0
    failures: int = 0
    spoiled: int = 0
    rejects: dict[str, int] = {}
    quality: dict[str, int] = {}
    last_reading_ns: int = 0
    published: int = 0
    alert_seq: int = 0


_CLASSES: dict[str, str] = {
    RejectReason.DUPLICATE: "duplicate",
    RejectReason.REDELIVERED: "duplicate",
    RejectReason.LATE: "late",
    RejectReason.BAD_TIME: "bad",
    RejectReason.FUTURE: "bad",
    RejectReason.SEQ_CONFLICT: "bad",
    RejectReason.STALE_RETAINED: "bad",
    RejectReason.BAD_TOPIC: "unknown",
    RejectReason.BAD_ASSET: "unknown",
    RejectReason.NOT_BORN: "unknown",
    RejectReason.NOT_DATA: "unknown",
    RejectReason.NO_CHANNEL: "unknown",
    RejectReason.TOO_MANY_ASSETS: "unknown",
    RejectReason.TOO_MANY_NEW: "unknown",
    RejectReason.TOO_LARGE: "quarantined",
    RejectReason.UNDECODABLE: "quarantined",
    RejectReason.SCHEMA_UNSUPPORTED: "quarantined",
}


def balance(counters: Counters) -> dict[str, int]:
    """What became of every reading that was received, in six classes that add up to ``received``.

    The law of conservation: accepted + duplicate + late + bad + unknown + quarantined = received,
    exactly, after every message and over restarts. A reason that is not known here is ``bad``.
    """
    out = dict.fromkeys(("accepted", "duplicate", "late", "bad", "unknown", "quarantined"), 0)
    out["accepted"], out["bad"] = counters.accepted, counters.spoiled
    for reason, number in counters.rejects.items():
        out[_CLASSES.get(reason, "bad")] += number
    return out
