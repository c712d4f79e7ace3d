"""Self-contained pages for people: a replay, what a training found, and an evaluation.

Both open from a file, without a network: data, style and script are in the page, and a
content policy forbids every request.
"""

from __future__ import annotations

from trainer.pages.contested import Contested, Curve
from trainer.pages.evaluation import EvaluationPage, render_evaluation
from trainer.pages.records import (
    AssetRecording,
    Calibration,
    ChannelFit,
    Episode,
    Fit,
    Folds,
    HeldOut,
    LossCurve,
    Parity,
    RateCurve,
    Recording,
    TrainingReport,
    episodes_of,
    rate_of_peaks,
)
from trainer.pages.replay import render_replay
from trainer.pages.training import render_training

__all__ = [
    "AssetRecording",
    "Calibration",
    "ChannelFit",
    "Contested",
    "Curve",
    "Episode",
    "EvaluationPage",
    "Fit",
    "Folds",
    "HeldOut",
    "LossCurve",
    "Parity",
    "RateCurve",
    "Recording",
    "TrainingReport",
    "episodes_of",
    "rate_of_peaks",
    "render_evaluation",
    "render_replay",
    "render_training",
]
