"""What all codecs share: the port, and the caps that hold before and while a payload is read."""

from __future__ import annotations

from typing import Protocol

import msgspec

from edge_lstm.contracts.reading import Reading, Reject, RejectReason

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_MEMBERS",
    "MAX_OBJECTS",
    "MAX_READINGS",
    "MAX_VALUES",
    "Codec",
    "CodecStateError",
    "Decoded",
    "Envelope",
    "Stateless",
    "TooLargeError",
    "Wish",
    "gathered",
    "refused",
    "unreadable",
]

MAX_BYTES = 2**20
"""Longest payload of the formats other than json and value, whatever ``mqtt.max_payload_bytes`` says."""
MAX_DEPTH = 16
"""Deepest nesting: objects and lists, tags of CBOR, messages of Protobuf."""
MAX_READINGS = 1_000
"""Most readings of one message."""
MAX_MEMBERS = 4_096
"""Most members of one object: channels of a reading and whatever stands beside them."""
MAX_OBJECTS = 4_096
"""Most objects and lists of one JSON text, and records of SenML: each takes some 200 bytes of memory."""
MAX_VALUES = 8_192
"""Most values of one message, over all its readings."""


class TooLargeError(ValueError):
    """There is more in a message than is read."""


class CodecStateError(ValueError):
    """What is to be loaded was not written by `Codec.dump` of this version."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What is known of a message besides its payload.

    Attributes:
        asset: From the topic or the configuration, empty when the payload names it.
        channel: From the topic or the configuration, empty when the payload names the channels.
        arrived_ns: Time of arrival, nanoseconds since 1970-01-01 UTC.
        retained: Whether the broker had kept it from before the subscription.
        topic: Where it was published; only Sparkplug reads it.
        reorder_ns: How long its readings may wait to be put in order.
    """

    asset: str
    channel: str
    arrived_ns: int
    retained: bool
    topic: str = ""
    reorder_ns: int = 0


class Wish(msgspec.Struct, frozen=True, gc=False):
    """A message that a source is to be sent, with QoS 0 and not retained: it may be lost.

    Attributes:
        topic: Where to.
        payload: Content.
    """

    topic: str
    payload: bytes


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """What became of one message.

    Attributes:
        items: The readings, in order of time for one asset, or why there is none; never empty.
        odd: Channels whose value was there but was not a number; they count as missing.
        wishes: What the source should be asked; a repetition is harmless, so is a loss.
        stale: Assets that their source has declared dead: no value of theirs is current any more.
    """

    items: tuple[Reading | Reject, ...]
    odd: tuple[str, ...] = ()
    wishes: tuple[Wish, ...] = ()
    stale: tuple[str, ...] = ()


class Codec(Protocol):
    """Reads the payloads of one input.

    What comes out is a function of the messages so far alone, clocks have no part in it,
    so a replay of recorded messages gives the same readings again.
    """

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; never raises for what is in it."""
        ...

    def dump(self) -> bytes:
        """What it remembers of earlier messages, for `load`; empty when it remembers nothing."""
        ...

    def load(self, raw: bytes) -> None:
        """Go on from what another process remembered.

        Raises:
            CodecStateError: ``raw`` is not from `dump`.
        """
        ...


class Stateless:
    """The part of a codec that remembers nothing."""

    def dump(self) -> bytes:
        """Nothing; see `Codec.dump`."""
        return b""

    def load(self, raw: bytes) -> None:
        """Nothing; see `Codec.load`."""
        if raw:
            raise CodecStateError("this format has nothing to remember")


def unreadable(error: Exception, asset: str) -> Decoded:
    """A message that a decoder has given up, for the reason that it gave."""
    reason = RejectReason.TOO_LARGE if isinstance(error, TooLargeError) else RejectReason.UNDECODABLE
    return refused(reason, asset, str(error))


def refused(reason: RejectReason, asset: str, detail: str) -> Decoded:
    """A message of which nothing is used; ``detail`` is cut to a line of bounded length."""
    return Decoded((Reject(reason, asset, detail[:300]),))


def gathered(
    found: dict[tuple[str, int], dict[str, float | None]], rejects: list[Reject], envelope: Envelope
) -> tuple[Reading | Reject, ...]:
    """Readings of values that came one by one: one an (asset, time_ns), in order of time, rejects last."""
    late = (None, envelope.arrived_ns, envelope.reorder_ns)
    readings = [Reading(asset, time_ns, values, *late) for (asset, time_ns), values in found.items()]
    readings.sort(key=lambda reading: reading.time_ns)  # stable: equal times stay as they came
    return (*readings, *rejects)
