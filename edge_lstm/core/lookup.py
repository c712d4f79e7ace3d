"""Quantizing one frame by tables: the numbers of `edge_lstm.core.quantize`, in fewer calls.

A frame has some ten numbers and the model takes a microsecond for it, so that the seven calls
of the arithmetic cost more than the model. There are 256 integers: a table of them says the
same, bit for bit, since it is made by the arithmetic itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Tensor
from edge_lstm.core.quantize import dequantize, quantize

__all__ = ["WIDEST", "RealTable", "steps"]

Floats = NDArray[np.float64]

WIDEST = 64
"""Channels up to which searching the table is not slower than the arithmetic: of 8, 0.7 against 1.7 us."""
_INTEGERS = 256


def steps(tensor: Tensor) -> Floats:
    """A sorted table in which a number's place is its quantized integer, modulo 256.

    The place is ``table.searchsorted(number, "right")``; a cast to int8 takes the modulus.

    Quantizing never falls as the number rises, so the least number of each integer says it
    all. These are found by bisection with `quantize`, for division rounds: they are some last
    digits off (integer - 1/2 - zero_point) * scale. Below them stand 128 times -inf, so that
    places begin at 128, which is -128 modulo 256; above them as many NaN, which sort behind
    +inf, as bring NaN to the zero point.
    """
    wanted = np.arange(-127, 128)
    low, high = _ordinal(np.full(len(wanted), -np.inf)), _ordinal(np.full(len(wanted), np.inf))
    with np.errstate(over="ignore"):  # a large double over a small scale is inf, which saturates
        while (low + 1 < high).any():
            middle = (low >> 1) + (high >> 1) + (low & high & 1)  # low + high can overflow
            reached = quantize(_double(middle), tensor) >= wanted
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    below, least = np.full(128, -np.inf), _double(high)
    above = np.full((tensor.zero_point - len(below) - len(least)) % _INTEGERS, np.nan)
    return np.concatenate([below, least, above])


def _ordinal(real: Floats) -> NDArray[np.int64]:
    """Doubles as integers of the same order: IEEE 754 orders by its bits, the negative ones backwards."""
    bits = real.view(np.int64)
    return np.where(bits < 0, bits ^ np.iinfo(np.int64).max, bits)


def _double(ordinal: NDArray[np.int64]) -> Floats:
    """The way back from `_ordinal`."""
    return np.where(ordinal < 0, ordinal ^ np.iinfo(np.int64).max, ordinal).view(np.float64)


class RealTable:
    """What some tensors' integers stand for: `dequantize` of all of them at once.

    Args:
        tensors: One a row; null is a row of zeros.
        width: Numbers a row.

    Attributes:
        rows: Arrays into which to write the integers, int8, (width,) each.
        reals: Gives what the rows stand for now, (rows, width), in a new array.
    """

    def __init__(self, tensors: Sequence[Tensor | None], width: int) -> None:
        every = np.arange(_INTEGERS).astype(np.uint8).view(np.int8)
        zeros = np.zeros(_INTEGERS)
        reals = np.concatenate([zeros if t is None else dequantize(every, t) for t in tensors])
        # Where a number stands among these: its row's part, and in that its integer, which is
        # the lowest byte of the place and is written there directly.
        parts = np.arange(len(tensors), dtype=np.intp) * _INTEGERS
        places = parts[:, None].repeat(width, axis=1)
        lowest = 0 if sys.byteorder == "little" else -1
        self.rows = list(places.view(np.int8).reshape(len(tensors), width, -1)[..., lowest])
        self.reals: Callable[[], Floats] = partial(reals.take, places)
