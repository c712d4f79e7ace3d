"""The content of a journal block: messages as they arrived, or a control record, in MessagePack.

The first byte says which: ``m`` for an array of messages, each an array of its fields, ``c``
for a control record. Blocks are read back in the order in which they were appended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from edge_lstm.io.transport import Message

__all__ = ["Control", "pack_control", "pack_messages", "unpack"]

_MESSAGES, _CONTROL = ord("m"), ord("c")


class Control(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Something besides messages that changes what the engine remembers.

    Attributes:
        kind: ``tick``: timers were looked at; ``session``: the broker had forgotten us.
        time_ns: When, on the clock of arrivals, nanoseconds since 1970-01-01 UTC.
        since_ns: Since when messages could have come, of the same clock; only for ``tick``.
    """

    kind: Literal["tick", "session"]
    time_ns: int
    since_ns: int = 0


_ENCODER = msgspec.msgpack.Encoder()
_MESSAGE_DECODER = msgspec.msgpack.Decoder(list[Message])
_CONTROL_DECODER = msgspec.msgpack.Decoder(Control)


def pack_messages(messages: Sequence[Message]) -> bytes:
    """A block of messages."""
    return b"m" + _ENCODER.encode(messages)


def pack_control(control: Control) -> bytes:
    """A block of one control record."""
    return b"c" + _ENCODER.encode(control)


def unpack(block: bytes) -> Iterator[Message | Control]:
    """What a block holds, in order.

    Raises:
        ValueError: It is not a block of ours; its checksum was right, so this version did not write it.
    """
    kind = block[0] if block else 0
    if kind == _MESSAGES:
        yield from _MESSAGE_DECODER.decode(memoryview(block)[1:])
    elif kind == _CONTROL:
        yield _CONTROL_DECODER.decode(memoryview(block)[1:])
    else:
        raise ValueError(f"a block of the journal begins with {kind:#04x}, which this version does not know")
