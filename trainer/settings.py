"""What a training run can be told: the schema of ``train.yaml`` (configs/train.yaml shows every key)."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ChannelSettings", "HistorySettings", "ModelSettings", "ScoreSettings", "TrainSettings"]


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read the files; what is null or ``auto`` is found out.

    Attributes:
        time_column: Column that holds the time.
        time_format: ``auto``, ``s``, ``ms``, ``us``, ``ns``, ``rfc3339`` or a strptime pattern.
        delimiter: Separator of CSV columns.
        layout: ``wide`` (a column a channel), ``long`` (time, channel, value) or ``auto``.
        channel_column: Column that names the channel, in a long table.
        value_column: Column that holds the value, in a long table.
        asset_column: Column that names the machine; one model, a scaling for each.
        ignore: Columns to leave out: labels, operator notes.
        constant: Channels that never change: an ``error``, or ``drop`` them; ``auto`` drops
            them from tables of 12 channels or more.
        mixed_time_zones: ``error``, or ``convert`` everything to UTC.
        gap_factor: Silence longer than this many periods breaks a segment, and on the
            device starts the state anew.
    """

    time_column: str | None = None
    time_format: str = "auto"
    delimiter: str | None = None
    layout: Literal["auto", "wide", "long"] = "auto"
    channel_column: str | None = None
    value_column: str | None = None
    asset_column: str | None = None
    ignore: tuple[str, ...] = ()
    constant: Literal["auto", "error", "drop"] = "auto"
    mixed_time_zones: Literal["error", "convert"] = "error"
    gap_factor: float = 10.0


class ChannelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts of one channel that no history can tell.

    Attributes:
        unit: Unit, shown in alerts.
        valid: Lowest and highest value that is physically possible.
        role: ``telemetry`` is scored; ``context`` (an order, a load, the weather) is an input of
            the model and never scored; ``ignored`` is left out.
    """

    unit: str = ""
    valid: tuple[float | None, float | None] = (None, None)
    role: Literal["telemetry", "context", "ignored"] = "telemetry"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size and training of the model.

    Attributes:
        units: Width of hidden and cell.
        layers: Recurrent layers.
        code: Width of the bottleneck; null is a third of the channels, at least 2.
        updates: Weight updates in all.
        steps: Steps that gradients go back.
        learning_rate: Highest learning rate.
        dropout: Share of hidden numbers dropped in training, 0 to 1.
        clip_norm: Greatest norm of a gradient.
        patience: Evaluations without improvement before training stops.
    """

    units: int = 16
    layers: int = 1
    code: int | None = None
    updates: int = 1500
    steps: int = 32
    learning_rate: float = 4e-3
    dropout: float = 0.1
    clip_norm: float = 1.0
    patience: int = 8


class ScoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Smoothing of the score's three parts: weight of the newest frame, 0 to 1.

    Attributes:
        reconstruction_alpha: Squares of what the code could not rebuild.
        forecast_alpha: Squares of what the last reading did not announce.
        level_pre_alpha: Distance of a channel from its centre, before squaring.
        level_alpha: Squares of that distance.
    """

    reconstruction_alpha: float = 0.3
    forecast_alpha: float = 0.1
    level_pre_alpha: float = 0.1
    level_alpha: float = 0.3


class AlarmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user says of alarms.

    Attributes:
        budget_per_month: False alarms a month (30 days) that are acceptable.
        close_ratio: Hysteresis: an episode can close below this share of the level.
        open_after: Frames in a row that open an episode.
        close_after: Frames in a row that close it.
        refractory: Frames after a close during which nothing opens.
        warm_up: Frames after a reset during which nothing opens.
        hold_frames: Frames for which a missing channel is held before it is called missing.
        score_when: Rule that says when the machine is scored, like ``speed > 5``; null is always.
    """

    budget_per_month: float = 2.0
    close_ratio: float = 0.8
    open_after: int = 2
    close_after: int = 10
    refractory: int = 0
    warm_up: int = 32
    hold_frames: int = 5
    score_when: str | None = None


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything; the root of ``train.yaml``.

    Attributes:
        name: Name of the model; null takes it from the bundle's file name.
        version: Version of the model.
        seed: Same seed, same machine: same bundle.
        validation: Share of each segment that stops the training.
        held_out: Share of each segment, its end, that calibrates and judges.
        history: How to read the files.
        channels: Facts of channels by name.
        model: Size and training of the model.
        score: Smoothing of the score.
        alarm: What the user says of alarms.
    """

    name: str | None = None
    version: str = "1"
    seed: int = 0
    validation: float = 0.1
    held_out: float = 0.2
    history: HistorySettings = HistorySettings()
    channels: dict[str, ChannelSettings] = {}
    model: ModelSettings = ModelSettings()
    score: ScoreSettings = ScoreSettings()
    alarm: AlarmSettings = AlarmSettings()
