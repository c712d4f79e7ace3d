"""A tuning as a page in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainer.data import History
from trainer.pages.tuning import Point, TuningPage, render_tuning
from trainer.replay import writing
from trainer.tune import Choice, pareto_front
from trainer.tune_space import Space
from trainer.tune_study import Limits, Record
from trainer.tune_text import all_table, front_table

__all__ = ["write_tuning"]


def write_tuning(
    path: Path,
    trials: Sequence[Record],
    choice: Choice,
    space: Space,
    *,
    history: History,
    limits: Limits,
    title: str,
) -> None:
    """Quality against size, the front drawn and the default marked.

    Raises:
        OperatorError: The file cannot be written.
    """
    named = {} if choice.default is None else {"default": choice.default}
    named["chosen: the default" if choice.chosen is choice.default else "chosen"] = choice.chosen
    if choice.chosen is choice.default:
        del named["default"]
    page = TuningPage(
        title=title,
        summary=f"Trial {choice.chosen.number} of {len(trials)} is chosen, as {choice.reason}.",
        facts={
            "history": f"{history.rows} rows, {len(history.channels)} channels",
            "seed": str(space.base.seed),
            "most bytes": str(limits.max_bytes or "no limit"),
            "longest step": f"{limits.max_step_us:g} µs, measured here" if limits.max_step_us else "no limit",
        },
        trials=[_point(one) for one in trials if one.figures and not one.over],
        over=[_point(one) for one in trials if one.figures and one.over],
        front=[_point(one) for one in pareto_front(trials)],
        named={name: _point(one) for name, one in named.items()},
        best=front_table(trials, choice, space),
        every=all_table(trials, choice, space),
        notes=[f"trial {one.number} failed: {one.reason}" for one in trials if one.figures is None],
    )
    with writing(path):
        path.write_text(render_tuning(page), encoding="utf-8")


def _point(one: Record) -> Point:
    return Point(one.figures.model_bytes, one.figures.found) if one.figures else Point(0.0, 0.0)
