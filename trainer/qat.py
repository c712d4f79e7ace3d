"""Quantization-aware training: a trained network learns to live with int8's rounding.

For networks that int8 follows too loosely after plain conversion. Every update runs the
chunk twice, rounded as int8 will round (Jacob et al. 2018, section 3) and exact; the loss is
the error of both, and how far they are apart. Without the last part the rounded network
becomes a little better and the two no nearer to each other, and it is their agreement that
the user was promised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.fit import Batch, mean_square, tensors, unroll
from trainer.model import Autoencoder, States
from trainer.rounding import INT8
from trainer.windows import lay_tracks

__all__ = ["tune"]

Floats = NDArray[np.float32]

LEARNING_RATE = 1e-3
CELL_PENALTY = 1e-3
_STEPS, _TRACKS = 32, 32


def tune(
    model: Autoencoder,
    learned: Sequence[tuple[Floats, Floats]],
    spread: Mapping[str, NDArray[np.float64]],
    *,
    updates: int,
    progress: Callable[[float], None] = lambda _share: None,
) -> None:
    """Train a model further, in place, until int8 follows it closely.

    Args:
        model: A trained model.
        learned: Segments, readings and marks in model units, each (rows, channels).
        spread: Standard deviation of each head's normal residual, (channels,): what a
            distance is measured in.
        updates: Weight updates.
        progress: Told the share that is done.
    """
    tracks = lay_tracks(learned, steps=_STEPS, most=_TRACKS, lags=model.shape.lags)
    rate = tf.keras.optimizers.schedules.CosineDecay(LEARNING_RATE, updates, alpha=0.02)
    optimizer = tf.keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    update = _update_function(model, optimizer, spread)
    done = 0
    while done < updates:
        rounded = exact = model.zero_states(len(tracks.x))
        for chunk in tracks:
            rounded, exact = update(tensors(chunk), rounded, exact)
            done += 1
            progress(min(1.0, done / updates))
            if done == updates:
                break


def _update_function(
    model: Autoencoder, optimizer: tf.keras.optimizers.Optimizer, spread: Mapping[str, NDArray[np.float64]]
) -> Callable[[Batch, States, States], tuple[States, States]]:
    units = {head: tf.constant(spread[head], tf.float32) for head in model.shape.heads}

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def update(batch: Batch, rounded: States, exact: States) -> tuple[States, States]:
        with tf.GradientTape() as tape:
            coarse, rounded, _ = unroll(model, batch["x"], batch["keep"], rounded, q=INT8)
            fine, exact, excess = unroll(model, batch["x"], batch["keep"], exact)
            apart = [tf.reduce_mean(tf.square((coarse[head] - fine[head]) / units[head])) for head in units]
            errors = [mean_square(batch, said, head) for said in (coarse, fine) for head in units]
            loss = tf.add_n(errors) + tf.add_n(apart) + CELL_PENALTY * excess
        gradients = tape.gradient(loss, model.trainable_variables)
        # What training for lags alone needs has no gradient here.
        known = [(g, v) for g, v in zip(gradients, model.trainable_variables, strict=True) if g is not None]
        optimizer.apply_gradients(known)
        return rounded, exact

    return update  # type: ignore[no-any-return]
