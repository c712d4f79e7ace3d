"""Objects to readings: where values, times, names and counts stand in decoded JSON or CBOR."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from edge_lstm.codecs.base import MAX_MEMBERS, Envelope
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.times import CLOCK_SET_NS, NS, format_time, parse_time
from edge_lstm.topics import check_name

__all__ = ["ABSENT", "AssetReader", "FrameReader", "Moment", "TimeReader", "dig", "to_number", "to_seq"]

ABSENT = object()
"""What `dig` finds when nothing is there; null is something."""

_FACTORS = {"auto": 0, "s": NS, "ms": 1_000_000, "us": 1_000, "ns": 1}
_EXACT = 2.0**53  # whole numbers below it are exact as doubles; 2^53 us is the year 2255
_MAX_SEQ = 2**63 - 1
_REMEMBERED = 10_000


class Moment(msgspec.Struct, frozen=True, gc=False):
    """A time that a format marks as one, so that its form needs no telling (CBOR tags 0 and 1)."""

    time_ns: int


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


def to_seq(value: Any) -> int | str | None:  # noqa: ANN401 - JSON is any data
    """A source's count: a whole number from 0 to 2^63 - 1, ``None`` for none, text for what is wrong."""
    if value is ABSENT or value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and 0 <= value <= _MAX_SEQ:
        return value
    return f"expected a whole number of at least 0, got {repr(value)[:60]}"


class _RefusedError(Exception):
    """Carries the reason for which an object is no reading."""

    def __init__(self, reason: RejectReason, asset: str, detail: str) -> None:
        super().__init__(detail)
        self.reject = Reject(reason, asset, detail)


class TimeReader:
    """The time of a reading: from the payload, or the time of arrival.

    Args:
        source: The input.
    """

    def __init__(self, source: InputConfig) -> None:
        self._field, self._format = source.time_field, source.time_format
        self._ahead_ns = round(source.max_ahead_s * NS)
        self._factor = _FACTORS.get(source.time_format)  # 0 for auto

    def read(self, body: dict[str, Any] | None, envelope: Envelope) -> int | Reject:
        """Nanoseconds since 1970-01-01 UTC, or why there is no time."""
        if self._field is None or body is None:
            return self.arrival(envelope)
        return self.convert(dig(body, self._field), envelope)

    def arrival(self, envelope: Envelope) -> int | Reject:
        """The time of arrival, if the message was not kept by the broker: nobody knows how old it is then."""
        if not envelope.retained:
            return envelope.arrived_ns
        detail = "kept by the broker from before the subscription, and nothing in it says how old it is"
        return Reject(RejectReason.STALE_RETAINED, envelope.asset, detail)

    def convert(self, value: Any, envelope: Envelope) -> int | Reject:  # noqa: ANN401 - JSON is any data
        """A time as it stands in the payload."""
        if isinstance(value, Moment):
            return self.check(value.time_ns, envelope)
        if not isinstance(value, str | int | float):
            got = "nothing" if value is ABSENT else repr(value)[:60]
            return self._bad(envelope, f"expected a time in '{self._field}', got {got}")
        try:
            time_ns = parse_time(value, self._format)
        except (ValueError, OverflowError) as error:
            return self._bad(envelope, str(error)[:200])
        return self.check(time_ns, envelope)

    def quick(self, value: float, envelope: Envelope) -> int | None:
        """What `convert` gives for the usual numbers at a third of its cost, ``None`` for all others."""
        factor = self._factor
        if factor is None or not 0 < value < _EXACT:
            return None
        if not factor:
            factor = NS if value < 1e11 else 1_000_000 if value < 1e14 else 1_000
        time_ns = (whole := int(value)) * factor
        if whole != value:
            time_ns += round((value - whole) * factor)
        ahead_ns = time_ns - envelope.arrived_ns
        return time_ns if ahead_ns <= 0 or ahead_ns <= self._ahead_ns else None

    def check(self, time_ns: int, envelope: Envelope) -> int | Reject:
        """The time itself, unless it is further in the future than ``max_ahead_s``.

        One reading from the year 2100 would make every honest one after it late, for good.
        """
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


class AssetReader:
    """The asset that a payload names, checked as the levels of a topic are; good names are remembered."""

    def __init__(self) -> None:
        self._good: set[str] = set()

    def read(self, value: Any) -> str | Reject:  # noqa: ANN401 - JSON is any data
        """The asset; a whole number is taken as its digits."""
        name = _as_text(value)
        if name in self._good:
            return name
        if name is None:
            got = "nothing" if value is ABSENT else repr(value)[:60]
            return Reject(RejectReason.BAD_ASSET, detail=f"expected the asset's name, got {got}")
        if why := check_name(name):
            return Reject(RejectReason.BAD_ASSET, detail=f"asset {name[:60]!r} cannot be used: {why}")
        if len(self._good) >= _REMEMBERED:  # somebody invents assets
            self._good.clear()
        self._good.add(name)
        return name


