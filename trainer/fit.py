"""Training with carried state: truncated backpropagation through time (Williams & Peng 1990)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.model import Autoencoder, Said, Shape, States
from trainer.rounding import EXACT, Rounding
from trainer.windows import Chunk, Tracks, lay_tracks

__all__ = [
    "Batch",
    "Epoch",
    "FitSettings",
    "Fitted",
    "fit",
    "forward",
    "make_deterministic",
    "mean_square",
    "tensors",
    "unroll",
]

Floats = NDArray[np.float32]
Batch = dict[str, tf.Tensor]
Progress = Callable[["Epoch"], None]


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How to train.

    Attributes:
        seed: Seed of weights, dropout and nothing else; the data is read in order.
        updates: Weight updates in all; epochs follow from the length of the history.
        steps: Steps that gradients go back.
        tracks: Most streams side by side.
        learning_rate: Highest rate of the one-cycle schedule (Smith & Topin 2018).
        clip_norm: Greatest global norm of a gradient (Pascanu et al. 2013).
        dropout: Share of the hidden state's numbers dropped on the way to the heads.
        cell_penalty: Weight of the mean square of the cell beyond +-2: int8 needs small cells.
        recall: Weight of the error of the lagged readings beside that of the heads.
        patience: Evaluations without a better held-out loss before training stops.
    """

    seed: int = 0
    updates: int = 600
    steps: int = 32
    tracks: int = 32
    learning_rate: float = 4e-3
    clip_norm: float = 1.0
    dropout: float = 0.1
    cell_penalty: float = 1e-3
    recall: float = 0.3
    patience: int = 8


@dataclass(frozen=True, slots=True)
class Epoch:
    """One evaluation: how far, and the losses (mean squares, model units)."""

    update: int
    updates: int
    train_loss: float
    validation_loss: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model and its way there; the weights are those of the best evaluation."""

    model: Autoencoder
    curve: tuple[Epoch, ...]
    best: Epoch


def make_deterministic(seed: int) -> None:
    """Same seed, same machine: same weights.

    One thread an operation: TensorFlow's sums would otherwise depend on scheduling.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - Keras' initialisers fall back on the global generator
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    train: Sequence[tuple[Floats, Floats]],
    validation: Sequence[tuple[Floats, Floats, int]],
    shape: Shape,
    settings: FitSettings,
    *,
    progress: Progress = lambda _epoch: None,
) -> Fitted:
    """Train an autoencoder.

    Args:
        train: Segments, readings and marks in model units, each (rows, channels).
        validation: Later stretches, readings, marks, and how many leading rows only bring
            the state up.
        shape: Sizes of the model.
        settings: How to train.
        progress: Called after every evaluation.
    """
    make_deterministic(settings.seed)
    model = Autoencoder(shape, seed=settings.seed)
    tracks = lay_tracks(train, steps=settings.steps, most=settings.tracks, lags=shape.lags)
    optimizer = tf.keras.optimizers.Adam(_one_cycle(settings), global_clipnorm=settings.clip_norm)
    optimizer.build(model.trainable_variables)
    update = _update_function(model, optimizer, settings)
    curve: list[Epoch] = []
    best, best_weights, done = None, model.weights(), 0
    passes = max(1, round(settings.updates / 20 / len(tracks)))  # about 20 evaluations
    while done < settings.updates:
        losses = [loss for _ in range(passes) for loss in _one_pass(model, tracks, update, settings, done)]
        done += len(losses)
        epoch = Epoch(done, settings.updates, float(np.mean(losses)), _validate(model, validation))
        curve.append(epoch)
        progress(epoch)
        if not math.isfinite(epoch.validation_loss):
            break
        if best is None or epoch.validation_loss < best.validation_loss:
            best, best_weights = epoch, model.weights()
        elif len(curve) - curve.index(best) > settings.patience:
            break
    model.set_weights(best_weights)
    return Fitted(model, tuple(curve), best or curve[-1])


def _one_cycle(settings: FitSettings) -> tf.keras.optimizers.schedules.LearningRateSchedule:
    warm = max(1, settings.updates // 10)
    return tf.keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / 10,
        decay_steps=max(1, settings.updates - warm),
        alpha=0.02,
        warmup_target=settings.learning_rate,
        warmup_steps=warm,
    )


def _one_pass(
    model: Autoencoder,
    tracks: Tracks,
    update: Callable[[Batch, States, tf.Tensor], tuple[tf.Tensor, States]],
    settings: FitSettings,
    done: int,
) -> list[float]:
    """Once through the history, the state carried from chunk to chunk."""
    states = model.zero_states(len(tracks.x))
    losses = []
    for i, chunk in enumerate(tracks):
        seed = tf.constant([settings.seed, done + i], tf.int32)
        loss, states = update(tensors(chunk), states, seed)
        losses.append(float(loss))
    return losses


def tensors(chunk: Chunk) -> Batch:
    """A chunk as the training graphs take it."""
    return {name: tf.convert_to_tensor(part) for name, part in asdict(chunk).items()}


