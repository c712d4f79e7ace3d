"""Causal baselines without a network: EWMA of the readings, PCA, and a VAR(5).

They have no seed, and are fitted on the history alone: the first 80 % of each stretch.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.benchmark.detection.cases import Case
from tests.benchmark.detection.results import Result
from tests.benchmark.detection.scaled import Residuals, Scaled, ewma, judge_residuals, scaled

__all__ = ["BASELINES", "run_baselines"]

Floats = NDArray[np.float64]

LEVEL_ALPHA, PCA_ALPHA, VAR_ALPHA = 0.3, 0.3, 0.1
PRE_ALPHA = 0.1
VARIANCE = 0.9
LAGS = 5
RIDGE = 10.0
CONTEXT = 10
"""Fitted rows before the held-out ones, and held-out rows before the recording."""
SVD_ROWS = 8000


def run_baselines(case: Case) -> Result:
    """Fit and judge every baseline."""
    begun, cpu = time.monotonic(), time.process_time()
    z = scaled(case)
    residuals = {name: (fit(z), alpha) for name, (fit, alpha) in BASELINES.items()}
    train_s = time.monotonic() - begun
    return Result(
        set=case.set,
        case=case.name,
        seed=0,
        part="baselines",
        history_rows=case.rows,
        train_s=train_s,
        figures={name: judge_residuals(case, one, alpha) for name, (one, alpha) in residuals.items()},
        cpu_s=time.process_time() - cpu,
    )


def level(z: Scaled) -> Residuals:
    """Distance of the smoothed readings from their centre (EWMA chart, Roberts 1959)."""
    return Residuals(
        np.concatenate(z.fitted),
        [ewma(rows, PRE_ALPHA) for rows in z.held_out],
        [ewma(rows, PRE_ALPHA) for rows in z.tests],
    )


def pca(z: Scaled) -> Residuals:
    """What the components with 90 % of the variance leave (Q, Jackson & Mudholkar 1979)."""
    rows = np.concatenate(z.fitted)
    mean, channels = rows.mean(axis=0), rows.shape[1]
    _, size, axes = np.linalg.svd(rows[:: max(1, len(rows) // SVD_ROWS)] - mean, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(size**2) / np.sum(size**2), VARIANCE)) + 1
    # One channel has no plane to lie in: its distance from the mean is all there is.
    axes = axes[: min(kept, channels - 1)]

    def leave(x: Floats) -> Floats:
        centred = x - mean
        return np.asarray(centred - centred @ axes.T @ axes)

    return Residuals(leave(rows), [leave(x) for x in z.held_out], [leave(x) for x in z.tests])


def var(z: Scaled) -> Residuals:
    """What a vector autoregression of order 5 did not announce (Lütkepohl 2005, ch. 2), ridge 10."""
    past = np.concatenate([_lagged(rows) for rows in z.fitted])
    now = np.concatenate(z.fitted)
    past_mean, now_mean = past.mean(axis=0), now.mean(axis=0)
    centred = past - past_mean
    penalty = RIDGE * np.eye(past.shape[1])
    weights = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (now - now_mean))

    def surprise(rows: Floats, before: Floats) -> Floats:
        joined = np.concatenate([before, rows])
        expected = (_lagged(joined) - past_mean) @ weights + now_mean
        return np.asarray((joined - expected)[len(before) :])

    fitted = [surprise(rows[CONTEXT:], rows[:CONTEXT]) for rows in z.fitted]
    held_out = [surprise(x, f[-CONTEXT:]) for x, f in zip(z.held_out, z.fitted, strict=True)]
    last = z.held_out[-1][-CONTEXT:]
    return Residuals(np.concatenate(fitted), held_out, [surprise(x, last) for x in z.tests])


def _lagged(rows: Floats) -> Floats:
    """The last `LAGS` rows before each row, (rows, LAGS * channels); the first row stands in."""
    shifted = [np.concatenate([np.repeat(rows[:1], lag, axis=0), rows[:-lag]]) for lag in range(1, LAGS + 1)]
    return np.concatenate(shifted, axis=1)


BASELINES: dict[str, tuple[Callable[[Scaled], Residuals], float]] = {
    "EWMA-z": (level, LEVEL_ALPHA),
    "PCA (Q)": (pca, PCA_ALPHA),
    "VAR(5)": (var, VAR_ALPHA),
}