class FrameReader:
    """One object to one reading; see docs/format-reading.md.

    Args:
        source: The input.

    Attributes:
        time: Reads times.
        assets: Reads names of assets.
    """

    def __init__(self, source: InputConfig) -> None:
        self._source, self._names = source, dict(source.channels)
        self._schemas = frozenset(source.schemas)
        self.time, self.assets = TimeReader(source), AssetReader()
        # Not channels: what has a meaning of its own, and names that another name of the payload stands for.
        self._skip = set(self._names.values()) - set(self._names)
        if source.values_field is None:
            special = (source.time_field, source.asset_field, source.seq_field, source.schema_field)
            self._skip |= {name for name in special if name is not None}

    def read(self, body: Any, envelope: Envelope, odd: list[str]) -> Reading | Reject:  # noqa: ANN401 - any data
        """The reading in an object, or why there is none.

        Args:
            body: Decoded JSON or CBOR.
            envelope: The message around it.
            odd: Takes the channels whose value is not a number.
        """
        try:
            return self._read(body, envelope, odd)
        except _RefusedError as error:
            return error.reject

    def _read(self, body: Any, envelope: Envelope, odd: list[str]) -> Reading:  # noqa: ANN401 - any data
        source = self._source
        found = self._found(body, envelope.asset)
        asset = envelope.asset
        if source.asset_field is not None:
            asset = _good(self.assets.read(dig(body, source.asset_field)))
        if source.schema_field is not None and (why := self.schema(dig(body, source.schema_field))):
            raise _RefusedError(RejectReason.SCHEMA_UNSUPPORTED, asset, why)
        time_ns = self.time.read(body, envelope)
        if isinstance(time_ns, Reject):
            raise _RefusedError(time_ns.reason, asset, time_ns.detail)
        seq = None if source.seq_field is None else to_seq(dig(body, source.seq_field))
        if isinstance(seq, str):
            raise _RefusedError(RejectReason.UNDECODABLE, asset, f"{source.seq_field}: {seq}")
        values = self._values(found, odd)
        return Reading(asset, time_ns, values, seq, envelope.arrived_ns, envelope.reorder_ns)

    def _found(self, body: Any, asset: str) -> dict[str, Any]:  # noqa: ANN401 - any data
        """The object with the values."""
        where, found = self._source.values_field, body
        if where is not None and isinstance(body, dict):
            found = dig(body, where)
        if not isinstance(found, dict):
            detail = f"expected an object{f' in {where!r}' if where else ''}, got {_kind(found)}"
            raise _RefusedError(RejectReason.UNDECODABLE, asset, detail)
        if found and {*map(type, found)} != {str}:  # CBOR has keys of any kind
            raise _RefusedError(RejectReason.UNDECODABLE, asset, "a key is not text")
        if len(found) > MAX_MEMBERS:
            detail = f"{len(found)} members; at most {MAX_MEMBERS} are read"
            raise _RefusedError(RejectReason.TOO_LARGE, asset, detail)
        return found

    def schema(self, value: Any) -> str | None:  # noqa: ANN401 - JSON is any data
        """Why a schema version is not one of those that the input lists, or ``None`` when it is."""
        if _as_text(value) in self._schemas:
            return None
        got = "nothing" if value is ABSENT else repr(value)[:60]
        return f"expected schema {' or '.join(sorted(self._schemas))}, got {got}"

    def _values(self, found: dict[Any, Any], odd: list[str]) -> dict[str, float | None]:
        values: dict[str, float | None] = {}
        for said, value in found.items():
            if said in self._skip:
                continue
            name = self._names.get(said, said)
            values[name] = number = value if type(value) is float and value - value == 0 else to_number(value)
            if number is None and value is not None:
                odd.append(name)
        return values


def _good(name: str | Reject) -> str:
    if isinstance(name, Reject):
        raise _RefusedError(name.reason, name.asset, name.detail)
    return name


def _as_text(value: Any) -> str | None:  # noqa: ANN401 - JSON is any data
    """Text as it is, a whole number (17, 17.0) as its digits, else ``None``."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and -_MAX_SEQ <= value <= _MAX_SEQ:
        return str(value)
    return value if type(value) is str else None


def _kind(value: object) -> str:
    words = {list: "a list", str: "text", type(None): "null", bool: "a truth value", int: "a number"}
    return "nothing" if value is ABSENT else words.get(type(value), type(value).__name__)
