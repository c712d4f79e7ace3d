"""One JSON object a message, or a list of them, with several channels in each."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_lstm.codecs.base import (
    MAX_MEMBERS,
    MAX_READINGS,
    Decoded,
    Envelope,
    Stateless,
    refused,
    unreadable,
)
from edge_lstm.codecs.fields import FrameReader, to_seq
from edge_lstm.codecs.json_text import decode_json
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason

__all__ = ["FrameCodec", "JsonFrameCodec"]

_Flat = dict[str, float | str | None]
_Nested = dict[str, float | str | dict[str, float | None] | None]
_FLAT, _FLATS = msgspec.json.Decoder(_Flat), msgspec.json.Decoder(list[_Flat])
_NESTED, _NESTEDS = msgspec.json.Decoder(_Nested), msgspec.json.Decoder(list[_Nested])
_EXACT = 2.0**53  # whole numbers below it are exact as doubles


class FrameCodec(Stateless):
    """Objects, or lists of objects, to readings; what JSON and CBOR have in common.

    Args:
        source: The input.
    """

    def __init__(self, source: InputConfig) -> None:
        self._timed = source.time_field is not None
        self._frames = FrameReader(source)

    def readings(self, body: Any, envelope: Envelope) -> Decoded:  # noqa: ANN401 - any data
        """The readings of decoded data."""
        odd: list[str] = []
        if not isinstance(body, list):
            return Decoded((self._frames.read(body, envelope, odd),), tuple(odd))
        if not 1 <= len(body) <= MAX_READINGS:
            reason = RejectReason.TOO_LARGE if body else RejectReason.UNDECODABLE
            detail = f"a list of {len(body)}; expected 1 to {MAX_READINGS} readings"
            return refused(reason, envelope.asset, detail)
        if len(body) > 1 and not self._timed:
            detail = "a list of readings, and no time_field tells them apart"
            return refused(RejectReason.UNDECODABLE, envelope.asset, detail)
        return Decoded(tuple(self._frames.read(one, envelope, odd) for one in body), tuple(odd))


class JsonFrameCodec(FrameCodec):
    """Reads ``{"time": …, "flow": 12.5, "pressure": null}``; see docs/format-reading.md.

    A frame of numbers takes a short way: msgspec decodes it into floats, and the number of
    quotes says that no key came twice and that no text is where a number should be. All
    else takes the long way, which gives the same for such frames too.

    Args:
        source: The input.

    Attributes:
        is_bare: Whether a payload has nothing but values, under the channels' own names.
    """

    def __init__(self, source: InputConfig) -> None:
        super().__init__(source)
        self._values_field, self._names = source.values_field, dict(source.channels)
        self._time, self._time_field = self._frames.time, source.time_field
        self._most = MAX_READINGS if self._timed else 1
        flat = source.values_field is None
        self._decoder = _FLAT if flat else _NESTED
        self._decoder_of_lists = _FLATS if flat else _NESTEDS
        others = source.asset_field, source.seq_field, source.schema_field
        self._others = others if any(others) else None
        self._skip = set(self._names.values()) - set(self._names)
        said = [name for name in (*others, source.time_field, source.values_field) if name is not None]
        self._short = not any("." in name for name in said) and len(set(said)) == len(said)
        self.is_bare = not (said or self._names)

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        if self._short:
            try:
                if payload[:1] == b"[":
                    return self._list(payload, envelope)
                reading, quotes = self._one(self._decoder.decode(payload), envelope)
                if payload.count(b'"') == quotes:
                    return Decoded((reading,))
            except (ValueError, KeyError):  # something else than numbers: the long way says what
                pass
        return self._long(payload, envelope)

    @staticmethod
    def numbers(payload: bytes) -> dict[str, float | None] | None:
        """The values of a bare frame of numbers; ``None`` for all that `decode` has to look at."""
        try:
            values: Any = _FLAT.decode(payload)
        except ValueError:
            return None
        plain = payload.count(b'"') == 2 * len(values) and len(values) <= MAX_MEMBERS
        return values if plain else None

    def _list(self, payload: bytes, envelope: Envelope) -> Decoded:
        """As `decode`, of a list; raises as `_one` does."""
        if payload.count(b"{") <= 2 * self._most:
            pairs = [self._one(one, envelope) for one in self._decoder_of_lists.decode(payload)]
            if 1 <= len(pairs) <= self._most and payload.count(b'"') == sum(quotes for _, quotes in pairs):
                return Decoded(tuple(reading for reading, _ in pairs))
        return self._long(payload, envelope)

    def _long(self, payload: bytes, envelope: Envelope) -> Decoded:
        try:
            body = decode_json(payload)
        except ValueError as error:
            return unreadable(error, envelope.asset)
        return self.readings(body, envelope)

    def _one(self, body: dict[str, Any], envelope: Envelope) -> tuple[Reading, int]:
        """A reading, and the quotes that its text has if nothing but numbers and known text is in it.

        Raises:
            ValueError: Something is not as it is in such a frame.
            KeyError: A field is not there.
        """
        values, members = body, len(body)
        texts = 0
        if self._values_field is not None:
            values = body[self._values_field]
            if type(values) is not dict:
                raise ValueError("no object")
            members += len(values)
        if members > MAX_MEMBERS:
            raise ValueError("too many members")
        if self._time_field is None:
            time_ns: int | Reject | None = self._time.arrival(envelope)
        else:
            said = body.pop(self._time_field)
            if type(said) is float:
                time_ns = self._time.quick(said, envelope)
            else:
                texts = 1
                time_ns = self._time.convert(said, envelope)
        asset, seq = envelope.asset, None
        if self._others is not None:
            asset, seq, named = self._named(body, envelope)
            texts += named
        if type(time_ns) is not int:
            raise ValueError("no time")
        if self._names:
            names, skip = self._names, self._skip
            values = {names.get(key, key): value for key, value in values.items() if key not in skip}
        reading = Reading(asset, time_ns, values, seq, envelope.arrived_ns, envelope.reorder_ns)
        return reading, 2 * (members + texts)

    def _named(self, body: dict[str, Any], envelope: Envelope) -> tuple[str, int | None, int]:
        """Asset, count, and how many of the fields taken out were text; raises as `_one` does."""
        asset_field, seq_field, schema_field = self._others or (None, None, None)
        asset, seq, texts = envelope.asset, None, 0
        if schema_field is not None:
            schema = body.pop(schema_field)
            texts += type(schema) is str
            if why := self._frames.schema(schema):
                raise ValueError(why)
        if asset_field is not None:
            said = body.pop(asset_field)
            texts += type(said) is str
            named = self._frames.assets.read(said)
            if isinstance(named, Reject):
                raise ValueError(named.detail)
            asset = named
        if seq_field is not None:
            count = to_seq(body.pop(seq_field, None))
            if isinstance(count, str) or (count is not None and count >= _EXACT):
                raise ValueError("a count that a double cannot hold")
            seq = count
        return asset, seq, texts
