"""What an evaluation found, schema ``edge-lstm.evaluation/1``: keys are stable, null is "not defined".

Every field is described in docs/howto-evaluate.md.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "EVALUATION_SCHEMA",
    "Block",
    "Blocks",
    "Calibration",
    "Data",
    "Errors",
    "Evaluation",
    "Events",
    "Figure",
    "Model",
    "Ranking",
    "Readings",
    "Reconstruction",
    "RecordingFigures",
]

EVALUATION_SCHEMA: Final = "edge-lstm.evaluation/1"

Errors = dict[str, dict[str, float | None]]
"""Channel to mse, rmse, mae and r2; channel units."""


class Model(msgspec.Struct, frozen=True):
    """Which bundle was judged."""

    id: str
    version: str
    sha256: str


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What it was judged on; times are RFC 3339, spans seconds."""

    labels: str | None
    recordings: int
    assets: int
    readings: int
    scored: int
    warming: int
    normal: int | None
    anomalous: int | None
    normal_s: float | None
    watched_s: float
    start: str
    end: str


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """How well the score ranks readings, whatever the threshold: means over labelled recordings."""

    vus_pr: float
    auc_pr: float
    base_rate: float
    recordings: int
    window: int
    step: int


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Alarm episodes, and with labels how they fit the events; counts over all recordings."""

    merge_readings: int
    episodes: int
    episodes_per_1000_readings: float | None
    episodes_per_day: float | None
    labelled: int | None = None
    found: int | None = None
    true_episodes: int | None = None
    false_episodes: int | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    false_episodes_per_1000_readings: float | None = None
    false_episodes_per_day: float | None = None
    median_delay_readings: float | None = None
    median_delay_s: float | None = None


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """The same reading by reading."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    precision: float | None
    recall: float | None
    f1: float
    false_alarm_rate: float | None
    missed_alarm_rate: float | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What the threshold promised and what came, a month (30 days) of readings not labelled.

    ``expected`` is null where the bundle does not say.
    """

    level: float
    budget_per_month: float
    expected_per_month: float | None
    counted: int
    months: float
    counted_per_month: float | None
    levels: tuple[float, ...]
    counted_at_levels: tuple[float, ...]
    expected_at_levels: tuple[float | None, ...]


class Reconstruction(msgspec.Struct, frozen=True):
    """Errors of the reconstruction a channel, over all readings and by label."""

    all: Errors
    normal: Errors | None = None
    anomalous: Errors | None = None


class RecordingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One machine in one file."""

    asset: str
    source: str
    readings: int
    episodes: int
    anomalous: int | None = None
    vus_pr: float | None = None
    auc_pr: float | None = None
    labelled: int | None = None
    found: int | None = None
    false_episodes: int | None = None


class Figure(msgspec.Struct, frozen=True):
    """A figure over blocks: mean, standard deviation (over n - 1), blocks in which it is defined."""

    mean: float | None
    spread: float | None
    blocks: int


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One block in time; ``labelled`` is its labelled events, ``figures`` has null where not defined."""

    start: str
    end: str
    readings: int
    labelled: int | None
    figures: dict[str, float | None]


class Blocks(msgspec.Struct, frozen=True):
    """The recording in blocks; ``reconstruction`` is channel to mse, rmse, mae and r2."""

    each: tuple[Block, ...]
    figures: dict[str, Figure]
    reconstruction: dict[str, dict[str, Figure]]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; without labels the parts that need them are null."""

    schema: Literal["edge-lstm.evaluation/1"] = EVALUATION_SCHEMA
    bundle: Model
    data: Data
    ranking: Ranking | None
    events: Events
    readings: Readings | None
    calibration: Calibration | None
    reconstruction: Reconstruction
    recordings: tuple[RecordingFigures, ...]
    folds: Blocks | None = None
    notes: tuple[str, ...] = ()
