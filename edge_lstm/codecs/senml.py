"""SenML (RFC 8428) in JSON and in CBOR: packs of records that share base values."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from edge_lstm.codecs.base import (
    MAX_OBJECTS,
    MAX_READINGS,
    Decoded,
    Envelope,
    Stateless,
    gathered,
    refused,
    unreadable,
)
from edge_lstm.codecs.cbor_data import decode_cbor
from edge_lstm.codecs.fields import TimeReader, to_number
from edge_lstm.codecs.json_text import decode_json
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reject, RejectReason
from edge_lstm.times import NS, parse_time

__all__ = ["SenmlCodec"]

_VERSION = 10  # RFC 8428, section 4.4: the version that this document is of
_ABSOLUTE = 2**28  # section 4.5.3: seconds below it count from now, others from 1970
_LABELS = ("n", "u", "v", "vs", "vb", "s", "t", "ut", "vd")  # section 6: CBOR labels 0, 1, 2, …
_BASE_LABELS = ("bver", "bn", "bt", "bu", "bv", "bs")  # section 6: CBOR labels -1, -2, …
_OF_INTEGER: dict[Any, str] = {
    **dict(enumerate(_LABELS)),
    **{-1 - number: label for number, label in enumerate(_BASE_LABELS)},
}
_TEXTS = frozenset(("bn", "bu", "n", "u", "vs"))
_NUMBERS = frozenset(("bt", "bv", "bs", "bver", "v", "s", "t", "ut"))
_NOTHING: Final = object()
_UNSUPPORTED = RejectReason.SCHEMA_UNSUPPORTED
_KNOWN = frozenset((*_LABELS, *_BASE_LABELS))


class _PackError(ValueError):
    """The pack is not SenML, or not SenML that may be read."""

    def __init__(self, detail: str, reason: RejectReason = RejectReason.UNDECODABLE) -> None:
        super().__init__(detail)
        self.reason = reason


class _Base(NamedTuple):
    """What holds for the records that follow (section 4.1)."""

    name: str = ""
    time_ns: int = 0
    value: float | None = None


class SenmlCodec(Stateless):
    """Reads packs; see docs/format-reading.md for how names become channels.

    Args:
        source: The input.
    """

    def __init__(self, source: InputConfig) -> None:
        self._names, self._time = dict(source.channels), TimeReader(source)

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        try:
            return self._pack(_records(payload), envelope)
        except _PackError as error:
            return refused(error.reason, envelope.asset, str(error))
        except ValueError as error:
            return unreadable(error, envelope.asset)

    def _pack(self, records: list[Any], envelope: Envelope) -> Decoded:
        """The readings of a pack.

        Raises:
            ValueError: It breaks a rule of the RFC.
        """
        base, version = _Base(), _VERSION
        found: dict[tuple[str, int], dict[str, float | None]] = {}
        rejects: list[Reject] = []
        odd: list[str] = []
        for number, raw in enumerate(records):
            record = _checked(raw)
            if (said := record.get("bver", version)) != version:
                version = _new_version(said, first=number == 0)
            base = _rebased(base, record)
            value = _value(record, base)
            if value is _NOTHING:
                continue  # base values or a sum alone: nothing was measured
            time_ns = self._moment(base.time_ns + _ns(record.get("t", 0)), envelope)
            if isinstance(time_ns, Reject):
                rejects = rejects or [time_ns]
                continue
            name = self._channel(base.name, record.get("n", ""))
            values = found.setdefault((envelope.asset, time_ns), {})
            values[name] = measured = to_number(value)
            if measured is None:
                odd.append(name)
        if len(found) > MAX_READINGS:
            raise _PackError(f"more than {MAX_READINGS} times in a pack", RejectReason.TOO_LARGE)
        items = gathered(found, rejects, envelope)
        if not items:
            raise _PackError("no record has a value")
        return Decoded(items, tuple(odd))

    def _moment(self, time_ns: int, envelope: Envelope) -> int | Reject:
        """A time that is resolved (section 4.5.3), or why it cannot be used."""
        if time_ns < _ABSOLUTE * NS:
            now_ns = self._time.arrival(envelope)
            if isinstance(now_ns, Reject):
                return now_ns
            time_ns += now_ns
        if abs(time_ns) >= 2**63:
            return Reject(RejectReason.BAD_TIME, envelope.asset, "base time and time are out of range")
        return self._time.check(time_ns, envelope)

    def _channel(self, base: str, name: str) -> str:
        """By its full name in ``channels``, else by the name without the base name, mapped or as it is."""
        full = base + name
        if not full:
            raise _PackError("a record has neither a name nor a base name")
        if full in self._names:
            return self._names[full]
        return self._names.get(name, name) if name else full


def _records(payload: bytes) -> list[dict[Any, Any]]:
    """The records of a pack; JSON begins with a bracket, CBOR with a byte from 0x80 on."""
    binary = payload[:1] >= b"\x80"
    pack = decode_cbor(payload, decimals=True) if binary else decode_json(payload)
    if not isinstance(pack, list):
        raise _PackError("expected a list of records")
    if not 1 <= len(pack) <= MAX_OBJECTS:
        reason = RejectReason.TOO_LARGE if pack else RejectReason.UNDECODABLE
        raise _PackError(f"a list of {len(pack)}; expected 1 to {MAX_OBJECTS} records", reason)
    if not binary:
        return pack
    return [_labelled(one) for one in pack]


def _labelled(record: Any) -> Any:  # noqa: ANN401 - what is no map is said by `_checked`
    """A record of CBOR with its labels as in JSON (section 6)."""
    if not isinstance(record, dict):
        return record
    named = {_OF_INTEGER.get(key, key) if type(key) is int else key: value for key, value in record.items()}
    if len(named) != len(record):
        raise _PackError("a field is there as number and as text")
    return named


def _checked(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any data
    """A record with fields of the right kinds; unknown ones are ignored unless they must be understood."""
    if not isinstance(record, dict):
        raise _PackError("a record is not an object")
    for key, value in record.items():
        if key in _TEXTS:
            good = type(value) is str
        elif key in _NUMBERS:
            good = type(value) in (int, float)
        elif key == "vb":
            good = type(value) is bool
        else:
            good = True
        if not good:
            raise _PackError(f"field '{key}' is of the wrong kind")
        if key not in _KNOWN and (type(key) is not str or key.endswith("_")):
            # Section 4.4: labels that end with _ must be understood; integers are used up by section 6.
            raise _PackError(f"field {str(key)[:60]!r} must be understood, and is not", _UNSUPPORTED)
    return record


def _new_version(said: Any, *, first: bool) -> int:  # noqa: ANN401 - a number
    if said > _VERSION:
        raise _PackError(f"version {said} of SenML; {_VERSION} is known", _UNSUPPORTED)
    if type(said) is not int or said < 1 or not first:
        raise _PackError(f"version {said} in the middle of a pack, or no version")
    return said


def _rebased(base: _Base, record: dict[str, Any]) -> _Base:
    """The base values from this record on; the base sum and the base unit are of no use here."""
    if not ("bn" in record or "bt" in record or "bv" in record):
        return base
    return _Base(
        record.get("bn", base.name),
        _ns(record["bt"]) if "bt" in record else base.time_ns,
        record.get("bv", base.value),
    )


def _value(record: dict[str, Any], base: _Base) -> Any:  # noqa: ANN401 - JSON is any data
    """The value of a record, or `_NOTHING`; text and data are values that are no numbers.

    Section 4.2 lets a record have one kind of value only; section 4.5.4 adds the base value.
    """
    kinds = [key for key in ("v", "vb", "vs", "vd") if key in record]
    if len(kinds) > 1:
        raise _PackError(f"a record has both '{kinds[0]}' and '{kinds[1]}'")
    if not kinds:
        return _NOTHING if base.value is None or "s" in record or "n" not in record else base.value
    if kinds != ["v"]:
        return record[kinds[0]]
    try:
        return record["v"] + (base.value or 0)
    except OverflowError:  # a whole number of hundreds of digits and a double
        return math.inf


def _ns(seconds: float) -> int:
    try:
        return parse_time(seconds, "s")
    except (ValueError, OverflowError) as error:
        raise _PackError(str(error), RejectReason.BAD_TIME) from error
