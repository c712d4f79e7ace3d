"""edge-lstm itself: one training a case, from which every choice of members is derived."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.manifest import Manifest, Member
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import Score
from edge_lstm.core.detector import Detector
from edge_lstm.core.scoring import Scorer
from edge_lstm.quiet import quiet_stderr
from edge_lstm.times import parse_time
from tests.benchmark.detection.cases import Case, Stretch
from tests.benchmark.detection.results import LSTM, OURS, Figures, Result, Watch, judge
from trainer.alarms import verdicts
from trainer.build import Whole, build_whole, deliver, wake_tensorflow
from trainer.data import History, read_history
from trainer.draft import heads_of, select
from trainer.held_contest import together
from trainer.networks import backend_of
from trainer.progress import Watcher
from trainer.settings import TrainSettings
from trainer.split import Part, hold
from trainer.trace import levels, trace

__all__ = ["candidates", "history_of", "run_members", "score_all", "watch"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def candidates(settings: TrainSettings) -> dict[str, Sequence[Member]]:
    """Method names and their members; the first is what is shipped by default."""
    return {
        OURS: together(settings),
        LSTM: ("lstm",),
        "EWMA alone": ("ewma",),
        "PCA alone": ("pca",),
        "VAR alone": ("var",),
        "all four": ("lstm", "ewma", "pca", "var"),
    }


def run_members(case: Case, settings: TrainSettings) -> Result:
    """Train once; score, judge and time every candidate."""
    with quiet_stderr():
        wake_tensorflow()
    with TemporaryDirectory() as folder:
        history = history_of(case, Path(folder))
    begun, cpu = time.monotonic(), time.process_time()
    whole = build_whole(history, settings, name="benchmark", watcher=Watcher())
    shipped = deliver(whole, together(settings), settings)[0]
    train_s = time.monotonic() - begun
    figures: dict[str, list[Figures]] = {}
    seen: Watch | None = None
    if case.set == "operation":
        seen = watch(whole, shipped, case.tests[0], history.channels)
    else:
        figures = _figures(whole, case, history.channels, settings)
    return Result(
        set=case.set,
        case=case.name,
        seed=settings.seed,
        part="members",
        history_rows=case.rows,
        train_s=train_s,
        cpu_s=time.process_time() - cpu,
        parameters=sum(w.size for w in whole.fitted.model.weights()),
        figures=figures,
        watch=seen,
    )


def history_of(case: Case, folder: Path) -> History:
    """The history as ``edge-lstm train`` reads it: a file a stretch."""
    named = any(one.asset for one in case.history)
    for i, one in enumerate(case.history):
        columns = {"time": pl.Series(one.time_ns)}
        if named:
            columns["asset"] = pl.Series([one.asset] * len(one.values))
        columns |= {name: pl.Series(one.values[:, j]) for j, name in enumerate(case.channels)}
        pl.DataFrame(columns).write_parquet(folder / f"{i:03d}.parquet")
    return read_history([folder], asset_column="asset" if named else None)


def _figures(
    whole: Whole, case: Case, channels: Sequence[str], settings: TrainSettings
) -> dict[str, list[Figures]]:
    columns = [case.channels.index(name) for name in channels]
    ready = {name: deliver(whole, some, settings)[0] for name, some in candidates(settings).items()}
    figures: dict[str, list[Figures]] = {name: [] for name in ready}
    for test in case.tests:
        scores = score_all(whole, test, columns, candidates(settings))
        for name, manifest in ready.items():
            alarm = verdicts(manifest.threshold, scores[name], warm_up=manifest.grid.warm_up)
            figures[name].append(judge(test, scores[name], alarm, period_s=case.period_s))
    return figures


def score_all(
    whole: Whole, test: Stretch, columns: Sequence[int], methods: Mapping[str, Sequence[Member]]
) -> dict[str, Floats]:
    """Scores of a recording from a fresh state, (rows,) a method; all members are run once.

    Args:
        whole: Every member.
        test: The recording.
        columns: Where the channels of the manifest stand in it.
        methods: Members of each method.
    """
    manifest, rows = whole.manifest, len(test.values)
    values = test.values[:, list(columns)]
    held = hold(values, np.asarray(manifest.scaling.centre))
    paused = np.zeros(rows, np.bool_)
    part = Part(test.asset, test.time_ns, held, np.isfinite(values), rows, rows, odd=False, paused=paused)
    backend = backend_of(manifest, whole.converted)
    (said,) = trace(manifest, backend, whole.weights, [part], most=rows)
    means = np.repeat(levels(manifest.scoring, said)[:, :, None], values.shape[1], axis=2)
    scores = {}
    for name, some in methods.items():
        scorer = Scorer(select(manifest, some).scoring)
        scores[name] = scorer.levels(means[:, heads_of(manifest, some)]).sum(axis=1)
    return scores


def watch(whole: Whole, manifest: Manifest, test: Stretch, channels: Sequence[str]) -> Watch:
    """A recording through the device's own detector, reading by reading."""
    backend = backend_of(whole.manifest, whole.converted)
    detector = Detector(manifest, backend, sha256="", node="benchmark", weights=whole.weights, replayed=True)
    scores: list[Score] = []
    alerts: list[Alert] = []
    for time_ns, row in zip(test.time_ns.tolist(), test.values.tolist(), strict=True):
        values = dict(zip(channels, row, strict=True))
        for event in detector.push(Reading("machine", time_ns, values)):
            if isinstance(event, Score):
                scores.append(event)
            elif isinstance(event, Alert) and event.type != "close":
                alerts.append(event)
    return Watch(
        [one.time_ns for one in scores],
        [one.score for one in scores],
        manifest.threshold.level,
        [(parse_time(one.time), one.contributors[0].channel) for one in alerts],
        [parse_time(one.time) for one in alerts if one.type == "open"],
    )
