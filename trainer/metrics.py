"""Figures of a trained model: errors a channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Manifest
from edge_lstm.core.normalize import normalizers
from edge_lstm.core.scoring import Scorer
from edge_lstm.core.when import scored_channels
from trainer.trace import Trace

__all__ = ["channel_errors", "pooled_errors"]

Floats = NDArray[np.float64]


def channel_errors(manifest: Manifest, traces: Sequence[Trace], channels: Sequence[str]) -> dict[str, Any]:
    """MSE, RMSE, MAE and R2 of the reconstruction, a scored channel, on learned and held-out rows.

    Of the forecast, where the model has no reconstruction.

    Segments at an odd operating point do not count: they lie beyond the clip.

    Returns:
        ``{"train" | "held_out": {channel: {"mse", "rmse", "mae", "r2"}}}`` in channel units;
        a channel without values has nulls.
    """
    default, named = normalizers(manifest.scaling, manifest.assets, clip=manifest.scoring.clip)
    head = Scorer(manifest.scoring).primary
    rows: dict[str, list[tuple[Floats, Floats]]] = {"train": [], "held_out": []}
    for one in traces:
        if one.part.odd:
            continue
        rebuilt = named.get(one.part.asset, default).backward(one.expected[:, head])
        actual = np.where(one.skip[:, head], np.nan, one.part.values[one.start :])
        learned = slice(0, max(0, one.part.train - one.start))
        rows["train"].append((actual[learned], rebuilt[learned]))
        late = one.rows_from(one.part.validation)
        rows["held_out"].append((actual[late], rebuilt[late]))
    scored = scored_channels(manifest.channels)
    names = [name for name, one in zip(channels, scored, strict=True) if one]
    return {
        part: pooled_errors([(actual[:, scored], rebuilt[:, scored]) for actual, rebuilt in pairs], names)
        for part, pairs in rows.items()
    }


def pooled_errors(pairs: Sequence[tuple[Floats, Floats]], channels: Sequence[str]) -> dict[str, Any]:
    """MSE, RMSE, MAE and R2 a channel, over all pairs of stretches.

    Args:
        pairs: Actual, NaN where missing, and reconstruction; channel units, each (rows, channels).
        channels: Names.

    Returns:
        ``{channel: {"mse", "rmse", "mae", "r2"}}``; null where there is no value, or no finite figure.
    """
    actual = np.concatenate([a for a, _ in pairs])
    rebuilt = np.concatenate([r for _, r in pairs])
    return {name: _error(actual[:, i], rebuilt[:, i]) for i, name in enumerate(channels)}


def _error(actual: Floats, rebuilt: Floats) -> dict[str, float | None]:
    known = np.isfinite(actual)
    if not known.any():
        return dict.fromkeys(("mse", "rmse", "mae", "r2"))
    with np.errstate(over="ignore", invalid="ignore"):  # readings of 1e308 have no square
        residual = actual[known] - rebuilt[known]
        mse, variance = float(np.mean(residual**2)), float(np.var(actual[known]))
        figures = {"mse": mse, "rmse": float(np.sqrt(mse)), "mae": float(np.mean(np.abs(residual)))}
        figures["r2"] = 1 - mse / variance if variance > 0 else np.nan
    return {name: value if np.isfinite(value) else None for name, value in figures.items()}
