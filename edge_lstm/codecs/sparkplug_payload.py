"""Payloads of Sparkplug B: the fields of its Protobuf messages that are read, and the one that is written.

Field numbers and data types are those of the Sparkplug 3.0.0 specification, chapter 6.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_lstm.codecs.base import MAX_VALUES, TooLargeError
from edge_lstm.codecs.fields import to_number
from edge_lstm.codecs.protowire import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    bytes_field,
    double,
    fields,
    float32,
    varint_field,
)

__all__ = ["BDSEQ", "Metric", "Payload", "number_of", "read_payload", "rebirth"]

BDSEQ = "bdSeq"
"""The metric that pairs a death certificate with a birth."""
_BOOLEAN = 11
_BITS = {1: 8, 2: 16, 3: 32, 4: 64}  # Int8 to Int64 are written as unsigned two's complement
_UNSIGNED = (5, 6, 7, 8)
_FLOATS = (9, 10)
_GOOD = 192  # property Quality: codes are 0 bad, 192 good, 500 stale
_REBIRTH = "Node Control/Rebirth"
_MAX_FIELDS = 32
_FIRST_VALUE, _WHOLE = 10, (10, 11)  # int_value and long_value
_KINDS = {
    **dict.fromkeys((2, 3, 4, 7, *_WHOLE, 14), VARINT),  # alias, timestamp, datatype, is_null, boolean_value
    **dict.fromkeys((1, 9, 15, 16, 17, 18, 19), BYTES),  # name, properties, text and structures
    12: FIXED32,  # float_value
    13: FIXED64,  # double_value
}


class Metric(NamedTuple):
    """One metric of a payload.

    Attributes:
        name: Empty when only the alias is there.
        alias: The number that a birth gave to a name.
        time_ms: Milliseconds since 1970-01-01 UTC, 0 when the payload's time holds.
        datatype: As in the specification, 0 when it is not there, as in data.
        value: What is written, whatever the data type makes of it; ``None`` is null or no number.
        whole: Whether the value was in a field for whole numbers.
        good: Whether it has no quality, or a good one.
    """

    name: str
    alias: int | None
    time_ms: int
    datatype: int
    value: int | float | bool | None
    whole: bool
    good: bool


class Payload(NamedTuple):
    """A payload.

    Attributes:
        time_ms: Milliseconds since 1970-01-01 UTC, 0 when it is not there.
        seq: Of 0 to 255; what is not there is 0, which some encoders leave out.
        metrics: The metrics.
    """

    time_ms: int
    seq: int
    metrics: list[Metric]


def read_payload(raw: bytes) -> Payload:
    """Read a payload.

    Raises:
        ValueError: It is none, or has more metrics than are read.
    """
    time_ms = seq = 0
    metrics: list[Metric] = []
    for number, kind, value in fields(raw, MAX_VALUES + _MAX_FIELDS):
        if number == 2 and isinstance(value, bytes) and kind == BYTES:
            metrics.append(_metric(value))
            if len(metrics) > MAX_VALUES:
                raise TooLargeError(f"more than {MAX_VALUES} metrics")
        elif number == 1 and isinstance(value, int):
            time_ms = value
        elif number == 3 and isinstance(value, int):
            seq = value
    if seq > 255:
        raise ValueError(f"sequence number {seq}")
    return Payload(time_ms, seq, metrics)


def _metric(raw: bytes) -> Metric:
    seen: dict[int, int | bytes] = {}
    which = 0  # of the fields that may hold the value, the last one counts
    for number, kind, found in fields(raw, _MAX_FIELDS):
        if _KINDS.get(number) == kind:
            seen[number] = found
            which = number if number >= _FIRST_VALUE else which
    name, properties = seen.get(1, b""), seen.get(9)
    return Metric(
        name=name.decode() if isinstance(name, bytes) else "",
        alias=_whole(seen.get(2)),
        time_ms=_whole(seen.get(3)) or 0,
        datatype=_whole(seen.get(4)) or 0,
        value=None if seen.get(7) else _value(which, seen.get(which)),
        whole=which in _WHOLE,
        good=not isinstance(properties, bytes) or _is_good(properties),
    )


def _whole(found: int | bytes | None) -> int | None:
    return found if isinstance(found, int) else None


def _value(which: int, found: int | bytes | None) -> int | float | bool | None:
    """What stands in a field of the value; text, bytes and structures are no number."""
    if isinstance(found, int):
        return found if which in _WHOLE else found != 0
    if found is None or which not in (12, 13):
        return None
    return float32(found) if which == 12 else double(found)


def _is_good(raw: bytes) -> bool:
    """Whether a set of properties has no ``Quality``, or a good one."""
    keys: list[bytes] = []
    values: list[bytes] = []
    for number, kind, value in fields(raw, 2 * MAX_VALUES):
        if kind == BYTES and isinstance(value, bytes) and number in (1, 2):
            (keys if number == 1 else values).append(value)
    for key, value in zip(keys, values, strict=False):
        if key == b"Quality":
            codes = [
                found
                for number, kind, found in fields(value, _MAX_FIELDS)
                if kind == VARINT and number in (3, 4)
            ]
            return codes == [_GOOD]
    return True


def number_of(metric: Metric, datatype: int) -> float | None:
    """The value as a number, ``None`` when it is null, no number, or its type is not known."""
    value = metric.value
    if value is None:
        return None
    if metric.whole and isinstance(value, int):
        if (bits := _BITS.get(datatype)) is not None:
            value &= (1 << bits) - 1
            return float(value - (1 << bits) if value >> (bits - 1) else value)
        return float(value) if datatype in _UNSIGNED or datatype == _BOOLEAN else None
    return to_number(value) if datatype in _FLOATS or datatype == _BOOLEAN else None


def rebirth(time_ns: int) -> bytes:
    """The payload of a command that asks an edge node for its birth certificates."""
    time_ms = time_ns // 1_000_000
    metric = bytes_field(1, _REBIRTH.encode()) + varint_field(3, time_ms)
    metric += varint_field(4, _BOOLEAN) + varint_field(14, 1)
    return varint_field(1, time_ms) + bytes_field(2, metric)
