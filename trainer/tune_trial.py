"""One trial: a whole training, and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.core.quantize import zero
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import HistoryError
from trainer.build import Built, build
from trainer.data import History
from trainer.held_contest import together
from trainer.network import with_network
from trainer.progress import Watcher
from trainer.settings import TrainSettings
from trainer.tune_study import Figures

__all__ = ["run_trial", "step_times"]

_STEPS = 2000
_REFERENCE = 128


def run_trial(history: History, settings: TrainSettings, watcher: Watcher) -> Figures:
    """Train with these settings and hold the contest.

    Raises:
        HistoryError: The history does not suffice, whatever the settings.
        ConversionError: This network does not become whole int8.
    """
    # Graphs of the trial before are of no use any more, and there may be hundreds of trials.
    tf.keras.backend.clear_session()
    built = build(history, settings, name="trial", watcher=watcher)
    shipped = built.metrics["contest"]["results"]["+".join(together(settings))]
    if shipped["found"] is None:
        raise HistoryError(
            "the held-out history is too short to inject faults, so no settings can be told from others",
            do="give more history, or hold more of it out with --held-out",
        )
    watcher.stage("time the step")
    step_us, reference_us = step_times(built)
    return Figures(
        found=shipped["found"],
        low=shipped["low"],
        high=shipped["high"],
        auc=shipped["auc"],
        alarms=built.manifest.threshold.expected_per_month,
        model_bytes=built.metrics["model_bytes"],
        step_us=step_us,
        reference_us=reference_us,
    )


def step_times(built: Built) -> tuple[float, float]:
    """Median microseconds of one int8 step on this machine, and of a fixed piece of work beside it.

    The two take turns, so that a slow spell of the machine meets both: their ratio can be
    compared between trials that ran at different times.
    """
    manifest = with_network(built)
    backend = LiteRtBackend(Bundle(Path("memory"), "", manifest, {MODEL: built.converted.content}))
    tensor = next(t for t in manifest.inputs if t.name == manifest.input)
    frame = np.full(tensor.shape[-1], zero(tensor), tensor.dtype)
    states = [np.full(a.shape[-1], zero(a), a.dtype) for a, _ in state_tensors(manifest)]
    square, vector = np.eye(_REFERENCE, dtype=np.float32), np.ones(_REFERENCE, dtype=np.float32)
    times = [
        (_timed(lambda: backend.step(frame, states)), _timed(lambda: square @ vector)) for _ in range(_STEPS)
    ]
    step_us, reference_us = (np.median(times, axis=0) / 1e3).tolist()
    return step_us, reference_us


def _timed(work: Callable[[], object]) -> int:
    """Nanoseconds."""
    start = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start
