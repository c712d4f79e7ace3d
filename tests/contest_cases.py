"""Histories made so that one kind of model must win, and small detectors to prove it with.

Every function gives a history (rows, channels) in which all structure is of one sort. The
detectors are plain NumPy; `latch` is a stand-in that knows how the third history was made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["ewma", "latch", "latched_mode", "linear_dynamics", "pca", "static_correlation", "var"]

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]

PULSE = 2.0
LAGS = 5


def static_correlation(rows: int, *, seed: int = 0) -> Floats:
    """Nine channels that mix three factors, white in time: the past says nothing."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(3, 9))
    factors = rng.normal(size=(rows, 3))
    return np.asarray(factors @ mixing + 0.15 * rng.normal(size=(rows, 9)))


def linear_dynamics(rows: int, *, seed: int = 0) -> Floats:
    """Six lightly damped oscillators of their own: the past says nearly all, no channel another.

    Channel i is an AR(2) process with poles of radius 0.98 at its own angle.
    """
    rng = np.random.default_rng(seed)
    angle = np.linspace(0.15, 0.9, 6)
    x = np.zeros((rows + 200, 6))
    noise = rng.normal(size=x.shape)
    for t in range(2, len(x)):
        x[t] = 2 * 0.98 * np.cos(angle) * x[t - 1] - 0.98**2 * x[t - 2] + noise[t]
    return np.asarray(x[200:] / x[200:].std(axis=0))


def latched_mode(rows: int, *, seed: int = 0) -> Floats:
    """A rare pulse sets a mode, and the mode decides with which sign a channel answers another.

    Channel 0 pulses up or down every 20 to 50 rows and sets the mode to +1 or -1. Channel 1
    is +1 or -1 at random, white in time. Channel 2 is channel 1 of the row before, times the
    mode. Over both modes all correlations, at any lag, are zero: no linear model can see it,
    and the mode was set long before the lags of one begin.
    """
    rng = np.random.default_rng(seed)
    at = np.cumsum(np.append(0, rng.integers(20, 51, size=rows // 20)))
    pulse, at = np.zeros(rows), at[at < rows]
    pulse[at] = rng.choice([-1.0, 1.0], size=len(at))
    last = np.maximum.accumulate(np.where(pulse != 0, np.arange(rows), 0))
    command = rng.choice([-1.0, 1.0], size=rows)
    answer = pulse[last] * np.roll(command, 1)
    x = np.stack([PULSE * pulse, command, answer], axis=1)
    return np.asarray(x + 0.1 * rng.normal(size=x.shape))


def _smooth(values: Floats, alpha: float) -> Floats:
    """Exponential smoothing along rows of (runs, rows), from 1."""
    out, memory = np.empty_like(values), np.ones(len(values))
    for t in range(values.shape[1]):
        memory = memory + alpha * (values[:, t] - memory)
        out[:, t] = memory
    return out


def _scorer(residual: Score, learned: Floats, *, alpha: float = 0.3) -> Score:
    """Mean over channels of standardised squared residuals, smoothed; scales from learned rows."""
    known = residual(learned[None])[0, LAGS:]
    scale = known.std(axis=0)

    def score(runs: Floats) -> Floats:
        return _smooth(np.mean((residual(runs) / scale) ** 2, axis=2), alpha)

    return score


def ewma(learned: Floats) -> Score:
    """How far each channel is from its own mean."""
    mean = learned.mean(axis=0)
    return _scorer(lambda runs: runs - mean, learned)


def pca(learned: Floats, *, keep: float = 0.9) -> Score:
    """What the first principal components do not rebuild (the Q statistic, a channel at a time)."""
    mean = learned.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((learned - mean).T))
    count = 1 + int(np.searchsorted(np.cumsum(values[::-1]) / values.sum(), keep))
    axes = vectors[:, ::-1][:, : min(count, len(mean) - 1)]
    return _scorer(lambda runs: (runs - mean) @ (np.eye(len(mean)) - axes @ axes.T), learned)


def var(learned: Floats) -> Score:
    """What a vector autoregression of five lags does not predict."""
    mean = learned.mean(axis=0)

    def past(runs: Floats) -> Floats:
        padded = np.pad(runs - mean, ((0, 0), (LAGS, 0), (0, 0)), mode="edge")
        rows = runs.shape[1]
        return np.concatenate(
            [padded[:, LAGS - lag : LAGS - lag + rows] for lag in range(1, LAGS + 1)], axis=2
        )

    design = past(learned[None])[0, LAGS:]
    gram = design.T @ design + 1e-3 * len(design) * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, design.T @ (learned[LAGS:] - mean))
    return _scorer(lambda runs: runs - mean - past(runs) @ weights, learned)


def latch(learned: Floats) -> Score:
    """A stand-in for a recurrent model on `latched_mode`: it keeps the last pulse, as a cell could."""

    def residual(runs: Floats) -> Floats:
        rows = np.arange(runs.shape[1])
        last = np.maximum.accumulate(np.where(np.abs(runs[:, :, 0]) > PULSE / 2, rows, 0), axis=1)
        mode = np.sign(np.take_along_axis(runs[:, :, 0], last, axis=1))
        pulse = np.where(np.abs(runs[:, :, 0]) > PULSE / 2, PULSE * np.sign(runs[:, :, 0]), 0.0)
        command = np.sign(runs[:, :, 1])
        expected = np.stack([pulse, command, mode * np.roll(command, 1, axis=1)], axis=2)
        return np.asarray(runs - expected)

    return _scorer(residual, learned)
