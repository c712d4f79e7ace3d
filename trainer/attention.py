"""Attention over the last hidden vectors, which are kept as a ring in the state.

Plain operations of batch 1 that also take a leading batch: the products of query and
keys are one elementwise product and a matmul with a constant of zeros and ones that adds
up each block, because TFLite's BATCH_MATMUL is younger than the Edge TPU's compiler.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.cells import glorot

__all__ = ["Attention"]


class Attention(tf.Module):
    """Global attention of Luong et al. 2015 with the "general" score, h^T W h_k, over `last` vectors.

    Args:
        units: Width of the hidden vector.
        last: Vectors in the ring, the newest (this step's) included.
        seed: Seed of the initial weights.
    """

    def __init__(self, units: int, last: int, *, seed: int) -> None:
        super().__init__()
        self.units, self.last = units, last
        self.query = glorot(units, units, seed=seed)
        self.from_context = glorot(units, units, seed=seed + 1)
        self.from_hidden = glorot(units, units, seed=seed + 2)
        self.bias = tf.Variable(tf.zeros(units))
        blocks = np.kron(np.eye(last), np.ones((units, 1)))  # (last * units, last): block to its sum
        self._sum_units = tf.constant(blocks / np.sqrt(units), tf.float32)
        self._spread = tf.constant(blocks.T, tf.float32)

    def push(self, ring: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        """The ring (batch, last * units), oldest first, with the oldest vector out and `hidden` in."""
        return tf.concat([ring[:, self.units :], hidden], axis=1)

    def __call__(self, ring: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        """What the heads see, (batch, units), from the ring with this step's hidden in it."""
        query = tf.matmul(hidden, tf.tile(self.query, (1, self.last)))
        weights = tf.nn.softmax(tf.matmul(query * ring, self._sum_units))  # (batch, last)
        weighted = tf.matmul(weights, self._spread) * ring
        context = tf.matmul(weighted, tf.tile(self.from_context, (self.last, 1)))
        return tf.tanh(context + self.bias + tf.matmul(hidden, self.from_hidden))
