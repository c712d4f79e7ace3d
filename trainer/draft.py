"""The manifest: of all members before calibration, and of those that are shipped."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import keras
import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edge_lstm import __version__
from edge_lstm.contracts.manifest import (
    FORMAT,
    MEMBER,
    Grid,
    Head,
    Kind,
    Manifest,
    Member,
    Scoring,
    Threshold,
)
from edge_lstm.errors import OperatorError
from edge_lstm.times import format_time
from trainer.convert import FRAME, Converted
from trainer.data import History
from trainer.model import HEADS
from trainer.prepare import CLIP, Prepared, channels_of
from trainer.settings import TrainSettings

__all__ = ["CAP", "GOLDEN_TOLERANCE", "draft", "heads_of", "select"]

Floats = NDArray[np.float64]
_with = msgspec.structs.replace

CAP = 1000.0
"""A standardised square: 30 deviations are an alarm however much more it is."""
GOLDEN_TOLERANCE = 8
"""Quantization steps, after one step of the network. Kernels differ by one an operator; a cell that is
one off is up to three off in the hidden state, whose grid is finer, and the heads add several up."""


def draft(
    history: History, settings: TrainSettings, prepared: Prepared, converted: Converted, *, name: str
) -> Manifest:
    """The manifest, but for what calibration finds out."""
    alarm = settings.alarm
    return Manifest(
        format=FORMAT,
        min_runtime=__version__,
        id=name,
        version=settings.version,
        created=_created(prepared),
        files={},
        inputs=converted.inputs,
        outputs=converted.outputs,
        input=FRAME,
        states=converted.states,
        channels=channels_of(settings, history.channels),
        scaling=prepared.scaling,
        assets=prepared.assets,
        grid=Grid(
            history.period_s, history.period_s * settings.history.gap_factor, alarm.hold_frames, alarm.warm_up
        ),
        scoring=Scoring(CLIP, CAP, _heads(settings, len(history.channels))),
        threshold=Threshold(0.0, 0.0, 0, 0, 0, alarm.budget_per_month, 0.0, extrapolated=True),
        golden_tolerance=GOLDEN_TOLERANCE,
        training=_training_facts(history, settings, prepared),
        metrics={},
        score_when=settings.alarm.score_when or "",
    )


def _heads(settings: TrainSettings, channels: int) -> tuple[Head, ...]:
    """Structure, dynamics and level: no one of them sees every fault (docs/explain-detection.md)."""
    score, zeros, ones = settings.score, (0.0,) * channels, (1.0,) * channels

    def head(kind: Kind, output: str, alpha: float, pre_alpha: float = 1.0, **takes: Any) -> Head:
        return Head(kind, output, pre_alpha, alpha, zeros, ones, 1.0, **takes)

    heads = (
        head("reconstruction", "reconstruction", score.reconstruction_alpha),
        head("forecast", "forecast", score.forecast_alpha),
        head("level", "", score.level_alpha, score.level_pre_alpha),
        head("pca_q", "pca_q", score.pca_alpha, lags=(0,)),
        head("pca_t2", "pca_t2", score.pca_alpha, lags=(0,)),
        head("var", "var", score.var_alpha, lags=settings.var.lags, memory=settings.var.memory),
    )
    network = HEADS[settings.model.mode]
    return tuple(one for one in heads if MEMBER[one.kind] != "lstm" or one.kind in network)


def _created(prepared: Prepared) -> str:
    """ADR 0006: a fact of the inputs, so that the same inputs give the same bundle."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch:
        if not epoch.isdecimal():
            raise OperatorError("SOURCE_DATE_EPOCH is not a time", expected="Unix seconds", got=epoch)
        return f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    return format_time(max(int(part.time_ns[-1]) for part in prepared.parts))


def _training_facts(history: History, settings: TrainSettings, prepared: Prepared) -> dict[str, Any]:
    parts = prepared.parts
    return {
        "rows": sum(len(part.values) for part in parts),
        "rows_learned": sum(part.train for part in parts),
        "rows_validation": sum(part.validation - part.train for part in parts),
        "rows_held_out": sum(len(part.values) - part.validation for part in parts),
        "segments": len(parts),
        "start": format_time(min(int(part.time_ns[0]) for part in parts)),
        "end": format_time(max(int(part.time_ns[-1]) for part in parts)),
        "files": sorted({segment.source for segment in history.segments}),
        "notices": [*history.notices, *prepared.notices],
        "settings": msgspec.to_builtins(settings),
        "tensorflow": str(tf.__version__),
        "keras": str(keras.__version__),
        "python": platform.python_version(),
    }


def heads_of(manifest: Manifest, members: Sequence[Member]) -> list[int]:
    """Which of the heads belong to these members."""
    return [i for i, head in enumerate(manifest.scoring.heads) if MEMBER[head.kind] in members]


def select(manifest: Manifest, members: Sequence[Member]) -> Manifest:
    """The manifest of a bundle with these members alone; without ``lstm`` it has no network."""
    heads = tuple(manifest.scoring.heads[i] for i in heads_of(manifest, members))
    chosen = _with(manifest, scoring=_with(manifest.scoring, heads=heads))
    return chosen if "lstm" in members else _with(chosen, inputs=(), outputs=(), input="", states=())
