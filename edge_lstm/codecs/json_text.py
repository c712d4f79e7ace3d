"""JSON text to plain data, with the caps and the strictness that docs/format-reading.md lists."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import msgspec

from edge_lstm.codecs.base import MAX_DEPTH, MAX_OBJECTS, TooLargeError

__all__ = ["decode_json"]

_ANY = msgspec.json.Decoder()
_MEMBER = re.compile(rb'"\s*:')


def decode_json(payload: bytes) -> Any:  # noqa: ANN401 - JSON is any data
    """The data of a JSON text.

    Strictly RFC 8259 in UTF-8 without a byte order mark: no NaN, no infinity, no number
    beyond the doubles, no lone surrogates; and no key twice in an object.

    Raises:
        TooLargeError: There is more in it than is read.
        ValueError: It is none, or is nested too deep; the message is for people.
    """
    # A list of empty lists takes thirty times the text's memory: what cannot be a message goes unread.
    if payload.count(b"{") + payload.count(b"[") > MAX_OBJECTS:
        raise TooLargeError(f"more than {MAX_OBJECTS} objects and lists")
    try:
        body = _ANY.decode(payload)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    # Every member has a quote and a colon: as many of them as members is proof that no key is there twice.
    if _members(body, MAX_DEPTH) != len(_MEMBER.findall(payload)):
        json.loads(payload, object_pairs_hook=_unique)
    return body


def _members(body: Any, depth: int) -> int:  # noqa: ANN401 - JSON is any data
    """How many members all objects have together; ``depth`` is how deep they may be nested."""
    if not isinstance(body, dict | list):
        return 0
    if depth <= 0:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    inner = body.values() if isinstance(body, dict) else body
    count = len(body) if isinstance(body, dict) else 0
    return count + sum(_members(value, depth - 1) for value in inner if isinstance(value, dict | list))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {twice[:60]!r} is there twice")
    return found
