"""InfluxDB line protocol: measurement, tags, fields and time of a point in one line.

The grammar is that of docs.influxdata.com, "Line protocol reference" (InfluxDB v2).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edge_lstm.codecs.base import (
    MAX_BYTES,
    MAX_READINGS,
    MAX_VALUES,
    Decoded,
    Envelope,
    Stateless,
    TooLargeError,
    gathered,
    refused,
    unreadable,
)
from edge_lstm.codecs.fields import ABSENT, AssetReader, TimeReader
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reject, RejectReason
from edge_lstm.times import NS

__all__ = ["InfluxCodec"]

# Every repetition is possessive: whatever the text, it is looked at once. All but that of the tags, of
# which nothing can be read in two ways: Python 3.11.2, which Debian 12 has, takes half a tag there.
_KEY = r"(?:[^,=\s\\]|\\.)++"
_SERIES = re.compile(rf"((?:[^,\s\\]|\\.)++)((?:,{_KEY}={_KEY})*) ++")
_TAG = re.compile(rf",({_KEY})=({_KEY})")
_FIELD = re.compile(rf'({_KEY})=("(?:[^"\\]|\\.)*+"|[^,\s"]++)', re.DOTALL)
_END = re.compile(r"(?: ++(-?[0-9]{1,19}))? *+\r?(?:\n|\Z)")
_BLANK = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_ESCAPED = re.compile(r"\\([,= ])")  # a backslash before anything else stands for itself
_FLOAT = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_INTEGER = re.compile(r"(-?[0-9]{1,20})([iu])")
_TRUTH = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), 1.0),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), 0.0),
}
_UNITS = {"auto": 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": NS}
_INT64 = 2**63


class _Point(NamedTuple):
    """One line.

    Attributes:
        measurement: Its name.
        tags: The text of the tags, each with its comma.
        fields: Name to value; ``None`` is text.
        time: As it stands there, in the unit of the precision, or ``None``.
    """

    measurement: str
    tags: str
    fields: dict[str, float | None]
    time: int | None


class InfluxCodec(Stateless):
    """Reads points; see docs/format-reading.md for how they become readings.

    Args:
        source: The input.
    """

    def __init__(self, source: InputConfig) -> None:
        self._names, self._tag = dict(source.channels), source.asset_field
        self._time, self._assets = TimeReader(source), AssetReader()
        self._unit = _UNITS[source.time_format]

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        if len(payload) > MAX_BYTES:
            return refused(RejectReason.TOO_LARGE, envelope.asset, f"more than {MAX_BYTES} bytes of lines")
        try:
            points = _points(payload.decode())
        except ValueError as error:
            return unreadable(error, envelope.asset)
        if not points:
            return refused(RejectReason.UNDECODABLE, envelope.asset, "no line has a point")
        if len(points) > MAX_READINGS:
            return refused(RejectReason.TOO_LARGE, envelope.asset, f"more than {MAX_READINGS} lines")
        found: dict[tuple[str, int], dict[str, float | None]] = {}
        rejects: list[Reject] = []
        odd: list[str] = []
        for point in points:
            asset = self._asset(point, envelope)
            time_ns = asset if isinstance(asset, Reject) else self._moment(point, asset, envelope)
            if isinstance(asset, Reject) or isinstance(time_ns, Reject):
                rejects += [time_ns] if isinstance(time_ns, Reject) else []
                continue
            values = found.setdefault((asset, time_ns), {})
            for field, value in point.fields.items():
                name = self._channel(point.measurement, field)
                values[name] = value
                if value is None:
                    odd.append(name)
        return Decoded(gathered(found, rejects, envelope), tuple(odd))

    def _asset(self, point: _Point, envelope: Envelope) -> str | Reject:
        if self._tag is None:
            return envelope.asset
        named = (_plain(text) for key, text in _TAG.findall(point.tags) if _plain(key) == self._tag)
        return self._assets.read(next(named, ABSENT))

    def _moment(self, point: _Point, asset: str, envelope: Envelope) -> int | Reject:
        if point.time is None:
            time_ns = self._time.arrival(envelope)
        elif abs(point.time * self._unit) >= _INT64:
            detail = f"time {point.time} is out of range: is time_format the precision of the lines?"
            time_ns = Reject(RejectReason.BAD_TIME, asset, detail)
        else:
            time_ns = self._time.check(point.time * self._unit, envelope)
        return time_ns if isinstance(time_ns, int) else Reject(time_ns.reason, asset, time_ns.detail)

    def _channel(self, measurement: str, field: str) -> str:
        """By ``MEASUREMENT.FIELD`` in ``channels``, else by the field alone, mapped or as it is."""
        if not self._names:
            return field
        mapped = self._names.get(f"{measurement}.{field}")
        return self._names.get(field, field) if mapped is None else mapped


def _points(text: str) -> list[_Point]:
    """The points of a text.

    Raises:
        ValueError: A line is not line protocol, or there is too much in it.
    """
    points: list[_Point] = []
    at, count = 0, 0
    while True:
        if (blank := _BLANK.match(text, at)) is not None:
            at = blank.end()
        if at == len(text) or len(points) > MAX_READINGS:
            return points
        point, end = _point(text, at)
        count += len(point.fields)
        if count > MAX_VALUES:
            raise TooLargeError(f"more than {MAX_VALUES} fields")
        points.append(point)
        at = end


def _point(text: str, at: int) -> tuple[_Point, int]:
    """The point that begins at a place, and where it ends."""
    start = at
    series = _SERIES.match(text, at)
    if series is None:
        raise _bad(text, start, "expected measurement, tags and a blank before the fields")
    at = series.end()
    fields: dict[str, float | None] = {}
    while True:
        field = _FIELD.match(text, at)
        if field is None:
            raise _bad(text, start, "expected a field like name=1.5")
        fields[_plain(field[1])] = _value(field[2])
        at = field.end()
        if text[at : at + 1] != ",":
            break
        at += 1
    end = _END.match(text, at)
    if end is None:
        raise _bad(text, start, "expected the end of the line, or a time as a whole number")
    time = int(end[1]) if end[1] else None
    return _Point(_plain(series[1]), series[2], fields, time), end.end()


def _value(text: str) -> float | None:
    """A field's value; ``None`` is text. Influx knows no NaN and no infinity."""
    if text[0] == '"':
        return None
    if (integer := _INTEGER.fullmatch(text)) is not None:
        number = int(integer[1])
        least, most = (-_INT64, _INT64) if integer[2] == "i" else (0, 2 * _INT64)
        if not least <= number < most:
            raise ValueError(f"{text} is out of range")
        return float(number)
    if _FLOAT.fullmatch(text):
        number_found = float(text)
        if number_found - number_found == 0:
            return number_found
    elif text in _TRUTH:
        return _TRUTH[text]
    raise ValueError(f"{text[:60]!r} is not a value of a field")


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _bad(text: str, start: int, what: str) -> ValueError:
    line = text.count("\n", 0, start) + 1
    return ValueError(f"line {line}: {what}, got {text[start : start + 60]!r}")
