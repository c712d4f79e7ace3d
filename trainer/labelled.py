"""Labelled history: what is known to be anomalous is not learned, and the contest is held on it too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_lstm.core.normalize import Normalizer
from edge_lstm.errors import HistoryError
from trainer.contest import Candidate, Contest, labelled
from trainer.data import MIN_ROWS, History, Segment
from trainer.labels import Labels
from trainer.split import hold
from trainer.vus import average_precision, vus_pr

__all__ = ["LabelledStretch", "labelled_contest", "without_anomalies"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledStretch:
    """An unbroken stretch with anomalies in it, whole.

    Attributes:
        segment: Its readings.
        marks: True where anomalous, (rows,).
    """

    segment: Segment
    marks: Bools


def without_anomalies(history: History, labels: Labels) -> tuple[History, list[LabelledStretch]]:
    """The history cut at its labelled rows, and the stretches that have some.

    Args:
        history: What was read, labels not among its channels.
        labels: Labels of the same rows.

    Raises:
        HistoryError: A row has no label, or too few normal rows are left.
    """
    normal: list[Segment] = []
    marked: list[LabelledStretch] = []
    for segment in history.segments:
        marks = labels.at(segment.asset, segment.time_ns, period_s=history.period_s)
        if marks.any():
            marked.append(LabelledStretch(segment, marks))
        runs = np.split(np.arange(len(marks)), np.flatnonzero(np.diff(marks)) + 1)
        normal += [_rows(segment, run) for run in runs if len(run) and not marks[run[0]]]
    left = sum(len(one.time_ns) for one in normal)
    if left < MIN_ROWS:
        raise HistoryError(
            "hardly anything of the history is normal",
            column=labels.column,
            expected=f"at least {MIN_ROWS} rows labelled 0",
            got=f"{left}",
            do="give more history; check that 1 marks what is anomalous",
        )
    return replace(history, segments=tuple(normal)), marked


def _rows(segment: Segment, rows: NDArray[np.intp]) -> Segment:
    return replace(segment, time_ns=segment.time_ns[rows], values=segment.values[rows])


def labelled_contest(
    contest: Contest,
    candidates: Sequence[Candidate],
    stretches: Sequence[LabelledStretch],
    default: Normalizer,
    named: Mapping[str, Normalizer],
) -> Contest:
    """Add VUS-PR and AUC-PR on the labelled stretches to every candidate, the mean over stretches.

    The normal rows of these stretches were learned, most of them, so the figures flatter all
    candidates; `edge-lstm evaluate` on a recording that was not learned does not.

    Args:
        contest: The contest on injected faults.
        candidates: Who takes part.
        stretches: What `without_anomalies` found.
        default: Model units, not clipped, of a machine without a scaling of its own.
        named: Those of the machines that have one.
    """
    rows = []
    for one in stretches:
        scaling = named.get(one.segment.asset, default)
        rows.append(scaling.forward(hold(one.segment.values, scaling.centre)))
    return labelled(
        contest,
        {one.name: [one.score(z[None])[0] for z in rows] for one in candidates},
        [one.marks for one in stretches],
        {"VUS-PR": _mean_over(vus_pr), "AUC-PR": _mean_over(average_precision)},
    )


def _mean_over(
    figure: Callable[[Bools, Floats], float],
) -> Callable[[Sequence[Floats], Sequence[Bools]], float]:
    def mean(scores: Sequence[Floats], marks: Sequence[Bools]) -> float:
        return float(np.mean([figure(truth, said) for said, truth in zip(scores, marks, strict=True)]))

    return mean
