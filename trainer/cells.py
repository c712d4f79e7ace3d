"""The recurrent cell as plain operations.

Plain matmuls, adds and products convert to full int8; Keras' own LSTM layer does not
(ADR 0001). The input and the hidden state keep matmuls of their own: concatenated, they
would share one quantization scale, four times too coarse for the hidden state.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["LstmCell"]


class LstmCell(tf.Module):
    """One LSTM step (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Args:
        inputs: Width of the input.
        units: Width of hidden and cell.
        seed: Seed of the initial weights.
    """

    def __init__(self, inputs: int, units: int, *, seed: int) -> None:
        super().__init__()
        glorot = tf.keras.initializers.GlorotUniform(seed=seed)
        orthogonal = tf.keras.initializers.Orthogonal(seed=seed + 1)
        bias = tf.concat([tf.zeros(units), tf.ones(units), tf.zeros(2 * units)], 0)  # forget bias 1
        self.units = units
        self.kernel = tf.Variable(glorot((inputs, 4 * units)), name="kernel")
        self.recurrent = tf.Variable(orthogonal((units, 4 * units)), name="recurrent")
        self.bias = tf.Variable(bias, name="bias")

    def __call__(self, x: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The next hidden and cell, (batch, units), from x (batch, inputs)."""
        gates = tf.matmul(x, self.kernel) + self.bias + tf.matmul(hidden, self.recurrent)
        i, f, o, g = tf.split(gates, 4, axis=1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(cell), cell
