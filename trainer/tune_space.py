"""What a tuning searches: a few settings of the network and of the score, around those of a train.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec

from edge_lstm.contracts.manifest import Member
from trainer.settings import ModelSettings, TrainSettings

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["Dimension", "Params", "Space", "Value"]

Value = str | int | float
Params = Mapping[str, Value]
"""Dotted key of ``train.yaml`` to value; lags as text (``0,1,2``), as Optuna keeps no lists."""

_LAGS = ("0", "0,1,2,4", "0,1,2,4,8,16")
_UNITS, _LAYERS, _RATES, _ALPHAS = (4, 64), (1, 3), (5e-4, 2e-2), (0.01, 1.0)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One setting that is searched, on a logarithmic scale unless it is a choice.

    Attributes:
        key: Dotted key in ``train.yaml``.
        default: The value that is there now; always within the range.
        choices: Values of a choice; empty for a number.
        low: Least number.
        high: Greatest number.
    """

    key: str
    default: Value
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0

    def suggest(self, trial: BaseTrial) -> Value:
        """The value that Optuna proposes; of a fraction three digits, so that people can read it."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        if isinstance(self.default, int):
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=True)
        return trial.suggest_float(self.key, self.low, self.high, log=True)


class Space:
    """All settings that are searched; what the mode and the members have no use for is not.

    Args:
        base: Settings that the search begins with and goes around.
        channels: Channels of the history.
    """

    def __init__(self, base: TrainSettings, channels: int) -> None:
        self.base = base
        self.dimensions = (*_of_model(base.model, channels), *_of_score(base))
        self.default: dict[str, Value] = {one.key: one.default for one in self.dimensions}

    def suggest(self, trial: BaseTrial) -> dict[str, Value]:
        """What a trial should try."""
        return {one.key: one.suggest(trial) for one in self.dimensions}

    def settings(self, params: Params) -> TrainSettings:
        """The base with these values; with the defaults it is the base itself."""
        if params == self.default:
            return self.base
        over: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            section, name = key.split(".")
            over.setdefault(section, {})[name] = _plain(name, value)
        replaced = {
            section: msgspec.structs.replace(getattr(self.base, section), **values)
            for section, values in over.items()
        }
        return msgspec.structs.replace(self.base, **replaced)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data, to tell one search from another."""
        plain: list[dict[str, Any]] = msgspec.to_builtins(self.dimensions)
        return plain


def _plain(name: str, value: Value) -> Any:
    if name == "lags":
        return tuple(int(lag) for lag in str(value).split(","))
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _number(key: str, default: float, span: tuple[float, float]) -> Dimension:
    """A range, made wide enough for what is there now."""
    return Dimension(key, default, low=min(span[0], default), high=max(span[1], default))


def _choice(key: str, default: str, choices: tuple[str, ...]) -> Dimension:
    return Dimension(key, default, choices=tuple(dict.fromkeys((*choices, default))))


def _of_model(model: ModelSettings, channels: int) -> Iterator[Dimension]:
    yield _choice("model.cell", model.cell, get_args(get_type_hints(ModelSettings)["cell"]))
    yield _number("model.units", model.units, _UNITS)
    yield _number("model.layers", model.layers, _LAYERS)
    if model.mode != "forecast":
        code = model.code or max(2, channels // 3)
        yield _number("model.code", code, (1, max(2, channels)))
        fit = tuple(lags for lags in _LAGS if int(lags.rsplit(",", maxsplit=1)[-1]) < model.steps)
        yield _choice("model.lags", ",".join(map(str, model.lags)), fit)
    yield _number("model.learning_rate", model.learning_rate, _RATES)


def _of_score(base: TrainSettings) -> Iterator[Dimension]:
    members: tuple[Member, ...] = ("lstm", "var") if base.members == "auto" else base.members
    wanted = {
        "reconstruction_alpha": base.model.mode != "forecast",
        "forecast_alpha": base.model.mode != "reconstruction",
        "level_pre_alpha": "ewma" in members,
        "level_alpha": "ewma" in members,
        "pca_alpha": "pca" in members,
        "var_alpha": "var" in members,
    }
    for name, used in wanted.items():
        if used:
            yield _number(f"score.{name}", getattr(base.score, name), _ALPHAS)
