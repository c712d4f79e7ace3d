"""The wire format of Protocol Buffers: as much of it as Sparkplug payloads have.

Written after protobuf.dev, "Encoding". A message is a row of fields, each a number and a
value of one of four wire types; groups (types 3 and 4) are deprecated and refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "BYTES",
    "FIXED32",
    "FIXED64",
    "VARINT",
    "bytes_field",
    "double",
    "fields",
    "float32",
    "varint",
    "varint_field",
]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIZES = {FIXED64: 8, FIXED32: 4}
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")


def fields(message: bytes, most: int) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of every field: an unsigned number for a varint, else bytes.

    Args:
        message: The message; those within it are bytes, for another call.
        most: Fields that it may have.

    Raises:
        ValueError: The message ends within a field, has one that cannot be, or too many.
    """
    at, end = 0, len(message)
    while at < end:
        most -= 1
        if most < 0:
            raise ValueError("too many fields")
        tag = message[at]
        at += 1
        if tag >= 0x80:
            tag, at = varint(message, at - 1)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 2**29:
            raise ValueError(f"field number {number}")
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = varint(message, at)
        elif (size := _SIZES.get(kind, -1)) < 0:
            raise ValueError(f"wire type {kind}")
        if at + size > end:
            raise ValueError("the message ends within a field")
        yield number, kind, message[at : at + size]
        at += size


def varint(message: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, and where it ends.

    Raises:
        ValueError: It does not end, or is longer than ten bytes.
    """
    value = shift = 0
    for byte in message[at : at + 10]:
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise ValueError("a number does not end")


def double(raw: bytes) -> float:
    """Eight bytes as a double."""
    return float(_DOUBLE.unpack(raw)[0])


def float32(raw: bytes) -> float:
    """Four bytes as a float."""
    return float(_FLOAT.unpack(raw)[0])


def varint_field(number: int, value: int) -> bytes:
    """A field with an unsigned number, written."""
    return _varint(number << 3 | VARINT) + _varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A field with bytes, text or a message, written."""
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
