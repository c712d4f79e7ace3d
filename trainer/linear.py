"""Fits the linear members: principal components and a ridge vector autoregression.

Both are least squares in closed form; `edge_lstm.core.linear` runs them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.settings import PcaSettings, VarSettings

__all__ = ["fit_pca", "fit_var", "regressors"]

Floats = NDArray[np.float64]
_MOST_ROWS = 60_000
"""Of longer histories evenly chosen rows are fitted: more say nothing new of a few thousand numbers."""


def fit_pca(segments: Sequence[Floats], settings: PcaSettings) -> dict[str, Floats]:
    """Maps of the PCA heads (Jackson & Mudholkar 1979).

    The frame minus its projection has the squared prediction error Q. The projection on the
    components, each divided by its deviation and turned back into channels, has Hotelling's T2.

    Args:
        segments: Learned rows in model units, each (rows, channels).
        settings: Share of the variance that the components keep.

    Returns:
        ``pca_q`` and ``pca_t2``, see `edge_lstm.core.linear.LinearMembers`.
    """
    x = _thinned(np.concatenate(segments))
    mean = x.mean(axis=0)
    _, deviations, axes = np.linalg.svd(x - mean, full_matrices=False)
    share = np.cumsum(deviations**2) / max(float(np.sum(deviations**2)), 1e-12)
    count = min(int(np.searchsorted(share, settings.share)) + 1, max(x.shape[1] - 1, 0), len(deviations))
    kept, spread = axes[:count], np.maximum(deviations[:count] / np.sqrt(len(x)), 1e-3)
    projection, whitened = kept.T @ kept, kept.T @ (kept / spread[:, None])
    identity = np.eye(x.shape[1])
    return {
        "pca_q": np.vstack([mean - mean @ projection, projection]),
        "pca_t2": np.vstack([mean @ whitened, identity - whitened]),
    }


def fit_var(segments: Sequence[Floats], settings: VarSettings) -> dict[str, Floats]:
    """The map of the autoregression head, by ridge regression (Hoerl & Kennard 1970).

    Args:
        segments: Learned rows in model units, each (rows, channels).
        settings: Lags, moving averages and the ridge.

    Returns:
        ``var``, see `edge_lstm.core.linear.LinearMembers`.
    """
    x = np.concatenate([regressors(rows, settings.lags, settings.memory)[1:] for rows in segments])
    y = np.concatenate([rows[1:] for rows in segments])
    x, y = _thinned(x), _thinned(y)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    centred = x - mean_x
    normal = centred.T @ centred + settings.ridge * len(x) * np.eye(x.shape[1])
    matrix = np.linalg.solve(normal, centred.T @ (y - mean_y))
    return {"var": np.vstack([mean_y - mean_x @ matrix, matrix])}


def regressors(rows: Floats, lags: Sequence[int], memory: Sequence[float]) -> Floats:
    """What the device's memory holds at each row, (rows, regressors * channels).

    Args:
        rows: A segment in model units, (rows, channels).
        lags: Ages of the readings taken.
        memory: Speeds of the moving averages of the past.
    """
    columns = [np.concatenate([np.repeat(rows[:1], lag, 0), rows])[: len(rows)] for lag in lags]
    before = np.concatenate([rows[:1], rows[:-1]])
    alphas = np.array(memory).reshape(-1, 1)
    slow, averages = (
        np.repeat(before[:1], len(memory), axis=0),
        np.empty((len(rows), len(memory), rows.shape[1])),
    )
    for out, row in zip(averages, before, strict=True):
        slow += alphas * (row - slow)
        out[:] = slow
    return np.concatenate([*columns, averages.reshape(len(rows), -1)], axis=1)


def _thinned(rows: Floats) -> Floats:
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(int))
    thinned: Floats = rows[chosen]
    return thinned
