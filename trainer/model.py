"""The autoencoder: an LSTM whose small code must say where the machine is, and where it goes next.

One step of it is the deployed graph. From the hidden state it reconstructs the reading
through a bottleneck (the level must be explained), and it forecasts the change to the next
reading (the dynamics must be explained); x + change is added outside the int8 graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.cells import LstmCell

__all__ = ["Autoencoder", "Shape", "state_names"]

States = list[tf.Tensor]


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model.

    Attributes:
        channels: Channels in and out.
        units: Width of hidden and cell.
        layers: Recurrent layers.
        code: Width of the bottleneck.
    """

    channels: int
    units: int = 16
    layers: int = 1
    code: int = 3


def state_names(layers: int) -> list[tuple[str, str]]:
    """(input, output) names of every state, hidden before cell, first layer first."""
    return [(f"{kind}_in_{i}", f"{kind}_out_{i}") for i in range(layers) for kind in ("hidden", "cell")]


class _Dense(tf.Module):
    """A matmul with a bias."""

    def __init__(self, inputs: int, outputs: int, *, seed: int) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.keras.initializers.GlorotUniform(seed=seed)((inputs, outputs)))
        self.bias = tf.Variable(tf.zeros(outputs))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.kernel) + self.bias


class Autoencoder(tf.Module):
    """One step: reading and states in, reconstruction, forecast and states out.

    Args:
        shape: Sizes.
        seed: Seed of the initial weights.
    """

    def __init__(self, shape: Shape, *, seed: int) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.channels] + [shape.units] * shape.layers
        self.cells = [
            LstmCell(n, shape.units, seed=seed + 10 * i) for i, n in enumerate(widths[: shape.layers])
        ]
        self.encode = _Dense(shape.units, shape.code, seed=seed + 1000)
        self.decode = _Dense(shape.code, shape.units, seed=seed + 1001)
        self.rebuild = _Dense(shape.units, shape.channels, seed=seed + 1002)
        self.change = _Dense(shape.units, shape.channels, seed=seed + 1003)

    def zero_states(self, batch: int) -> States:
        """States that have seen nothing, each (batch, units)."""
        return [tf.zeros((batch, self.shape.units)) for _ in range(2 * self.shape.layers)]

    def __call__(
        self, x: tf.Tensor, states: States, *, drop: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, States]:
        """One step.

        Args:
            x: Readings in model units, (batch, channels).
            states: Hidden and cell of every layer, each (batch, units).
            drop: Dropout mask for the top hidden state, (batch, units), training only.

        Returns:
            Reconstruction of x, forecast of the change to the next reading, both
            (batch, channels), and the next states.
        """
        top, after = x, []
        for i, cell in enumerate(self.cells):
            top, memory = cell(top, states[2 * i], states[2 * i + 1])
            after += [top, memory]
        if drop is not None:
            top = top * drop
        code = self.encode(top)
        rebuilt = self.rebuild(tf.tanh(self.decode(code)))
        return rebuilt, self.change(top), after

    def weights(self) -> list[NDArray[np.float32]]:
        """A copy of every weight, in a fixed order."""
        return [variable.numpy() for variable in self.trainable_variables]

    def set_weights(self, weights: list[NDArray[np.float32]]) -> None:
        """Put back what `weights` gave."""
        for variable, value in zip(self.trainable_variables, weights, strict=True):
            variable.assign(value)
