"""What is learned from prepared history: the network, as int8 and as float, and the linear members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.core.when import scored_channels
from trainer.convert import Converted, Representative, convert
from trainer.fit import FitSettings, Fitted, fit, forward
from trainer.inject import inject
from trainer.linear import fit_pca, fit_var
from trainer.model import HEADS, Autoencoder, Shape
from trainer.normal_runs import cut_runs
from trainer.prepare import Prepared, channels_of, normalized
from trainer.progress import Watcher
from trainer.qat import tune
from trainer.scale import CLIP
from trainer.settings import ModelSettings, TrainSettings
from trainer.trace import TRACE_ROWS

__all__ = [
    "LEAD_ROWS",
    "REPRESENTATIVE_ROWS",
    "convert_both",
    "fit_linear",
    "shape_of",
    "train",
    "tune_for_int8",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

REPRESENTATIVE_ROWS = 2000
"""What sets the int8 ranges: half of it undisturbed, half with injected faults."""
DISTURBED_ROWS = 20_000


LEAD_ROWS = 200
"""Rows that bring a fresh state up before validation counts."""


def train(prepared: Prepared, settings: TrainSettings, names: Sequence[str], watcher: Watcher) -> Fitted:
    """Train on the learned rows; stop by the validation rows. ``names`` are the channels'."""
    model, later = settings.model, []
    marked = _marked(prepared, settings, names)
    for part, (x, seen) in zip(prepared.parts, marked, strict=True):
        if part.validation > part.train:
            first = max(0, part.train - LEAD_ROWS)
            later.append((x[first : part.validation], seen[first : part.validation], part.train - first))
    shape = shape_of(model, len(names))
    facts = ("updates", "steps", "learning_rate", "clip_norm", "dropout", "patience")
    fit_settings = FitSettings(seed=settings.seed, **{name: getattr(model, name) for name in facts})
    fitted = fit(
        _learned(prepared, marked),
        later,
        shape,
        fit_settings,
        progress=lambda e: watcher.advance(
            e.update / e.updates, f"loss {e.train_loss:.4f}, later history {e.validation_loss:.4f}"
        ),
    )
    _silence(fitted.model, marked)
    return fitted


def tune_for_int8(
    model: Autoencoder,
    prepared: Prepared,
    settings: TrainSettings,
    names: Sequence[str],
    spread: Mapping[str, Floats],
    watcher: Watcher,
) -> None:
    """Train further on the learned rows, in place, until int8 follows closely; see `trainer.qat`."""
    marked = _marked(prepared, settings, names)
    learned = _learned(prepared, marked)
    # With nothing to predict: the two must agree there, and not learn the faults.
    faulty = [(rows, np.zeros_like(rows)) for rows in _disturbed([x for x, _ in learned])]
    updates = settings.int8.tuning_updates
    tune(model, [*learned, *faulty], spread, updates=updates, progress=watcher.advance)
    _silence(model, marked)


def _marked(
    prepared: Prepared, settings: TrainSettings, names: Sequence[str]
) -> list[tuple[Singles, Singles]]:
    """Model units and marks of every part, each (rows, channels): 1 where a value is to be predicted."""
    scored = scored_channels(channels_of(settings, names))  # a context channel is seen and not predicted
    z = normalized(prepared)
    return [(x, (part.seen & scored).astype(np.float32)) for part, x in zip(prepared.parts, z, strict=True)]


def _learned(prepared: Prepared, marked: Sequence[tuple[Singles, Singles]]) -> list[tuple[Singles, Singles]]:
    return [(x[: p.train], seen[: p.train]) for p, (x, seen) in zip(prepared.parts, marked, strict=True)]


def _silence(model: Autoencoder, marked: Sequence[tuple[Singles, Singles]]) -> None:
    moved = np.any([np.ptp(x, axis=0) > 0 for x, _ in marked], axis=0)
    model.silence(np.flatnonzero(~moved).tolist())


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
    """(int8, float) single steps.

    The ranges come from learned rows, half of them with injected faults, with the states the
    model has when it meets them: int8 must follow float where the machine fails, too.
    """
    learned = [x[: max(1, part.train)] for part, x in zip(prepared.parts, normalized(prepared), strict=True)]
    most = REPRESENTATIVE_ROWS // 2
    frames, states = zip(
        *(_sample(model, rows, most) for rows in (learned, _disturbed(learned))), strict=True
    )
    together = tuple(np.concatenate(one) for one in zip(*states, strict=True))
    representative = Representative(np.concatenate(frames), together)
    return convert(model, representative), convert(model, None)


def _sample(model: Autoencoder, stretches: Sequence[Singles], most: int) -> tuple[Singles, list[Singles]]:
    """Rows of stretches, and every state before each of them.

    Spread evenly, and besides those at which an output or a state goes farthest: it is the
    ends that set a range.
    """
    share = min(1.0, TRACE_ROWS / sum(len(rows) for rows in stretches))
    kept = [rows[: max(1, round(len(rows) * share))] for rows in stretches]
    parts: list[dict[str, Singles]] = []
    for rows in kept:
        said, states = forward(model, rows)
        parts.append({"": rows, **said, **{str(i): state for i, state in enumerate(states)}})
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ends = [end(array, axis=0) for array in whole.values() for end in (np.argmin, np.argmax)]
    even = np.linspace(0, len(whole[""]) - 1, most).astype(int)
    chosen = np.unique(np.concatenate([even, *ends]))
    return whole[""][chosen], [whole[str(i)][chosen] for i in range(len(model.shape.states))]


def _disturbed(stretches: Sequence[Singles]) -> list[Singles]:
    """Runs of the stretches with a fault each, one after the other; the stretches where none fits."""
    normal = cut_runs([rows.astype(np.float64) for rows in stretches], lead=60, horizon=300, most=200)
    runs = inject(normal, most_rows=DISTURBED_ROWS).runs
    joined = np.clip(runs, -CLIP, CLIP).reshape(-1, runs.shape[2])
    return [joined.astype(np.float32)] if len(joined) else list(stretches)
