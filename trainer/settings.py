"""What a training run can be told: the schema of ``train.yaml`` (configs/train.yaml shows every key)."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_lstm.contracts.manifest import Member

__all__ = [
    "AlarmSettings",
    "ChannelSettings",
    "HistorySettings",
    "Int8Settings",
    "ModelSettings",
    "PcaSettings",
    "ScoreSettings",
    "TrainSettings",
    "VarSettings",
]


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
        constant: Channels that never change: an ``error``, ``drop`` them, or ``keep`` them, so
            that any change counts against the machine; ``auto`` keeps them in tables of 12
            channels or more, and is an error in others.
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
    constant: Literal["auto", "error", "drop", "keep"] = "auto"
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
    """Kind, size and training of the model.

    Attributes:
        cell: Kind of recurrent cell: ``lstm``, ``gru``, ``peephole`` (LSTM whose gates see the
            cell) or ``cifg`` (LSTM with coupled input and forget gate).
        mode: What the model says: the reconstruction of a reading, the forecast of the next
            one, or ``both``.
        units: Width of hidden and cell.
        layers: Recurrent layers.
        code: Width of the bottleneck; null is a third of the channels, at least 2.
        lags: Readings that the code must rebuild in training, by age in readings, 0 (the
            newest) first. The device rebuilds the newest alone.
        attention: Hidden vectors that the heads look back on, the newest included; 0 is none.
        linear: Whether the forecast also has a linear path straight from the reading.
        updates: Weight updates in all.
        steps: Steps that gradients go back.
        learning_rate: Highest learning rate.
        dropout: Share of hidden numbers dropped in training, 0 to 1.
        clip_norm: Greatest norm of a gradient.
        patience: Evaluations without improvement before training stops.
    """

    cell: Literal["lstm", "gru", "peephole", "cifg"] = "lstm"
    mode: Literal["both", "reconstruction", "forecast"] = "both"
    units: int = 16
    layers: int = 1
    code: int | None = None
    lags: tuple[int, ...] = (0,)
    attention: int = 0
    linear: bool = False
    updates: int = 1500
    steps: int = 32
    learning_rate: float = 4e-3
    dropout: float = 0.1
    clip_norm: float = 1.0
    patience: int = 8


class VarSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vector autoregression.

    Attributes:
        lags: Ages, in readings, of the past readings it takes.
        memory: Moving averages of the past that it takes besides: weight of the newest, 0 to 1.
        ridge: Penalty on the squares of its weights, a row of the history.
    """

    lags: tuple[int, ...] = (1, 2)
    memory: tuple[float, ...] = (0.05,)
    ridge: float = 0.03


class PcaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The principal components.

    Attributes:
        share: Share of the variance that the components keep, 0 to 1.
    """

    share: float = 0.9


class ScoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Smoothing of the score's parts: weight of the newest frame, 0 to 1.

    Attributes:
        reconstruction_alpha: Squares of what the code could not rebuild.
        forecast_alpha: Squares of what the last reading did not announce.
        level_pre_alpha: Distance of a channel from its centre, before squaring (EWMA).
        level_alpha: Squares of that distance.
        pca_alpha: Squares of what the principal components leave and of what they say.
        var_alpha: Squares of what the autoregression did not announce.
    """

    reconstruction_alpha: float = 0.3
    forecast_alpha: float = 0.1
    level_pre_alpha: float = 0.1
    level_alpha: float = 0.3
    pca_alpha: float = 0.3
    var_alpha: float = 0.1


class Int8Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of the int8 model: how near it must stay to the float model.

    Attributes:
        steps: Least steps for which both models are replayed and compared.
        least_rank_correlation: Least rank correlation of the two scores.
        most_changed_verdicts: Largest share of readings at which only one of them has an episode open.
        most_vus_pr_lost: Most VUS-PR that int8 may lose, on injected faults and on labels.
        most_saturated: Largest share of a state that stands at the end of its range where float goes on.
        most_error_growth: How many times larger the error may be at the end than at the start.
        tuning_updates: Weight updates of quantization-aware training when a limit is missed at
            first; 0 is none.
        keep_float: Whether the bundle also holds the float network, for replays.
    """

    steps: int = 20_000
    least_rank_correlation: float = 0.995
    most_changed_verdicts: float = 0.02
    most_vus_pr_lost: float = 0.01
    most_saturated: float = 0.01
    most_error_growth: float = 1.05
    tuning_updates: int = 300
    keep_float: bool = False


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
    close_after: int = 20
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
        held_out: Share of each segment, its end, that judges.
        labels: Column of the history that is 1 where a row is known to be anomalous, else 0: such
            rows are not learned, and the contest is held on them too.
        members: What the bundle scores with: ``lstm``, ``ewma``, ``pca`` and ``var``, any of
            them; ``auto`` keeps what the contest says helps.
        history: How to read the files.
        channels: Facts of channels by name.
        model: Kind, size and training of the network.
        var: The vector autoregression.
        pca: The principal components.
        score: Smoothing of the score.
        int8: What is asked of the int8 model.
        alarm: What the user says of alarms.
    """

    name: str | None = None
    version: str = "1"
    seed: int = 0
    validation: float = 0.1
    held_out: float = 0.2
    labels: str | None = None
    members: tuple[Member, ...] | Literal["auto"] = ("lstm", "var")
    history: HistorySettings = HistorySettings()
    channels: dict[str, ChannelSettings] = {}
    model: ModelSettings = ModelSettings()
    var: VarSettings = VarSettings()
    pca: PcaSettings = PcaSettings()
    score: ScoreSettings = ScoreSettings()
    int8: Int8Settings = Int8Settings()
    alarm: AlarmSettings = AlarmSettings()
