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
)
from edge_lstm.codecs.fields import FrameReader, to_seq
from edge_lstm.codecs.json_text import decode_json
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason

__all__ = ["FrameCodec", "JsonFrameCodec"]

_FLAT = msgspec.json.Decoder(dict[str, float | str | None])
_NESTED = msgspec.json.Decoder(dict[str, float | str | dict[str, float | None] | None])
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
    """

    def __init__(self, source: InputConfig) -> None:
        super().__init__(source)
        self._values_field, self._names = source.values_field, dict(source.channels)
        self._time_field = source.time_field
        others = source.asset_field, source.seq_field, source.schema_field
        self._others = others if any(others) else None
        self._skip = set(self._names.values()) - set(self._names)
        said = [name for name in (*others, source.time_field, source.values_field) if name is not None]
        self._short = not any("." in name for name in said) and len(set(said)) == len(said)

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        if self._short:
            try:
                reading = self._plain(payload, envelope)
            except (ValueError, KeyError):  # something else than numbers: the long way says what
                reading = None
            if reading is not None:
                return Decoded((reading,))
        try:
            body = decode_json(payload)
        except (ValueError, RecursionError) as error:
            return refused(RejectReason.UNDECODABLE, envelope.asset, str(error))
        return self.readings(body, envelope)

    def _plain(self, payload: bytes, envelope: Envelope) -> Reading | None:
        """The reading of a frame of numbers, or ``None`` for the long way.

        Raises:
            ValueError: Not a frame of numbers.
            KeyError: A field is not there.
        """
        body: dict[str, Any]
        if self._values_field is None:
            body = values = _FLAT.decode(payload)
            quotes = 2 * len(body)
        else:
            body = _NESTED.decode(payload)
            values = body[self._values_field]
            if type(values) is not dict:
                return None
            quotes = 2 * (len(body) + len(values))
        if len(values) > MAX_MEMBERS:
            return None
        if self._time_field is None:
            time_ns = self._frames.time.arrival(envelope)
        else:
            said = body.pop(self._time_field)
            if type(said) is str:
                quotes += 2
            elif type(said) is not float or not -_EXACT < said < _EXACT:
                return None
            time_ns = self._frames.time.convert(said, envelope)
        asset, seq = envelope.asset, None
        if self._others:
            asset, seq, texts = self._named(body, envelope)
            quotes += 2 * texts
        if type(time_ns) is not int or payload.count(b'"') != quotes:
            return None
        if self._names:
            names, skip = self._names, self._skip
            values = {names.get(key, key): value for key, value in values.items() if key not in skip}
        return Reading(asset, time_ns, values, seq)

    def _named(self, body: dict[str, Any], envelope: Envelope) -> tuple[str, int | None, int]:
        """Asset, count, and how many of the fields taken out were text.

        Raises:
            ValueError: One of them is wrong.
            KeyError: One of them is not there.
        """
        asset_field, seq_field, schema_field = self._others
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
            seq = to_seq(body.pop(seq_field, None))
            if isinstance(seq, str) or (seq is not None and seq >= _EXACT):
                raise ValueError("a count that a double cannot hold")
        return asset, seq, texts
