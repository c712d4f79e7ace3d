"""A tuning in words: a line a trial, the table at the end, and the train.yaml it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from trainer.data import History
from trainer.settings import TrainSettings
from trainer.tune import Choice, pareto_front
from trainer.tune_space import Space, Value
from trainer.tune_study import Figures, Limits, Record

__all__ = [
    "all_table",
    "changes",
    "front_table",
    "span",
    "step_ratio",
    "trial_line",
    "tune_lines",
    "tuned_yaml",
]

_HEAD = (
    "trial",
    "found",
    "95 %",
    "AUC",
    "false/month",
    "bytes",
    "step µs",
    "x default",
    "settings that differ",
)


def trial_line(trials: Sequence[Record], planned: int) -> str:
    """What the last of these trials came to, and the best so far."""
    last, default = trials[-1], trials[0]
    head = f"trial {last.number:>{len(str(planned))}} of {planned}: "
    best = _best(trials)
    so_far = (
        f"; best so far {_percent(best.figures.found)} (trial {best.number})" if best and best.figures else ""
    )
    if last.figures is None:
        return f"{head}failed: {last.reason}{so_far}"
    figures = last.figures
    over = f" OVER {' and '.join(last.over)}" if last.over else ""
    return (
        f"{head}found {_percent(figures.found)}, AUC {figures.auc:.3f}, "
        f"{figures.alarms:.3g} false alarms a month, {figures.model_bytes} bytes, "
        f"step {figures.step_us:.1f} µs ({step_ratio(figures, default.figures)} x default){over}{so_far}"
    )


def _best(trials: Sequence[Record]) -> Record | None:
    kept = [(one.figures.found, -one.number, one) for one in trials if one.figures and not one.over]
    return max(kept, key=lambda three: three[:2])[2] if kept else None


def step_ratio(figures: Figures, default: Figures | None) -> str:
    """How much longer a step takes than the default's, freed from the machine's slow spells."""
    if default is None:
        return "-"
    own, first = figures.step_us / figures.reference_us, default.step_us / default.reference_us
    return f"{own / first:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def span(figures: Figures) -> str:
    """The 95 % interval of the share found."""
    return f"{100 * figures.low:.0f}..{100 * figures.high:.0f}"


def changes(params: Mapping[str, Value], default: Mapping[str, Value]) -> str:
    """The settings that differ from the default, as people write them."""
    differ = {key: value for key, value in params.items() if value != default.get(key)}
    said = [f"{key.split('.')[1]} {_value(value)}" for key, value in differ.items()]
    return ", ".join(said) or "none: the default"


def _value(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(",", " ")


def front_table(trials: Sequence[Record], choice: Choice, space: Space) -> list[list[str]]:
    """The heading and a row for each trial of the Pareto front, the chosen one and the default."""
    front = pareto_front(trials)
    extra = [one for one in (choice.chosen, choice.default) if one and one not in front]
    rows = sorted({one.number: one for one in (*front, *extra)}.values(), key=_size)
    first = choice.default.figures if choice.default else None
    return [list(_HEAD), *(_row(one, first, space, _mark(one, choice)) for one in rows if one.figures)]


def all_table(trials: Sequence[Record], choice: Choice, space: Space) -> list[list[str]]:
    """The heading and a row for every trial, in order."""
    first = choice.default.figures if choice.default else None
    return [list(_HEAD), *(_row(one, first, space, _mark(one, choice)) for one in trials)]


def _size(one: Record) -> int:
    return one.figures.model_bytes if one.figures else 0


def _mark(one: Record, choice: Choice) -> str:
    return f"{one.number}{'*' if one is choice.chosen else ''}"


def _row(one: Record, default: Figures | None, space: Space, name: str) -> list[str]:
    figures = one.figures
    if figures is None:
        return [name, *["-"] * (len(_HEAD) - 2), one.reason]
    return [
        name,
        _percent(figures.found),
        span(figures),
        f"{figures.auc:.3f}",
        f"{figures.alarms:.3g}",
        str(figures.model_bytes),
        f"{figures.step_us:.1f}",
        step_ratio(figures, default),
        changes(one.params, space.default),
    ]


def tune_lines(trials: Sequence[Record], choice: Choice, space: Space) -> list[str]:
    """What the terminal says at the end: the front, then the choice."""
    table = front_table(trials, choice, space)
    widths = [max(len(row[i]) for row in table) for i in range(len(_HEAD) - 1)]
    lines = [
        "  ".join([*(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in table
    ]
    failed = [one for one in trials if one.figures is None]
    over = sum(1 for one in trials if one.over)
    notes = [f"note: {over} of {len(trials)} trials are over a limit"] if over else []
    notes += [f"note: trial {one.number} failed: {one.reason}" for one in failed]
    return [
        "the front, and the default (* is chosen; the step is measured on this machine):",
        *(f"  {one}" for one in lines),
        f"chosen: trial {choice.chosen.number}, as {choice.reason}",
        *notes,
    ]


def tuned_yaml(
    settings: TrainSettings, choice: Choice, trials: Sequence[Record], *, history: History, limits: Limits
) -> str:
    """A whole train.yaml with the chosen settings; its head says where they come from."""
    figures = choice.chosen.figures
    said = [
        "train.yaml written by edge-lstm tune:",
        (
            f"trial {choice.chosen.number} of {len(trials)} on {history.rows} rows of "
            f"{len(history.channels)} channels."
        ),
    ]
    if figures is not None:
        said.append(_sentence("It", figures))
    if (
        choice.default is not None
        and choice.default is not choice.chosen
        and choice.default.figures is not None
    ):
        said.append(_sentence("The default", choice.default.figures))
    said += [f"Chosen as {choice.reason}.", *_limit_lines(limits)]
    said += [
        "",
        "The figures are of faults injected into the held-out rows that the choice was made by, so they",
        "flatter a little: judge the bundle on another recording with edge-lstm evaluate.",
    ]
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    body = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    head = [line for lines in said for line in lines.split("\n")]
    return "\n".join([f"# {line}".rstrip() for line in head]) + "\n\n" + body


def _sentence(who: str, figures: Figures) -> str:
    return (
        f"{who} finds {_percent(figures.found)} (95 %: {span(figures)}) of the injected faults, "
        f"AUC {figures.auc:.3f},\n"
        f"with {figures.alarms:.3g} false alarms a month expected; {figures.model_bytes} bytes, "
        f"{figures.step_us:.1f} µs a step measured there."
    )


def _limit_lines(limits: Limits) -> list[str]:
    said = [f"--max-bytes {limits.max_bytes}"] if limits.max_bytes is not None else []
    said += [f"--max-step-us {limits.max_step_us:g}"] if limits.max_step_us is not None else []
    return [f"Limits: {', '.join(said)}."] if said else []
