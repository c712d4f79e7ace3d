"""The recurrent cells as plain operations.

Plain matmuls, adds and products convert to full int8; Keras' own LSTM layer does not
(ADR 0001). The input and the hidden state keep matmuls of their own: concatenated, they
would share one quantization scale, four times too coarse for the hidden state.

In every cell the gate that keeps the old state starts open, with a bias of 1
(Jozefowicz et al. 2015).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from trainer.rounding import EXACT, GATE, ONE, Rounding

__all__ = ["CELLS", "Cell", "CifgCell", "GruCell", "LstmCell", "PeepholeCell", "glorot"]

States = list[tf.Tensor]


def glorot(inputs: int, outputs: int, *, seed: int) -> tf.Variable:
    """A kernel, (inputs, outputs), uniform (Glorot & Bengio 2010)."""
    return tf.Variable(tf.keras.initializers.GlorotUniform(seed=seed)((inputs, outputs)))


def _orthogonal(units: int, outputs: int, *, seed: int) -> tf.Variable:
    """A kernel for the hidden state, (units, outputs), orthogonal (Saxe et al. 2014)."""
    return tf.Variable(tf.keras.initializers.Orthogonal(seed=seed)((units, outputs)))


def _gate_bias(units: int, gates: Sequence[float]) -> tf.Variable:
    """One start a gate, (gates * units,)."""
    return tf.Variable(tf.concat([tf.fill((units,), float(start)) for start in gates], 0))


class Cell(tf.Module):
    """One recurrent layer's step. Subclasses add weights.

    Attributes:
        kinds: What the cell carries from step to step; the first is what it shows.

    Args:
        inputs: Width of the input.
        units: Width of each state.
        seed: Seed of the initial weights.
    """

    kinds: ClassVar[tuple[str, ...]] = ("hidden", "cell")

    def __init__(self, inputs: int, units: int, *, seed: int) -> None:
        super().__init__()
        self.units = units
        self._build(inputs, units, seed)

    @abstractmethod
    def _build(self, inputs: int, units: int, seed: int) -> None:
        """Make the weights."""

    @property
    def input_kernels(self) -> list[tf.Variable]:
        """The weights that the input meets, each (inputs, ...)."""
        return [self.kernel]

    @abstractmethod
    def __call__(self, x: tf.Tensor, states: States, q: Rounding = EXACT) -> States:
        """The next states, each (batch, units), from x (batch, inputs) and the states."""

    def gates(self, x: tf.Tensor, hidden: tf.Tensor, q: Rounding) -> tf.Tensor:
        """What the gates see of input and hidden state before the sigmoid, (batch, gates * units)."""
        seen = q.within(tf.matmul(x, q.weight(self.kernel)) + self.bias, GATE)
        return q.within(seen + q.within(tf.matmul(hidden, q.weight(self.recurrent)), GATE), GATE)


class LstmCell(Cell):
    """LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""

    def _build(self, inputs: int, units: int, seed: int) -> None:
        self.kernel = glorot(inputs, 4 * units, seed=seed)
        self.recurrent = _orthogonal(units, 4 * units, seed=seed + 1)
        self.bias = _gate_bias(units, (0, 1, 0, 0))

    def __call__(self, x: tf.Tensor, states: States, q: Rounding = EXACT) -> States:
        """The next hidden and cell."""
        hidden, cell = states
        i, f, o, g = tf.split(self.gates(x, hidden, q), 4, axis=1)
        cell = q.cell(q.cell(tf.sigmoid(f) * cell) + q.within(tf.sigmoid(i) * tf.tanh(g), ONE))
        return [q.within(tf.sigmoid(o) * tf.tanh(cell), ONE), cell]


class PeepholeCell(LstmCell):
    """LSTM whose gates also see the cell (Gers & Schmidhuber 2000, "Recurrent nets that time and count").

    Input and forget gate see the cell before the step, the output gate the one after it;
    each unit's gates see that unit's cell alone.
    """

    def _build(self, inputs: int, units: int, seed: int) -> None:
        super()._build(inputs, units, seed)
        # From nothing, so that training begins as a plain LSTM: a drawn peephole makes cells swing
        # that int8 then follows worse.
        self.peep_i, self.peep_f, self.peep_o = (tf.Variable(tf.zeros((1, units))) for _ in range(3))

    def __call__(self, x: tf.Tensor, states: States, q: Rounding = EXACT) -> States:
        """The next hidden and cell."""
        hidden, cell = states
        i, f, o, g = tf.split(self.gates(x, hidden, q), 4, axis=1)
        keep, take = tf.sigmoid(f + cell * self.peep_f), tf.sigmoid(i + cell * self.peep_i)
        cell = q.cell(q.cell(keep * cell) + q.within(take * tf.tanh(g), ONE))
        return [q.within(tf.sigmoid(o + cell * self.peep_o) * tf.tanh(cell), ONE), cell]


class CifgCell(Cell):
    """LSTM with coupled input and forget gate, i = 1 - f (Greff et al. 2017, variant CIFG)."""

    def _build(self, inputs: int, units: int, seed: int) -> None:
        self.kernel = glorot(inputs, 3 * units, seed=seed)
        self.recurrent = _orthogonal(units, 3 * units, seed=seed + 1)
        self.bias = _gate_bias(units, (1, 0, 0))

    def __call__(self, x: tf.Tensor, states: States, q: Rounding = EXACT) -> States:
        """The next hidden and cell."""
        hidden, cell = states
        f, o, g = tf.split(self.gates(x, hidden, q), 3, axis=1)
        keep = tf.sigmoid(f)
        cell = q.cell(q.cell(keep * cell) + q.within((1.0 - keep) * tf.tanh(g), ONE))
        return [q.within(tf.sigmoid(o) * tf.tanh(cell), ONE), cell]


class GruCell(Cell):
    """Gated recurrent unit (Cho et al. 2014): h = z h + (1 - z) tanh(W x + U (r h)).

    With a bias on every gate, which the paper leaves out for readability.
    """

    kinds: ClassVar[tuple[str, ...]] = ("hidden",)

    def _build(self, inputs: int, units: int, seed: int) -> None:
        self.kernel = glorot(inputs, 2 * units, seed=seed)
        self.recurrent = _orthogonal(units, 2 * units, seed=seed + 1)
        self.bias = _gate_bias(units, (1, 0))
        self.new_kernel = glorot(inputs, units, seed=seed + 2)
        self.new_recurrent = _orthogonal(units, units, seed=seed + 3)
        self.new_bias = _gate_bias(units, (0,))

    @property
    def input_kernels(self) -> list[tf.Variable]:
        """Of the gates and of the new value."""
        return [self.kernel, self.new_kernel]

    def __call__(self, x: tf.Tensor, states: States, q: Rounding = EXACT) -> States:
        """The next hidden."""
        (hidden,) = states
        z, r = tf.split(self.gates(x, hidden, q), 2, axis=1)
        keep, reset = tf.sigmoid(z), tf.sigmoid(r)
        seen = q.within(tf.matmul(x, q.weight(self.new_kernel)) + self.new_bias, GATE)
        old = q.within(tf.matmul(q.within(reset * hidden, ONE), q.weight(self.new_recurrent)), GATE)
        kept, taken = q.within(keep * hidden, ONE), q.within((1.0 - keep) * tf.tanh(seen + old), ONE)
        return [q.within(kept + taken, ONE)]


CELLS: dict[str, type[Cell]] = {
    "lstm": LstmCell,
    "gru": GruCell,
    "peephole": PeepholeCell,
    "cifg": CifgCell,
}
"""The cells by their name in ``train.yaml``."""
