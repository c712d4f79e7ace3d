"""Where the model rounds: nothing in float, everything on a grid while it is tuned for int8.

The cells and heads name the tensors that the int8 graph will hold and how far each may reach;
what happens there is decided by one of these.
"""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

__all__ = ["BARE", "CELL", "EXACT", "GATE", "INT8", "ONE", "Rounding"]

CELL = 3.0
"""A cell is cut off here, in float and in int8 alike: tanh(3) is 0.995, and a farther reach would
make the int8 grid of every nearer value coarser."""
ONE = 1.0
"""Bound of what comes out of a sigmoid or tanh, and of the hidden state."""
GATE = 8.0
"""Beyond this a sigmoid is within 0.0004 of its end."""
_STEPS = 127.0


class Rounding(Protocol):
    """What happens to a tensor on its way."""

    def cell(self, value: tf.Tensor) -> tf.Tensor:
        """A cell, new or on the way to it."""
        ...

    def within(self, value: tf.Tensor, bound: float) -> tf.Tensor:
        """A tensor that stays within +-bound, or whose excess says nothing."""
        ...

    def weight(self, kernel: tf.Tensor) -> tf.Tensor:
        """A kernel."""
        ...


class _Exact:
    """The model as it is defined: cells end at `CELL`, the rest is real."""

    def cell(self, value: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(value, -CELL, CELL)

    def within(self, value: tf.Tensor, bound: float) -> tf.Tensor:  # noqa: ARG002 - the port's
        return value

    def weight(self, kernel: tf.Tensor) -> tf.Tensor:
        return kernel


class _Bare(_Exact):
    """The graph that becomes int8: there a cell's tensor ends at `CELL` by its scale."""

    def cell(self, value: tf.Tensor) -> tf.Tensor:
        return value


class _Int8(_Exact):
    """Rounds to int8's grid and lets gradients pass (straight-through, Bengio et al. 2013).

    The quantization-aware training of Jacob et al. 2018, section 3, with bounds that are known
    beforehand instead of learned ones.
    """

    def cell(self, value: tf.Tensor) -> tf.Tensor:
        return self.within(value, CELL)

    def within(self, value: tf.Tensor, bound: float) -> tf.Tensor:
        cut = tf.clip_by_value(value, -bound, bound)
        step = bound / _STEPS
        return cut + tf.stop_gradient(tf.round(cut / step) * step - cut)

    def weight(self, kernel: tf.Tensor) -> tf.Tensor:
        step = tf.stop_gradient(tf.reduce_max(tf.abs(kernel))) / _STEPS
        return kernel + tf.stop_gradient(tf.round(kernel / step) * step - kernel)


EXACT: Rounding = _Exact()
BARE: Rounding = _Bare()
INT8: Rounding = _Int8()
