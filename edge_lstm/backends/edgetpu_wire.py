"""What daemon and Edge TPU process say to each other through two pipes.

A message is its length (four bytes, little endian) and that many bytes. The first in each
direction is MessagePack (`Begin`, `Began`); after that a step is numbers alone:

- to the process: the streams' frames, then each state's rows, in the manifest's order;
- back: one byte, 0 for done, then each state's rows, then each head's rows; or 1 and a text.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

import msgspec
import numpy as np

from edge_lstm.contracts.manifest import Manifest
from edge_lstm.core.backend import TensorArray

__all__ = ["DONE", "FAILED", "Began", "Begin", "Gone", "Late", "heads_of", "receive", "send", "split"]

DONE, FAILED = 0, 1
_LENGTH = 4
_MOST = 2**28


class Begin(msgspec.Struct, frozen=True):
    """What the process needs.

    Attributes:
        library: The delegate's shared library.
        manifest: Facts of the bundle.
        model: The compiled network.
    """

    library: str
    manifest: Manifest
    model: bytes


class Began(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        why: Why the TPU cannot be used; empty when it can.
        runtime: What the delegate's library says of its version; empty when it says nothing.
    """

    why: str
    runtime: str = ""


class Gone(Exception):  # noqa: N818 - an end, and not always an error
    """The other side has closed its pipe."""


class Late(Exception):  # noqa: N818
    """The other side did not answer in time."""


def heads_of(manifest: Manifest) -> list[str]:
    """Output tensors that a step gives back, in the heads' order."""
    outputs = {tensor.name for tensor in manifest.outputs}
    return list(dict.fromkeys(h.output for h in manifest.scoring.heads if h.output in outputs))


def send(pipe: int, parts: Sequence[bytes | memoryview]) -> None:
    """Write one message.

    Raises:
        Gone: Nobody reads.
    """
    content = b"".join(parts)
    try:
        left = memoryview(len(content).to_bytes(_LENGTH, "little") + content)
        while left:
            left = left[os.write(pipe, left) :]
    except BrokenPipeError:
        raise Gone from None


def receive(pipe: int, within_s: float | None = None) -> bytes:
    """Read one message.

    Raises:
        Gone: The other side ended before a whole message.
        Late: No whole message within the time.
    """
    deadline = None if within_s is None else time.monotonic() + within_s
    length = int.from_bytes(_exactly(pipe, _LENGTH, deadline), "little")
    if length > _MOST:
        raise Gone
    return _exactly(pipe, length, deadline)


def _exactly(pipe: int, count: int, deadline: float | None) -> bytes:
    got = bytearray()
    while len(got) < count:
        if deadline is not None:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([pipe], [], [], left_s)[0]:
                raise Late
        piece = os.read(pipe, count - len(got))
        if not piece:
            raise Gone
        got += piece
    return bytes(got)


def split(content: bytes, shapes: Sequence[tuple[tuple[int, ...], str]]) -> list[TensorArray]:
    """Cut bytes into arrays of (shape, dtype), one after the other.

    Raises:
        ValueError: They are not that many bytes.
    """
    arrays: list[TensorArray] = []
    at = 0
    for shape, dtype in shapes:
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(content, dtype, count, at).reshape(shape))
        at += arrays[-1].nbytes
    if at != len(content):
        raise ValueError(f"expected {at} bytes, got {len(content)}")
    return arrays
