"""One JSON object a message, several channels in it."""

from __future__ import annotations

from typing import Any

from edge_lstm.codecs.base import Decoded, Envelope, TimeReader, decode_object, dig, to_number
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason

__all__ = ["JsonFrameCodec"]


class JsonFrameCodec:
    """Reads ``{"time": …, "flow": 12.5, "pressure": null}``; see docs/format-reading.md.

    Args:
        source: The input.
    """

    def __init__(self, source: InputConfig) -> None:
        self._values_field, self._names = source.values_field, dict(source.channels)
        self._time = TimeReader(source)
        # Not channels: the time itself, and names that another name of the payload stands for.
        self._skip = set(self._names.values()) - set(self._names)
        if source.time_field is not None and source.values_field is None:
            self._skip.add(source.time_field)

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        body = decode_object(payload, envelope)
        if isinstance(body, Reject):
            return Decoded(body)
        found = body if self._values_field is None else dig(body, self._values_field)
        if not isinstance(found, dict):
            detail = f"expected an object in '{self._values_field}'"
            return Decoded(Reject(RejectReason.UNDECODABLE, envelope.asset, detail))
        time_ns = self._time.read(body, envelope)
        if isinstance(time_ns, Reject):
            return Decoded(time_ns)
        values, odd = self._values(found)
        reading = Reading(envelope.asset, time_ns, values, None, envelope.arrived_ns, self._time.reorder_ns)
        return Decoded(reading, odd)

    def _values(self, found: dict[str, Any]) -> tuple[dict[str, float | None], tuple[str, ...]]:
        values: dict[str, float | None] = {}
        odd: list[str] = []
        for said, value in found.items():
            if said in self._skip:
                continue
            name = self._names.get(said, said)
            values[name] = number = to_number(value)
            if number is None and value is not None:
                odd.append(name)
        return values, tuple(odd)
