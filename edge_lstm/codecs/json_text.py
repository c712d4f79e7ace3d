"""JSON text to plain data, with the caps and the strictness that docs/format-reading.md lists."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import msgspec

from edge_lstm.codecs.base import MAX_DEPTH, MAX_VALUES, TooLargeError

__all__ = ["decode_json"]

_ANY = msgspec.json.Decoder()
_MEMBER = re.compile(rb'"\s*:')
_NOT_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[^][{}"]+', re.DOTALL)
_LEAF = re.compile(rb"\[\]|\{\}")


def decode_json(payload: bytes) -> Any:  # noqa: ANN401 - JSON is any data
    """The data of a JSON text.

    Strictly RFC 8259 in UTF-8 without a byte order mark: no NaN, no infinity, no number
    beyond the doubles, no lone surrogates; and no key twice in an object.

    Raises:
        TooLargeError: There is more in it than is read.
        ValueError: It is none, or is nested too deep; the message is for people.
    """
    brackets = payload.count(b"{") + payload.count(b"[")
    # A list of empty lists takes thirty times the text's memory: what cannot be a message goes unread.
    if brackets > MAX_VALUES:
        raise TooLargeError(f"more than {MAX_VALUES} objects and lists")
    if brackets > MAX_DEPTH and _is_deep(payload):
        raise ValueError(f"objects and lists are nested more than {MAX_DEPTH} deep")
    body = _ANY.decode(payload)
    # Every member has a quote and a colon: as many of them as members is proof that no key is there twice.
    if len(_MEMBER.findall(payload)) != _members(body):
        json.loads(payload, object_pairs_hook=_unique)
    return body


def _is_deep(payload: bytes) -> bool:
    """Whether brackets outside of texts are nested too deep; each turn takes the innermost away."""
    left = _NOT_BRACKETS.sub(b"", payload)
    for _ in range(MAX_DEPTH):
        shorter = _LEAF.sub(b"", left)
        if len(shorter) == len(left):
            return False  # nothing, or brackets that do not match, which the decoder will say
        left = shorter
    return bool(left)


def _members(body: Any) -> int:  # noqa: ANN401 - JSON is any data
    if isinstance(body, dict):
        return len(body) + sum(_members(value) for value in body.values() if isinstance(value, dict | list))
    if isinstance(body, list):
        return sum(_members(value) for value in body if isinstance(value, dict | list))
    return 0


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {twice[:60]!r} is there twice")
    return found
