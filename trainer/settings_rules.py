"""What settings must be beyond their types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from edge_lstm.contracts.manifest import Member
from edge_lstm.errors import ConfigError
from trainer.model_rules import problems
from trainer.settings import TrainSettings

if TYPE_CHECKING:
    from trainer.data import History

__all__ = ["check_ranges", "check_settings"]


def check_settings(settings: TrainSettings, config: Path | None) -> None:
    """Refuse numbers that cannot work, by key.

    Raises:
        ConfigError: The first that is wrong.
    """
    model, alarm, var, int8 = settings.model, settings.alarm, settings.var, settings.int8
    for where, value, low, high in (
        ("seed", settings.seed, 0, 2**32 - 1),
        ("held_out", settings.held_out, 0.05, 0.5),
        ("validation", settings.validation, 0.02, 0.3),
        ("history.gap_factor", settings.history.gap_factor, 1.5, 1e6),
        ("model.units", model.units, 1, 512),
        ("model.layers", model.layers, 1, 4),
        ("model.code", 1 if model.code is None else model.code, 1, 512),
        ("model.updates", model.updates, 1, 1e6),
        ("model.steps", model.steps, 2, 1000),
        ("model.learning_rate", model.learning_rate, 1e-9, 1.0),
        ("model.dropout", model.dropout, 0.0, 0.9),
        ("model.clip_norm", model.clip_norm, 1e-6, 1e6),
        ("model.patience", model.patience, 1, 1e6),
        ("alarm.budget_per_month", alarm.budget_per_month, 1e-6, 1e6),
        ("alarm.close_ratio", alarm.close_ratio, 0.1, 1.0),
        ("alarm.open_after", alarm.open_after, 1, 1e6),
        ("alarm.close_after", alarm.close_after, 1, 1e6),
        ("alarm.refractory", alarm.refractory, 0, 1e6),
        ("alarm.warm_up", alarm.warm_up, 0, 1e6),
        ("alarm.hold_frames", alarm.hold_frames, 0, 1e6),
        ("int8.steps", int8.steps, 1000, 1e6),
        ("int8.least_rank_correlation", int8.least_rank_correlation, -1.0, 1.0),
        ("int8.most_changed_verdicts", int8.most_changed_verdicts, 0.0, 1.0),
        ("int8.most_vus_pr_lost", int8.most_vus_pr_lost, 0.0, 1.0),
        ("int8.most_saturated", int8.most_saturated, 0.0, 1.0),
        ("int8.most_error_growth", int8.most_error_growth, 1.0, 1e6),
        ("int8.tuning_updates", int8.tuning_updates, 0, 1e6),
        ("var.ridge", var.ridge, 1e-6, 1e6),
        *(("var.lags", lag, 1, 1000) for lag in var.lags),
        *(("var.memory", alpha, 1e-4, 1.0) for alpha in var.memory),
        ("pca.share", settings.pca.share, 0.01, 1.0),
        *(
            (f"score.{name}", getattr(settings.score, name), 1e-4, 1.0)
            for name in settings.score.__struct_fields__
        ),
    ):
        if not low <= value <= high:
            raise ConfigError(
                "value is out of range",
                path=config,
                key=where,
                expected=f"{low:g} to {high:g}",
                got=f"{value:g}",
            )
    if not var.lags and not var.memory:
        raise ConfigError(
            "the autoregression takes nothing", path=config, key="var.lags", expected="[1]", got="[]"
        )
    if settings.members != "auto" and (
        not settings.members or len(set(settings.members)) != len(settings.members)
    ):
        raise ConfigError(
            "members must be some of the four, each once",
            path=config,
            key="members",
            expected=f"auto, or some of {', '.join(get_args(Member))}",
            got=", ".join(settings.members) or "none",
        )
    for key, expected, got in problems(model):
        raise ConfigError("the model cannot be so", path=config, key=key, expected=expected, got=got)
    for name, channel in settings.channels.items():
        low_end, high_end = channel.valid
        if low_end is not None and high_end is not None and not low_end < high_end:
            raise ConfigError(
                "valid range is empty",
                path=config,
                key=f"channels.{name}.valid",
                expected="[lowest, highest]",
                got=f"[{low_end:g}, {high_end:g}]",
            )


def check_ranges(settings: TrainSettings, history: History, config: Path | None) -> None:
    """Refuse a valid range that most of the history lies outside of: it would mask the channel.

    Raises:
        ConfigError: More than half of a channel's values are outside.
    """
    for name, channel in settings.channels.items():
        low, high = channel.valid
        if name not in history.channels or (low is None and high is None):
            continue
        at = history.channels.index(name)
        values = np.concatenate([segment.values[:, at] for segment in history.segments])
        values = values[np.isfinite(values)]
        outside = (values < (-np.inf if low is None else low)) | (values > (np.inf if high is None else high))
        if len(values) and outside.mean() > 0.5:
            raise ConfigError(
                f"{outside.mean():.0%} of the history lies outside this range",
                path=config,
                key=f"channels.{name}.valid",
                expected=f"a range around {values.min():g} to {values.max():g}",
                got=f"{list(channel.valid)}",
                do="check the unit; outside is a fault of the sensor, and is not scored",
            )
