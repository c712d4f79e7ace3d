"""The usual LSTM autoencoder: windows encoded into one vector and decoded again, in Keras.

An encoder-decoder over windows (Malhotra et al. 2016, "LSTM-based encoder-decoder for
multi-sensor anomaly detection") with 32 units on both sides. A reading is scored when it
arrives: by the error of the last reading of the window that ends with it. Scores are
standardised and smoothed, and the threshold is set, as for the other baselines.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from edge_lstm.quiet import quiet_stderr
from tests.benchmark.detection.cases import Case
from tests.benchmark.detection.results import WINDOWED, Result
from tests.benchmark.detection.scaled import NORMAL_ROWS, Residuals, Scaled, judge_residuals, scaled

__all__ = ["run_windowed"]

Floats = NDArray[np.float64]

WINDOW = 50
"""Rows; half the shortest fitted stretch where that is less."""
UNITS = 32
BATCH = 64
LEARNING_RATE = 1e-3
EVERY, PATIENCE = 75, 3
"""Updates from one validation to the next, validations without a better one."""
VALIDATION_WINDOWS = 2000
ALPHA = 0.3
CHUNK = 4096


def run_windowed(case: Case, seed: int, *, updates: int) -> Result:
    """Train with at most so many weight updates, score and judge."""
    begun, cpu = time.monotonic(), time.process_time()
    z = scaled(case)
    with quiet_stderr():
        model = _trained(z, seed, updates)
    train_s = time.monotonic() - begun
    return Result(
        set=case.set,
        case=case.name,
        seed=seed,
        part="windowed",
        history_rows=case.rows,
        train_s=train_s,
        parameters=int(model.count_params()),
        figures={WINDOWED: judge_residuals(case, _residuals(model, z), ALPHA)},
        cpu_s=time.process_time() - cpu,
    )


def window_of(z: Scaled) -> int:
    """Rows in a window."""
    return min(WINDOW, min(len(rows) for rows in z.fitted) // 2)


def windows(rows: Floats, window: int) -> NDArray[np.float32]:
    """The window that ends with each row from the ``window``-th on, (windows, window, channels)."""
    view = np.lib.stride_tricks.sliding_window_view(rows.astype(np.float32), window, axis=0)
    return view.transpose(0, 2, 1)


def _trained(z: Scaled, seed: int, updates: int) -> keras.Model:
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    window = window_of(z)
    model = _model(window, z.fitted[0].shape[1])
    learned = np.concatenate([windows(rows, window) for rows in z.fitted])
    later = np.concatenate([windows(rows, window) for rows in _with_context(z, window)])
    later = later[:: -(-len(later) // VALIDATION_WINDOWS)]
    stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    model.fit(
        _Batches(learned, seed),
        validation_data=(later, later),
        validation_batch_size=512,
        epochs=max(1, updates // EVERY),
        callbacks=[stop],
        verbose=0,
    )
    return model


def _model(window: int, channels: int) -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((window, channels)),
            layers.LSTM(UNITS),
            layers.RepeatVector(window),
            layers.LSTM(UNITS, return_sequences=True),
            layers.TimeDistributed(layers.Dense(channels)),
        ]
    )
    model.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=1.0), "mse")
    return model


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Random windows, `EVERY` batches an epoch, so that short and long histories get the same."""

    def __init__(self, learned: NDArray[np.float32], seed: int) -> None:
        super().__init__()
        self._learned, self._random = learned, np.random.default_rng(seed)

    def __len__(self) -> int:
        """Batches an epoch."""
        return EVERY

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A batch; input and target are the same."""
        some = self._learned[self._random.integers(0, len(self._learned), BATCH)]
        return some, some


def _with_context(z: Scaled, window: int) -> list[Floats]:
    """Held-out rows with the fitted rows before them that fill the first window."""
    pairs = zip(z.fitted, z.held_out, strict=True)
    return [np.concatenate([fitted[-(window - 1) :], held_out]) for fitted, held_out in pairs]


def _residuals(model: keras.Model, z: Scaled) -> Residuals:
    window = window_of(z)
    fitted = [_errors(model, rows, window) for rows in _last_rows(z.fitted)]
    held_out = [_errors(model, rows, window) for rows in _with_context(z, window)]
    padded = [np.concatenate([np.repeat(rows[:1], window - 1, axis=0), rows]) for rows in z.tests]
    return Residuals(np.concatenate(fitted), held_out, [_errors(model, rows, window) for rows in padded])


def _last_rows(stretches: Sequence[Floats]) -> list[Floats]:
    """Of a single long stretch the end that counts is enough."""
    return [rows[-NORMAL_ROWS:] for rows in stretches]


def _errors(model: keras.Model, rows: Floats, window: int) -> Floats:
    """Actual minus rebuilt of the last reading of every window, (windows, channels)."""
    every = windows(rows, window)
    chunks = [every[i : i + CHUNK] for i in range(0, len(every), CHUNK)]
    rebuilt = [model.predict(np.ascontiguousarray(one), batch_size=512, verbose=0)[:, -1] for one in chunks]
    return np.asarray(every[:, -1] - np.concatenate(rebuilt), np.float64)
