"""What comes in: readings, and the reasons for which one is turned away."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Reading", "Reject", "RejectReason"]


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One message's worth of samples of one asset, taken at one time.

    Attributes:
        asset: The machine.
        time_ns: Time of the samples, nanoseconds since 1970-01-01 UTC.
        values: Channel to value in the channel's unit; ``None`` is "no value".
            Channels the model does not know are ignored downstream.
        seq: The source's own count of readings, or ``None`` when it has none.
        arrived_ns: Time of arrival, of a clock that never runs backwards; 0 when it is not known
            (a recording). A reading whose ``time_ns`` is this very time has no time of its own.
        reorder_ns: How long readings of other times are waited for, so as to put them in order.
    """

    asset: str
    time_ns: int
    values: dict[str, float | None]
    seq: int | None = None
    arrived_ns: int = 0
    reorder_ns: int = 0


class RejectReason(StrEnum):
    """Why a message or a reading was not used. Names are stable: they are metrics."""

    UNDECODABLE = "undecodable"
    """The payload is not what the configured format says."""
    TOO_LARGE = "too_large"
    """The payload is larger than the configured limit."""
    BAD_TIME = "bad_time"
    """The time field is missing, or is not a time."""
    BAD_TOPIC = "bad_topic"
    """The topic does not fit the template, or names no asset that may exist."""
    BAD_ASSET = "bad_asset"
    """The payload names no asset, or one that cannot be a level of a topic."""
    SCHEMA_UNSUPPORTED = "schema_unsupported"
    """The payload is of a version that the input does not list, or that its format does not know yet."""
    NOT_BORN = "not_born"
    """Sparkplug: what the source's values mean is not known before its next birth certificate."""
    NOT_DATA = "not_data"
    """The message carries no reading by its nature: a command, a death certificate."""
    NO_CHANNEL = "no_channel"
    """None of the model's channels is in the message."""
    DUPLICATE = "duplicate"
    """This very reading was taken already."""
    REDELIVERED = "redelivered"
    """The broker sent a message again that was taken already: its acknowledgement did not arrive."""
    SEQ_CONFLICT = "seq_conflict"
    """Another reading had this sequence number, or this time: two sources, or a forged one."""
    LATE = "late"
    """A newer frame of this asset was scored already."""
    FUTURE = "future"
    """The source's clock leapt ahead of ours, which one reading alone does not prove."""
    TOO_MANY_ASSETS = "too_many_assets"
    """A new asset beyond the configured number."""
    TOO_MANY_NEW = "too_many_new"
    """A new asset beyond the number that may come in a minute."""
    STALE_RETAINED = "stale_retained"
    """A retained message from before the subscription, without a time of its own."""


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A message or reading that was turned away; counted, never raised.

    Attributes:
        reason: The class of fault.
        asset: The machine, where it is known, else the empty string.
        detail: One line for people.
        time_ns: Time of the reading where it is known, else 0.
    """

    reason: RejectReason
    asset: str = ""
    detail: str = ""
    time_ns: int = 0
