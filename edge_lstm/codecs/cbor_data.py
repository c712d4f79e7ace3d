"""CBOR (RFC 8949) to plain data: numbers, texts, lists, maps, and times of the standard tags."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import cbor2

from edge_lstm.codecs.base import MAX_BYTES, MAX_DEPTH
from edge_lstm.codecs.fields import Moment
from edge_lstm.times import parse_time

__all__ = ["decode_cbor"]


def decode_cbor(payload: bytes, *, decimals: bool = False) -> Any:  # noqa: ANN401 - CBOR is any data
    """The data of one item of CBOR.

    Args:
        payload: The item.
        decimals: Whether tag 4 (decimal fraction) is read, as the double next to it.

    Tags 0 (RFC 3339 text) and 1 (seconds since 1970) become a `Moment`; every other tag is
    refused before anything is made of it, because tags make regular expressions, lists that
    contain themselves, and whatever a later version of the library may add.

    Raises:
        ValueError: It is none, or is beyond the caps; the message is for people.
    """
    if len(payload) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes of CBOR")
    source = BytesIO(payload)
    try:
        body = cbor2.CBORDecoder(
            source,
            semantic_decoders=_TAGS_AND_DECIMALS if decimals else _TAGS,
            tag_hook=_refuse,
            max_depth=MAX_DEPTH,
            allow_duplicate_keys=False,
        ).decode()
    except (cbor2.CBORDecodeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error.__cause__ or error)) from error
    if source.tell() != len(payload):
        raise ValueError("something stands behind the item")
    return body


def _date(value: Any, immutable: bool) -> Moment:  # noqa: ANN401, ARG001, FBT001 - the decoder's interface
    if not isinstance(value, str):
        raise ValueError("tag 0 is for text")
    return Moment(parse_time(value, "rfc3339"))


def _seconds(value: Any, immutable: bool) -> Moment:  # noqa: ANN401, ARG001, FBT001 - the decoder's interface
    if type(value) not in (int, float):
        raise ValueError("tag 1 is for numbers")
    return Moment(parse_time(value, "s"))


def _decimal(value: Any, immutable: bool) -> float:  # noqa: ANN401, ARG001, FBT001 - the decoder's interface
    """RFC 8949, section 3.4.4: [exponent of ten, mantissa]; beyond these sizes a double is 0 or infinite."""
    if not (isinstance(value, list | tuple) and [type(part) for part in value] == [int, int]):
        raise ValueError("tag 4 is for two whole numbers")
    exponent, mantissa = value
    if not (-400 <= exponent <= 400 and abs(mantissa) < 2**64):
        raise ValueError("a decimal fraction of more digits than a double has room for")
    return float(f"{mantissa}e{exponent}")


def _refuse(value: Any, immutable: bool) -> Any:  # noqa: ANN401, ARG001, FBT001 - the decoder's interface
    raise ValueError("tags other than 0 and 1 (times) are not read")


# All tags that cbor2 6.2 gives a meaning of its own; what it does not know goes to `tag_hook`.
_MEANT = (2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
_TAGS: dict[int, Callable[[Any, bool], Any]] = {**dict.fromkeys(_MEANT, _refuse), 0: _date, 1: _seconds}
_TAGS_AND_DECIMALS = {**_TAGS, 4: _decimal}
