"""The autoencoder: an LSTM whose small code must say where the machine is, and where it goes next.

One step of it is the deployed graph. From the hidden state it reconstructs the reading
through a bottleneck (the level must be explained), and it forecasts the change to the next
reading (the dynamics must be explained); x + change is added outside the int8 graph.

In training the same code may also have to rebuild earlier readings (`Shape.lags`), which
makes it say where the machine comes from. That decoder is dropped from the exported graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import State
from trainer.attention import Attention
from trainer.cells import CELLS, States, glorot
from trainer.rounding import EXACT, Rounding
from trainer.scale import CLIP

__all__ = ["HEADS", "Autoencoder", "Said", "Shape", "States"]

Said = dict[str, tf.Tensor]
"""Output name to (batch, channels)."""

HEADS: Mapping[str, tuple[str, ...]] = {
    "both": ("reconstruction", "forecast"),
    "reconstruction": ("reconstruction",),
    "forecast": ("forecast",),
}
"""Mode to the outputs of the exported graph."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model is made of.

    Attributes:
        channels: Channels in and out.
        units: Width of hidden and cell.
        layers: Recurrent layers.
        code: Width of the bottleneck; without a reconstruction there is none.
        cell: Kind of cell, a key of `trainer.cells.CELLS`.
        mode: Which outputs there are, a key of `HEADS`.
        lags: Ages of the earlier readings that the code must rebuild in training, steps.
        attention: Hidden vectors of the top layer that the heads look back on; 0 is no attention.
        linear: Whether the forecast has a linear path straight from the reading.
    """

    channels: int
    units: int = 16
    layers: int = 1
    code: int = 3
    cell: str = "lstm"
    mode: str = "both"
    lags: tuple[int, ...] = ()
    attention: int = 0
    linear: bool = False

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return HEADS[self.mode]

    @property
    def states(self) -> tuple[State, ...]:
        """Every state: first layer first, hidden before cell, the ring of the attention last."""
        kinds = CELLS[self.cell].kinds
        names = [(f"{kind}_in_{i}", f"{kind}_out_{i}") for i in range(self.layers) for kind in kinds]
        names += [("ring_in", "ring_out")] if self.attention else []
        return tuple(State(before, after) for before, after in names)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of every state, in the order of `states`."""
        layers = self.layers * len(CELLS[self.cell].kinds)
        return (self.units,) * layers + ((self.attention * self.units,) if self.attention else ())


class _Dense(tf.Module):
    """A matmul with a bias."""

    def __init__(self, inputs: int, outputs: int, *, seed: int) -> None:
        super().__init__()
        self.kernel = glorot(inputs, outputs, seed=seed)
        self.bias = tf.Variable(tf.zeros(outputs))

    def __call__(self, x: tf.Tensor, q: Rounding = EXACT) -> tf.Tensor:
        return tf.matmul(x, q.weight(self.kernel)) + self.bias


class Autoencoder(tf.Module):
    """One step: reading and states in, what the heads say and states out.

    Args:
        shape: What it is made of.
        seed: Seed of the initial weights.
    """

    def __init__(self, shape: Shape, *, seed: int) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.channels] + [shape.units] * (shape.layers - 1)
        make = CELLS[shape.cell]
        self.cells = [make(n, shape.units, seed=seed + 10 * i) for i, n in enumerate(widths)]
        if shape.attention:
            self.attention = Attention(shape.units, shape.attention, seed=seed + 900)
        if "reconstruction" in shape.heads:
            self.encode = _Dense(shape.units, shape.code, seed=seed + 1000)
            self.decode = _Dense(shape.code, shape.units, seed=seed + 1001)
            self.rebuild = _Dense(shape.units, shape.channels, seed=seed + 1002)
            if shape.lags:
                self.recall = _Dense(shape.units, len(shape.lags) * shape.channels, seed=seed + 1004)
        if "forecast" in shape.heads:
            self.change = _Dense(shape.units, shape.channels, seed=seed + 1003)
            if shape.linear:
                self.straight = tf.Variable(tf.zeros((shape.channels, shape.channels)))

    def zero_states(self, batch: int) -> States:
        """States that have seen nothing, each (batch, width)."""
        return [tf.zeros((batch, width)) for width in self.shape.widths]

    def cells_of(self, states: States) -> States:
        """Those of the states that are cells: without bound, and so what int8 has trouble with."""
        named = zip(self.shape.states, states, strict=True)
        return [state for name, state in named if name.input.startswith("cell")]

    def __call__(self, x: tf.Tensor, states: States, q: Rounding = EXACT) -> tuple[Said, States]:
        """One step, as the device runs it.

        Args:
            x: Readings in model units, (batch, channels).
            states: Every state, in the order of `Shape.states`, each (batch, width).
            q: What happens where int8 would round.

        Returns:
            What each head says, (batch, channels): the reconstruction of x, the forecast of
            the change to the next reading; and the next states.
        """
        top, after = self.advance(x, states, q)
        return self.say(x, top, q=q), after

    def advance(self, x: tf.Tensor, states: States, q: Rounding = EXACT) -> tuple[tf.Tensor, States]:
        """The recurrent part: what the heads see, (batch, units), and the next states."""
        top, after, here = q.within(x, CLIP), [], 0
        for cell in self.cells:
            following = cell(top, states[here : here + len(cell.kinds)], q)
            top, here = following[0], here + len(cell.kinds)
            after += following
        if self.shape.attention:
            ring = self.attention.push(states[here], top)
            return self.attention(ring, top), [*after, ring]
        return top, after

    def say(self, x: tf.Tensor, top: tf.Tensor, *, recall: bool = False, q: Rounding = EXACT) -> Said:
        """The heads, from readings (rows, channels) and what the recurrent part shows (rows, units).

        With `recall`, for training, also ``lags``: the earlier readings, (rows, lags * channels).
        """
        said = {}
        if "reconstruction" in self.shape.heads:
            unfolded = tf.tanh(self.decode(self.encode(top, q), q))
            said["reconstruction"] = self.rebuild(unfolded, q)
            if recall and self.shape.lags:
                said["lags"] = self.recall(unfolded)
        if "forecast" in self.shape.heads:
            change = self.change(top, q)
            said["forecast"] = change + tf.matmul(x, self.straight) if self.shape.linear else change
        return said

    def silence(self, channels: Sequence[int]) -> None:
        """Cut channels off: they move no state, and are expected at 0 for ever.

        For channels that never moved in the history. What the initial weights make of them was
        never trained, and would disturb the others when one moves.
        """
        if not channels:
            return
        heard = np.ones(self.shape.channels, np.float32)
        heard[list(channels)] = 0
        for kernel in self.cells[0].input_kernels:
            kernel.assign(kernel * heard[:, None])
        for head in ("rebuild", "change"):
            dense = getattr(self, head, None)
            if dense is not None:
                dense.kernel.assign(dense.kernel * heard)
                dense.bias.assign(dense.bias * heard)
        if self.shape.linear:
            self.straight.assign(self.straight * heard * heard[:, None])

    def weights(self) -> list[NDArray[np.float32]]:
        """A copy of every weight, in a fixed order."""
        return [variable.numpy() for variable in self.trainable_variables]

    def set_weights(self, weights: list[NDArray[np.float32]]) -> None:
        """Put back what `weights` gave."""
        for variable, value in zip(self.trainable_variables, weights, strict=True):
            variable.assign(value)
