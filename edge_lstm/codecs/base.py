"""What all codecs share: the port, and how numbers and times are taken from decoded JSON."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import msgspec

from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.times import CLOCK_SET_NS, NS, format_time, parse_time

__all__ = ["ABSENT", "Codec", "Decoded", "Envelope", "TimeReader", "decode_object", "dig", "to_number"]

ABSENT = object()
"""What `dig` finds when nothing is there; null is something."""

_OBJECT = msgspec.json.Decoder(dict[str, Any])


class Envelope(NamedTuple):
    """What is known of a message besides its payload.

    Attributes:
        asset: From the topic or the configuration.
        channel: From the topic or the configuration, empty with format json.
        arrived_ns: Time of arrival, nanoseconds since 1970-01-01 UTC.
        retained: Whether the broker had kept it from before the subscription.
    """

    asset: str
    channel: str
    arrived_ns: int
    retained: bool


class Decoded(NamedTuple):
    """What became of one message.

    Attributes:
        item: The reading, or why there is none.
        odd: Channels whose value was there but was not a number; they count as missing.
    """

    item: Reading | Reject
    odd: tuple[str, ...] = ()


class Codec(Protocol):
    """Reads the payloads of one input."""

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; never raises for what is in it."""
        ...


def decode_object(payload: bytes, envelope: Envelope) -> dict[str, Any] | Reject:
    """The JSON object of a payload. Of a key given twice the last value counts (docs/format-reading.md)."""
    try:
        return _OBJECT.decode(payload)
    # ValueError: msgspec's own, and a key that is not UTF-8. RecursionError: thousands of nested objects.
    except (ValueError, RecursionError) as error:
        return Reject(RejectReason.UNDECODABLE, envelope.asset, str(error))


def dig(source: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON is any data
    """The value at a dotted path, or `ABSENT`. A key that has the dots in its name goes first."""
    if path in source:
        return source[path]
    here: Any = source
    for key in path.split("."):
        if not isinstance(here, dict) or key not in here:
            return ABSENT
        here = here[key]
    return here


def to_number(value: Any) -> float | None:  # noqa: ANN401 - JSON is any data
    """A finite number, or ``None``: a truth value is 1 or 0, text is never read as a number."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if math.isfinite(number) else None


class TimeReader:
    """The time of a reading: from the object, or the time of arrival.

    Args:
        source: The input.

    Attributes:
        reorder_ns: How long its readings may wait to be put in order.
    """

    def __init__(self, source: InputConfig) -> None:
        self._field, self._format = source.time_field, source.time_format
        self._ahead_ns = round(source.max_ahead_s * NS)
        self.reorder_ns = round(source.reorder_s * NS)

    def read(self, body: dict[str, Any] | None, envelope: Envelope) -> int | Reject:
        """Nanoseconds since 1970-01-01 UTC, or why there is no time."""
        if self._field is None or body is None:
            if envelope.retained:
                detail = (
                    "kept by the broker from before the subscription, and no time_field says how old it is"
                )
                return Reject(RejectReason.STALE_RETAINED, envelope.asset, detail)
            return envelope.arrived_ns
        value = dig(body, self._field)
        if not isinstance(value, str | int | float):
            got = "nothing" if value is ABSENT else repr(value)[:60]
            return self._bad(envelope, f"expected a time in '{self._field}', got {got}")
        try:
            time_ns = parse_time(value, self._format)
        except (ValueError, OverflowError) as error:
            return self._bad(envelope, str(error)[:200])
        # One reading from the year 2100 would make every honest one after it late, for good.
        if (
            self._ahead_ns
            and time_ns > envelope.arrived_ns + self._ahead_ns
            and envelope.arrived_ns > CLOCK_SET_NS
        ):
            return self._bad(envelope, f"{format_time(time_ns)} is further in the future than max_ahead_s")
        return time_ns

    @staticmethod
    def _bad(envelope: Envelope, detail: str) -> Reject:
        return Reject(RejectReason.BAD_TIME, envelope.asset, detail)
