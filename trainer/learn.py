"""What is learned from prepared history: the network, as int8 and as float, and the linear members."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.core.when import scored_channels
from trainer.convert import Converted, Representative, convert
from trainer.fit import FitSettings, Fitted, fit, forward
from trainer.linear import fit_pca, fit_var
from trainer.model import HEADS, Autoencoder, Shape
from trainer.prepare import Prepared, channels_of, normalized
from trainer.progress import Watcher
from trainer.settings import ModelSettings, TrainSettings
from trainer.trace import TRACE_ROWS

__all__ = ["LEAD_ROWS", "REPRESENTATIVE_ROWS", "convert_both", "fit_linear", "shape_of", "train"]

Floats = NDArray[np.float64]

REPRESENTATIVE_ROWS = 2000


LEAD_ROWS = 200
"""Rows that bring a fresh state up before validation counts."""


def train(prepared: Prepared, settings: TrainSettings, names: Sequence[str], watcher: Watcher) -> Fitted:
    """Train on the learned rows; stop by the validation rows. ``names`` are the channels'."""
    model, z = settings.model, normalized(prepared)
    scored = scored_channels(channels_of(settings, names))
    learned, later = [], []
    for part, x in zip(prepared.parts, z, strict=True):
        seen = (part.seen & scored).astype(np.float32)  # a context channel is seen and not predicted
        learned.append((x[: part.train], seen[: part.train]))
        if part.validation > part.train:
            first = max(0, part.train - LEAD_ROWS)
            later.append((x[first : part.validation], seen[first : part.validation], part.train - first))
    shape = shape_of(model, z[0].shape[1])
    facts = ("updates", "steps", "learning_rate", "clip_norm", "dropout", "patience")
    fit_settings = FitSettings(seed=settings.seed, **{name: getattr(model, name) for name in facts})
    fitted = fit(
        learned,
        later,
        shape,
        fit_settings,
        progress=lambda e: watcher.advance(
            e.update / e.updates, f"loss {e.train_loss:.4f}, later history {e.validation_loss:.4f}"
        ),
    )
    moved = np.any([np.ptp(x, axis=0) > 0 for x in z], axis=0)
    fitted.model.silence(np.flatnonzero(~moved).tolist())
    return fitted


def shape_of(model: ModelSettings, channels: int) -> Shape:
    """What the settings ask for; a model without a reconstruction has no bottleneck."""
    has_code = "reconstruction" in HEADS[model.mode]
    return Shape(
        channels,
        model.units,
        model.layers,
        code=(model.code or max(2, channels // 3)) if has_code else 0,
        cell=model.cell,
        mode=model.mode,
        lags=tuple(lag for lag in model.lags if lag > 0) if has_code else (),
        attention=model.attention,
        linear=model.linear,
    )


def fit_linear(prepared: Prepared, settings: TrainSettings) -> dict[str, Floats]:
    """Weights of the linear members, from all rows that are not held out."""
    usual = [
        x[: part.validation].astype(np.float64)
        for part, x in zip(prepared.parts, normalized(prepared), strict=True)
        if not part.odd
    ]
    return {**fit_pca(usual, settings.pca), **fit_var(usual, settings.var)}


def convert_both(model: Autoencoder, prepared: Prepared) -> tuple[Converted, Converted]:
    """(int8, float) single steps; the ranges come from learned rows with their real states."""
    frames, states = [], []
    share = min(1.0, TRACE_ROWS / sum(part.train for part in prepared.parts))
    for part, x in zip(prepared.parts, normalized(prepared), strict=True):
        rows = x[: max(1, round(part.train * share))]
        frames.append(rows)
        states.append(forward(model, rows)[1])
    pooled = np.concatenate(frames)
    chosen = np.unique(np.linspace(0, len(pooled) - 1, REPRESENTATIVE_ROWS).astype(int))
    representative = Representative(
        pooled[chosen], tuple(np.concatenate(state)[chosen] for state in zip(*states, strict=True))
    )
    return convert(model, representative), convert(model, None)
