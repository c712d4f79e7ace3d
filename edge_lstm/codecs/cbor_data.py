"""CBOR (RFC 8949) to plain data: numbers, texts, bytes, lists, maps, and times of the standard tags.

A reader of our own, because the libraries make objects of tags (regular expressions, lists
that contain themselves), and the one that can be told not to has no build for 32-bit boards
(docs/adr/0017-reading-formats.md).
"""

from __future__ import annotations

import struct
from typing import Any

from edge_lstm.codecs.base import MAX_BYTES, MAX_DEPTH, TooLargeError
from edge_lstm.codecs.fields import Moment
from edge_lstm.times import parse_time

__all__ = ["decode_cbor"]

_MAX_ITEMS = 32_768  # of any kind, keys as well: 1.8 MB if all were empty lists
_BREAK = object()
_SIMPLE: dict[int, object] = {20: False, 21: True, 22: None, 23: None, 31: _BREAK}  # 23: undefined
_HALF, _SINGLE, _DOUBLE = struct.Struct(">e"), struct.Struct(">f"), struct.Struct(">d")
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_MAX_POWER = 400  # ten to more than this is 0 or infinite as a double


def decode_cbor(payload: bytes, *, decimals: bool = False) -> Any:  # noqa: ANN401 - CBOR is any data
    """The data of one item of CBOR.

    Tags 0 (RFC 3339 text) and 1 (seconds since 1970) become a `Moment`, undefined is null.
    Other tags, keys that are neither text nor whole numbers, and keys given twice are refused.

    Args:
        payload: The item.
        decimals: Whether tag 4 (decimal fraction) is read too, as the double next to it.

    Raises:
        TooLargeError: There is more in it than is read.
        ValueError: It is none, or is nested too deep; the message is for people.
    """
    if len(payload) > MAX_BYTES:
        raise TooLargeError(f"more than {MAX_BYTES} bytes of CBOR")
    reader = _Reader(payload, decimals=decimals)
    try:
        body = reader.item(MAX_DEPTH)
    except (IndexError, struct.error) as error:
        raise ValueError("the item does not end") from error
    if body is _BREAK:
        raise ValueError("a break without a beginning")
    if reader.at != len(payload):
        raise ValueError("something stands behind the item")
    return body


class _Reader:
    """Reads items from a place in the bytes on; running over the end is an IndexError or struct.error."""

    def __init__(self, data: bytes, *, decimals: bool) -> None:
        self._data, self._decimals = data, decimals
        self.at, self._left = 0, _MAX_ITEMS

    def item(self, depth: int) -> Any:  # noqa: ANN401 - CBOR is any data
        """The next item, or `_BREAK`; containers and tags may be nested ``depth`` deep."""
        self._left -= 1
        if self._left < 0:
            raise TooLargeError(f"more than {_MAX_ITEMS} items")
        first = self._data[self.at]
        self.at += 1
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        length = info if info < 24 else self._argument(info)
        if major < 2:
            if length is None:
                raise ValueError("a number without a length")
            return -1 - length if major else length
        if major < 4:
            return self._string(major, length)
        if depth <= 0:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        if major == 6:
            return self._tagged(length, depth - 1)
        return self._list(length, depth - 1) if major == 4 else self._map(length, depth - 1)

    def _argument(self, info: int) -> int | None:
        """The argument of a head (section 3); ``None`` is indefinite length."""
        if info == 31:
            return None
        width = _WIDTHS.get(info)
        if width is None:
            raise ValueError(f"additional information {info}")
        raw = self._take(width)
        return int.from_bytes(raw)

    def _take(self, length: int) -> bytes:
        raw = self._data[self.at : self.at + length]
        if len(raw) != length:
            raise IndexError(length)
        self.at += length
        return raw

    def _simple(self, info: int) -> Any:  # noqa: ANN401 - CBOR is any data
        """Floats and simple values (section 3.3)."""
        if info in _SIMPLE:
            return _SIMPLE[info]
        at = self.at
        if info == 27:
            self.at += 8
            return _DOUBLE.unpack_from(self._data, at)[0]
        if info == 26:
            self.at += 4
            return _SINGLE.unpack_from(self._data, at)[0]
        if info == 25:
            self.at += 2
            return _HALF.unpack_from(self._data, at)[0]
        raise ValueError("a simple value without a meaning")

    def _string(self, major: int, length: int | None) -> str | bytes:
        if length is not None:
            raw = self._take(length)
        else:  # chunks of definite length and the same kind (section 3.2.3)
            chunks = bytearray()
            while (first := self._data[self.at]) != 0xFF:
                self.at += 1
                size = first & 31 if first & 31 < 24 else self._argument(first & 31)
                if first >> 5 != major or size is None:
                    raise ValueError("a string in pieces of another kind")
                chunks += self._take(size)
            self.at += 1
            raw = bytes(chunks)
        return raw.decode() if major == 3 else raw

    def _list(self, length: int | None, depth: int) -> list[Any]:
        found: list[Any] = []
        while length is None or len(found) < length:
            value = self.item(depth)
            if value is _BREAK:
                if length is not None:
                    raise ValueError("a break in a list of known length")
                break
            found.append(value)
        return found

    def _map(self, length: int | None, depth: int) -> dict[str | int, Any]:
        found: dict[str | int, Any] = {}
        while length is None or len(found) < length:
            key = self.item(depth)
            if key is _BREAK and length is None:
                break
            if type(key) is not str and type(key) is not int:
                raise ValueError("a key is neither text nor a whole number")
            if key in found:
                raise ValueError(f"key {str(key)[:60]!r} is there twice")
            value = self.item(depth)
            if value is _BREAK:
                raise ValueError("a key without a value")
            found[key] = value
        return found

    def _tagged(self, tag: int | None, depth: int) -> Any:  # noqa: ANN401 - CBOR is any data
        """Times (sections 3.4.1, 3.4.2) and decimal fractions (3.4.4)."""
        if tag not in (0, 1) and not (tag == 4 and self._decimals):
            raise ValueError("tags other than 0 and 1 (times) are not read")
        value = self.item(depth)
        if tag == 0 and type(value) is str:
            return Moment(parse_time(value, "rfc3339"))
        if tag == 1 and type(value) in (int, float):
            return Moment(parse_time(value, "s"))
        if tag == 4 and type(value) is list and [type(part) for part in value] == [int, int]:
            exponent, mantissa = value
            if abs(exponent) <= _MAX_POWER:
                return float(f"{mantissa}e{exponent}")
        raise ValueError(f"tag {tag} around something else")
