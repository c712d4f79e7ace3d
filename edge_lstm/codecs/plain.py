"""One value a message: a plain number, or an object with the value and perhaps its time."""

from __future__ import annotations

import re
from typing import Any

from edge_lstm.codecs.base import Decoded, Envelope, Stateless, refused, unreadable
from edge_lstm.codecs.fields import ABSENT, TimeReader, dig, to_number
from edge_lstm.codecs.json_text import decode_json
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason

__all__ = ["PlainCodec"]

# What programs print for a number. Not what float() takes besides: nan, inf, 1_000, other scripts' digits.
_NUMBER = re.compile(rb"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")
_EMPTY = {b"null": None, b"true": 1.0, b"false": 0.0}
_MAX_BYTES = 512


class PlainCodec(Stateless):
    """Reads ``12.5``, or with ``value_field`` ``{"value": 12.5, "time": …}``; see docs/format-reading.md.

    Args:
        source: The input.
    """

    def __init__(self, source: InputConfig) -> None:
        self._value_field, self._names = source.value_field, dict(source.channels)
        self._time = TimeReader(source)

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        body: dict[str, Any] | None = None
        if self._value_field is None:
            value: Any = _plain(payload)
        else:
            try:
                body = decode_json(payload)
            except ValueError as error:
                return unreadable(error, envelope.asset)
            value = dig(body, self._value_field) if isinstance(body, dict) else ABSENT
        if value is ABSENT:
            wanted = "a number" if body is None else f"a value in '{self._value_field}'"
            return refused(RejectReason.UNDECODABLE, envelope.asset, f"expected {wanted}")
        time_ns = self._time.read(body, envelope)
        if isinstance(time_ns, Reject):
            return Decoded((time_ns,))
        name = self._names.get(envelope.channel, envelope.channel)
        number = to_number(value)
        odd = (name,) if number is None and value is not None else ()
        reading = Reading(
            envelope.asset, time_ns, {name: number}, None, envelope.arrived_ns, envelope.reorder_ns
        )
        return Decoded((reading,), odd)


def _plain(payload: bytes) -> Any:  # noqa: ANN401 - a number, null, or ABSENT
    match = _NUMBER.fullmatch(payload) if len(payload) <= _MAX_BYTES else None
    return float(match[1]) if match else _EMPTY.get(payload.strip().lower(), ABSENT)
