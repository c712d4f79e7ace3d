"""What the two pages show: plain records, checked when they are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alert import Alert, Contributor
from edge_lstm.contracts.manifest import Channel
from edge_lstm.times import parse_time
from trainer.pages.contested import Contested

__all__ = [
    "AssetRecording",
    "Calibration",
    "ChannelFit",
    "Episode",
    "Fit",
    "Floats",
    "Folds",
    "HeldOut",
    "LossCurve",
    "Parity",
    "RateCurve",
    "Recording",
    "TrainingReport",
    "episodes_of",
    "rate_of_peaks",
]

Floats = NDArray[np.floating[Any]]

_SEVERITIES = ("warning", "minor", "major", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One episode of one asset.

    Attributes:
        started_ns: Time of the frame that opened it.
        ended_ns: Time of the frame that closed it, or None while it is open.
        peak: Highest score.
        threshold: The level it was held against, or None when not known.
        severity: ``warning``, ``minor``, ``major`` or ``critical``.
        contributors: The channels behind it, largest share first.
        text: One sentence for people.
    """

    started_ns: int
    ended_ns: int | None
    peak: float
    threshold: float | None = None
    severity: str = "warning"
    contributors: tuple[Contributor, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssetRecording:
    """One asset, a row a frame.

    Attributes:
        asset: Name of the machine.
        time_ns: (rows,) nanoseconds since 1970-01-01 UTC, strictly increasing.
        actual: (rows, channels) channel units; NaN where a reading is missing.
        expected: (rows, channels) what the model rebuilt, channel units.
        score: (rows,) higher is more anomalous.
        threshold: (rows,) the level in force.
        status: (rows,) ``warming``, ``normal``, ``open``, ``paused`` or ``commissioning``.
        episodes: In order of time.

    Raises:
        ValueError: Shapes that do not belong together, or time that does not increase.
    """

    asset: str
    time_ns: NDArray[np.int64]
    actual: Floats
    expected: Floats
    score: Floats
    threshold: Floats
    status: Sequence[str]
    episodes: tuple[Episode, ...] = ()

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        rows = len(self.time_ns)
        if self.actual.shape != self.expected.shape or self.actual.ndim != 2:
            raise ValueError(f"{self.asset}: actual is {self.actual.shape}, expected {self.expected.shape}")
        for name in ("actual", "score", "threshold", "status"):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{self.asset}: {name} has {len(getattr(self, name))} rows, time has {rows}")
        if rows > 1 and bool((np.diff(self.time_ns) <= 0).any()):
            raise ValueError(f"{self.asset}: time does not increase")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A replay: some assets through one model.

    Attributes:
        title: Heading of the page.
        channels: The model's channels, in order.
        assets: One entry an asset.
        meta: Facts shown under the heading: bundle id, version, SHA-256, figures.
        gap_after_s: Silence that breaks the lines, seconds; None never breaks them.

    Raises:
        ValueError: An asset with another number of channels.
    """

    title: str
    channels: tuple[Channel, ...]
    assets: tuple[AssetRecording, ...]
    meta: Mapping[str, str] = field(default_factory=dict)
    gap_after_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse assets of another model."""
        for one in self.assets:
            if one.actual.shape[1] != len(self.channels):
                raise ValueError(f"{one.asset}: {one.actual.shape[1]} channels, not {len(self.channels)}")


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a channel is reconstructed; channel units (mse: squared)."""

    mse: float
    rmse: float
    mae: float
    r2: float


@dataclass(frozen=True, slots=True)
class ChannelFit:
    """One channel's figures on the two parts of the history."""

    channel: str
    unit: str
    train: Fit
    held_out: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """Loss while training.

    Attributes:
        steps: (evaluations,) epochs or weight updates.
        train: (evaluations,) loss on the training part.
        held_out: (evaluations,) loss on the held-out part.
        best: Index of the evaluation whose weights were kept.
        step_name: What a step is, for the axis.
    """

    steps: Sequence[float]
    train: Sequence[float]
    held_out: Sequence[float]
    best: int | None = None
    step_name: str = "epoch"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Scores on rows the model did not learn from, segments one after the other.

    Attributes:
        time_ns: (rows,) times, for the caption.
        score: (rows,) scores of the int8 model.
        threshold: The calibrated level.
        starts: Rows at which a new segment begins.
    """

    time_ns: NDArray[np.int64]
    score: Floats
    threshold: float
    starts: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parity:
    """int8 against float on the same rows.

    Attributes:
        figures: Label to figure, correlations for example.
        float_score: (rows,) scores of the float model.
        int8_score: (rows,) scores of the int8 model.
        step: (points,) steps at which the error was taken.
        error: (points,) mean distance of the network's outputs, model units.
        by_channel: Channel to that distance over the spread of its normal residual; some of them.
    """

    figures: Mapping[str, float]
    float_score: Floats
    int8_score: Floats
    step: Floats
    error: Floats
    by_channel: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class RateCurve:
    """Alarms a month (30 days) if the threshold stood at that level; both (points,)."""

    level: Floats
    per_month: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """How the threshold came about.

    Attributes:
        score: (rows,) scores of normal rows it rests on.
        level: The calibrated level.
        budget_per_month: False alarms a month that were allowed.
        expected_per_month: False alarms a month to expect at the level.
        extrapolated: True when the history is too short to prove the budget.
        counted: What was counted on the held-out rows.
        fitted: What the fitted tail says.
    """

    score: Floats
    level: float
    budget_per_month: float
    expected_per_month: float
    extrapolated: bool
    counted: RateCurve | None = None
    fitted: RateCurve | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Blocked cross-validation: what was done, and a table with its heading first."""

    lead: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingReport:
    """Everything a training leaves to read; a part that is None or empty is left out.

    Attributes:
        title: Heading of the page.
        facts: Label to value: id, version, period, parameters, size.
        profile: One mapping a row of the data profile; the keys are the columns.
        warnings: What the profile warns of, a sentence each.
        loss: Loss while training.
        fits: One entry a channel.
        held_out: Score on held-out data.
        parity: int8 against float.
        calibration: How the threshold came about.
        limits: What the model cannot do, a sentence each.
        contest: The LSTM against simpler detectors.
        folds: Blocked cross-validation.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    profile: Sequence[Mapping[str, object]] = ()
    warnings: Sequence[str] = ()
    loss: LossCurve | None = None
    fits: Sequence[ChannelFit] = ()
    held_out: HeldOut | None = None
    parity: Parity | None = None
    calibration: Calibration | None = None
    limits: Sequence[str] = ()
    contest: Contested | None = None
    folds: Folds | None = None


def episodes_of(alerts: Iterable[Alert]) -> dict[str, tuple[Episode, ...]]:
    """Fold the alerts of each episode into one record, by asset and in order of time.

    Contributors and text come from the alert with the highest score, which says most
    about the cause; a closing alert only says that it is over.
    """
    grouped: dict[str, list[Alert]] = {}
    for alert in alerts:
        grouped.setdefault(alert.id, []).append(alert)
    by_asset: dict[str, list[Episode]] = {}
    for group in grouped.values():
        by_asset.setdefault(group[0].asset, []).append(_episode(group))
    return {name: tuple(sorted(some, key=lambda one: one.started_ns)) for name, some in by_asset.items()}


def _episode(group: Sequence[Alert]) -> Episode:
    telling = [alert for alert in group if alert.type != "close"] or group
    top = max(telling, key=lambda alert: alert.score)
    ended = next((alert.ended for alert in group if alert.ended is not None), None)
    return Episode(
        started_ns=parse_time(top.started),
        ended_ns=None if ended is None else parse_time(ended),
        peak=max(alert.peak for alert in group),
        threshold=top.threshold,
        severity=max((alert.severity for alert in group), key=_SEVERITIES.index),
        contributors=tuple(top.contributors),
        text=top.text,
    )


def rate_of_peaks(peaks: Floats, *, readings: int, period_s: float) -> RateCurve:
    """Count how often a month each level was passed.

    Args:
        peaks: (clusters,) highest score of each cluster of high scores.
        readings: Readings the clusters were found in.
        period_s: Time between readings, seconds.
    """
    level = np.sort(np.asarray(peaks, dtype=np.float64))
    months = max(readings * period_s / (30 * 86400.0), 1e-12)
    return RateCurve(level, np.arange(len(level), 0, -1) / months)