def _update_function(
    model: Autoencoder, optimizer: tf.keras.optimizers.Optimizer, settings: FitSettings
) -> Callable[[Batch, States, tf.Tensor], tuple[tf.Tensor, States]]:
    rate = settings.dropout

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def update(batch: Batch, states: States, seed: tf.Tensor) -> tuple[tf.Tensor, States]:
        drop = None
        if rate > 0:  # one mask a chunk: the state must not be dropped anew at every step
            draw = tf.random.stateless_uniform((batch["x"].shape[0], model.shape.units), seed)
            drop = tf.cast(draw >= rate, tf.float32) / (1 - rate)
        with tf.GradientTape() as tape:
            said, states, excess = unroll(model, batch["x"], batch["keep"], states, drop=drop)
            loss = tf.add_n([mean_square(batch, said, head) for head in model.shape.heads])
            total = loss + settings.cell_penalty * excess
            if model.shape.lags:
                total += settings.recall * mean_square(batch, said, "lags")
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss, states

    return update  # type: ignore[no-any-return]


def unroll(
    model: Autoencoder,
    x: tf.Tensor,
    keep: tf.Tensor,
    states: States,
    *,
    drop: tf.Tensor | None = None,
    q: Rounding = EXACT,
) -> tuple[Said, States, tf.Tensor]:
    """The graph that is trained: a chunk of every track, the heads at once for all steps.

    Args:
        model: The model.
        x: Readings in model units, (tracks, steps, channels).
        keep: 0 where the state starts anew, else 1; (tracks, steps).
        states: Every state before the chunk.
        drop: Dropout mask for what the heads see, (tracks, units).
        q: What happens where int8 would round.

    Returns:
        What the heads say, with the recalled lags, (tracks, steps, width); the states after
        the chunk; the mean square of the cells beyond +-2.
    """
    tops, excess = [], [tf.constant(0.0)]
    for t in range(x.shape[1]):
        states = [state * keep[:, t, None] for state in states]
        top, states = model.advance(x[:, t], states, q)
        tops.append(top)
        excess += [tf.reduce_mean(tf.square(tf.nn.relu(tf.abs(cell) - 2))) for cell in model.cells_of(states)]
    seen = tf.stack(tops, 1) if drop is None else tf.stack(tops, 1) * drop[:, None]
    said = model.say(_rows(x), _rows(seen), recall=True, q=q)
    shaped = {name: tf.reshape(value, (*x.shape[:2], -1)) for name, value in said.items()}
    return shaped, states, tf.add_n(excess) / max(1, len(excess) - 1)


def _rows(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, (-1, x.shape[-1]))


def mean_square(batch: Batch, said: Said, name: str) -> tf.Tensor:
    """Of one output's error, over the values that are known."""
    wanted, known = {
        "reconstruction": (batch["x"], batch["seen"]),
        "forecast": (batch["ahead"] - batch["x"], batch["seen_ahead"]),
        "lags": (batch["past"], batch["seen_past"]),
    }[name]
    return tf.reduce_sum(tf.square(said[name] - wanted) * known) / (tf.reduce_sum(known) + 1e-6)


def _validate(model: Autoencoder, validation: Sequence[tuple[Floats, Floats, int]]) -> float:
    """Loss on later history, the state brought up by the rows before it."""
    squares, count = 0.0, 0.0
    for x, seen, lead in validation:
        said, _ = forward(model, x)
        if "reconstruction" in said:
            squares += float((np.square(said["reconstruction"] - x) * seen)[lead:].sum())
        if "forecast" in said:
            ahead = np.square(x[:-1] + said["forecast"][:-1] - x[1:]) * seen[:-1] * seen[1:]
            squares += float(ahead[lead:].sum())
        count += float(seen[lead:].sum())
    return squares / max(count, 1.0)


def forward(model: Autoencoder, x: Floats) -> tuple[dict[str, Floats], list[Floats]]:
    """The batch reference: a whole segment at once, from a fresh state.

    Args:
        model: The model.
        x: Readings in model units, (rows, channels).

    Returns:
        What each head says, (rows, channels), and the states *before* each row, each
        (rows, width).
    """
    said, states = _scan(model)(tf.convert_to_tensor(x, tf.float32))
    return {name: value.numpy() for name, value in said.items()}, [state.numpy() for state in states]


def _scan(model: Autoencoder) -> Callable[[tf.Tensor], tuple[Said, States]]:
    """A compiled loop over rows, made once a model."""
    cached = getattr(model, "_scan_function", None)
    if cached is None:
        # autograph=False and a while_loop of ours: AutoGraph does not convert loops on Python 3.13.
        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[tf.TensorSpec((None, model.shape.channels), tf.float32)], autograph=False
        )
        def scan(x: tf.Tensor) -> tuple[Said, States]:
            rows = tf.shape(x)[0]
            outs = [tf.TensorArray(tf.float32, rows) for _ in (0, *model.shape.states)]

            def step(t: tf.Tensor, states: States, outs: list[tf.TensorArray]) -> tuple[Any, ...]:
                top, after = model.advance(tf.gather(x, t)[None], states)
                return t + 1, after, [o.write(t, v) for o, v in zip(outs, (top, *states), strict=True)]

            first = (tf.constant(0), model.zero_states(1), outs)
            _, _, outs = tf.while_loop(lambda t, *_: t < rows, step, first)
            # Without the batch dimension of one, which the shape of `x` does not know.
            top, *states = [tf.squeeze(out.stack(), 1) for out in outs]
            return model.say(x, top), states

        cached = model._scan_function = scan  # noqa: SLF001 - a cache on the model it belongs to
    return cached  # type: ignore[no-any-return]
