"""What the model's settings must be beyond their types: values and combinations that mean something."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.settings import ModelSettings

__all__ = ["problems"]


def problems(model: ModelSettings) -> Iterator[tuple[str, str, str]]:
    """(key, expected, got) of everything that is wrong; nothing for the defaults.

    A setting that the chosen mode has no use for is wrong too: it would be left out
    without a word.
    """
    if model.attention and not 2 <= model.attention <= 64:
        yield "model.attention", "0 (none) or 2 to 64", str(model.attention)
    lags = list(model.lags)
    if not lags or lags[0] != 0 or lags != sorted(set(lags)) or lags[-1] >= model.steps:
        yield "model.lags", f"0 first, then ascending, all below model.steps ({model.steps})", str(lags)
    elif model.mode == "forecast" and lags != [0]:
        yield "model.lags", "[0]: with model.mode forecast there is no bottleneck", str(lags)
    if model.mode == "forecast" and model.code is not None:
        yield "model.code", "null: with model.mode forecast there is no bottleneck", str(model.code)
    if model.mode == "reconstruction" and model.linear:
        yield "model.linear", "false: with model.mode reconstruction there is no forecast", "true"
