"""What a run leaves behind: one record a case, seed and part, written down as JSON."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from tests.benchmark.detection.cases import Stretch
from trainer.events import EventCounts, ReadingCounts, count_events, count_readings, seconds_of
from trainer.vus import average_precision, vus_pr

__all__ = ["LSTM", "OURS", "WINDOWED", "Figures", "Result", "Watch", "judge"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

OURS, LSTM, WINDOWED = "edge-lstm", "LSTM alone", "windowed LSTM-AE"
"""Methods that the targets speak of."""
VUS_STEP = 10
"""From one buffer width of VUS-PR to the next."""


class Figures(msgspec.Struct, frozen=True):
    """One method on one recording.

    Attributes:
        vus_pr: Volume under the range-PR surface.
        auc_pr: Average precision.
        events: Alarms held against labelled events.
        readings: Alarms held against labels, reading by reading.
    """

    vus_pr: float
    auc_pr: float
    events: EventCounts
    readings: ReadingCounts


class Watch(msgspec.Struct, frozen=True):
    """A recording watched as in operation.

    Attributes:
        time_ns: Time of each reading.
        score: Score of each reading.
        level: Threshold in force.
        alerts: Time and channel with the largest share of every alert that opened or
            changed an episode.
        opened: Times at which episodes opened.
    """

    time_ns: list[int]
    score: list[float]
    level: float
    alerts: list[tuple[int, str]]
    opened: list[int]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the work on one case.

    Attributes:
        set: Data set and protocol.
        case: Name of the case.
        seed: Seed of the training.
        part: Which part.
        history_rows: Rows learned from or calibrated on.
        train_s: Training, conversion and calibration, seconds of wall time.
        cpu_s: The whole part, seconds of processor time.
        parameters: Weights of the network; 0 without one.
        figures: Method to a row of figures a recording.
        watch: Only of `operation`.
        date: Day on which it was measured, UTC.
        machine: What it was measured on.
    """

    set: str
    case: str
    seed: int
    part: str
    history_rows: int
    train_s: float = 0.0
    cpu_s: float = 0.0
    parameters: int = 0
    figures: dict[str, list[Figures]] = {}
    watch: Watch | None = None
    date: str = ""
    machine: str = ""


def judge(test: Stretch, score: Floats, alarm: Bools, *, period_s: int) -> Figures:
    """Hold scores and alarms of one recording against its labels.

    Args:
        test: The recording, at least one row labelled.
        score: (rows,) higher is more anomalous.
        alarm: (rows,) True while an alarm is up.
        period_s: Time between rows, seconds.
    """
    seconds = seconds_of(test.time_ns, period_s=period_s, gap_after_s=10 * period_s)
    return Figures(
        vus_pr=vus_pr(test.labels, score, step=VUS_STEP),
        auc_pr=average_precision(test.labels, score),
        events=count_events(test.labels, alarm, test.time_ns, seconds),
        readings=count_readings(test.labels, alarm),
    )
