"""History made ready: channels with their roles, cut segments, scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import (
    AssetScaling,
    Channel,
)
from edge_lstm.core.normalize import normalizers
from edge_lstm.core.when import scored_channels
from edge_lstm.errors import ConfigError, HistoryError
from edge_lstm.rule import Rule
from trainer.data import History
from trainer.scale import CLIP, learn_scaling
from trainer.settings import ChannelSettings, TrainSettings
from trainer.split import Part, split

__all__ = ["CLIP", "Prepared", "channels_of", "normalized", "prepare", "rule_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """History ready for the model.

    Attributes:
        parts: Segments and where they are cut.
        scaling: Scaling of an asset that is not named.
        assets: Scaling of each named asset.
        notices: What the user should know.
    """

    parts: list[Part]
    scaling: AssetScaling
    assets: dict[str, AssetScaling]
    notices: tuple[str, ...] = ()


def prepare(history: History, settings: TrainSettings) -> Prepared:
    """Cut the history and learn the scaling from the learned part alone."""
    share = 1 - settings.validation - settings.held_out
    learned = [s.values[: max(1, round(len(s.values) * share))] for s in history.segments]
    scaling, odd = learn_scaling(learned, clip=CLIP)
    assets = {}
    for name in sorted({s.asset for s in history.segments if s.asset}):
        own = [i for i, s in enumerate(history.segments) if s.asset == name]
        assets[name], odd_here = learn_scaling([learned[i] for i in own], clip=CLIP)
        for i, is_odd in zip(own, odd_here, strict=True):
            odd[i] = is_odd
    parts = split(
        [(s.asset, s.time_ns, s.values, is_odd) for s, is_odd in zip(history.segments, odd, strict=True)],
        np.asarray(scaling.centre),
        validation=settings.validation,
        held_out=settings.held_out,
        rule=rule_of(settings, history.channels),
    )
    if not any((~part.paused[part.validation :]).any() for part in parts if not part.odd):
        raise HistoryError(
            "the rule alarm.score_when holds in no held-out row",
            expected="a rule that holds while the machine works",
            got=settings.alarm.score_when or "rows at an odd operating point only",
        )
    return Prepared(parts, scaling, assets, _odd_notices(history, odd))


def rule_of(settings: TrainSettings, channels: Sequence[str]) -> Rule | None:
    """The rule ``alarm.score_when``, if there is one.

    Raises:
        ConfigError: It is no rule about these channels.
    """
    if not settings.alarm.score_when:
        return None
    try:
        return Rule.parse(settings.alarm.score_when, channels)
    except ValueError as error:
        raise ConfigError(f"is no rule: {error}", key="alarm.score_when") from error


def channels_of(settings: TrainSettings, names: Sequence[str]) -> tuple[Channel, ...]:
    """The channels with all that is known of them.

    Raises:
        ConfigError: None of them is to be scored.
    """
    channels = []
    for name in names:
        facts = settings.channels.get(name, ChannelSettings())
        role: Literal["telemetry", "context"] = "context" if facts.role == "context" else "telemetry"
        channels.append(Channel(name, facts.unit, *facts.valid, role))
    if not scored_channels(channels).any():
        raise ConfigError(
            "there is nothing to score",
            key="channels",
            expected="at least one channel with the role telemetry",
            got="only context",
        )
    return tuple(channels)


def _odd_notices(history: History, odd: Sequence[bool]) -> tuple[str, ...]:
    names = [s.source for s, is_odd in zip(history.segments, odd, strict=True) if is_odd]
    if not names:
        return ()
    return (
        (
            f"{', '.join(names)}: recorded at another operating point than the rest; learned, but the "
            f"threshold is calibrated without it, and that operating point will look like a fault"
        ),
    )


def normalized(prepared: Prepared) -> list[NDArray[np.float32]]:
    """Every part in model units, (rows, channels)."""
    default, named = normalizers(prepared.scaling, prepared.assets, clip=CLIP)
    return [named.get(p.asset, default).forward(p.values).astype(np.float32) for p in prepared.parts]
