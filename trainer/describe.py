"""A training in words and pictures: model card, report page, lines for the terminal."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_lstm.contracts.manifest import MEMBER, Manifest
from trainer.build import Built
from trainer.calibrate import MONTH_S, PROOF, counted_rows, normal_scores
from trainer.contest_words import contest_lines, contest_page, contest_table
from trainer.fidelity_text import fidelity_lines, parity
from trainer.folds_text import folds_lead, folds_lines, folds_table
from trainer.profile import Profile
from trainer.report import (
    Calibration,
    ChannelFit,
    Fit,
    Folds,
    HeldOut,
    LossCurve,
    RateCurve,
    TrainingReport,
    render_training,
)

__all__ = ["card", "doubts", "error_table", "limits", "markdown_table", "report", "summary"]


_FAR_OFF = 5.0
_POOR_R2 = 0.1


def limits(manifest: Manifest) -> list[str]:
    """What the model cannot do, a sentence each."""
    threshold, grid = manifest.threshold, manifest.grid
    said = [
        (
            "It knows the machine as the history showed it: an operating point that is not in the history "
            "will look like a fault."
        ),
        (
            f"It expects a reading about every {grid.period_s:g} s; after {grid.gap_after_s:g} s of silence "
            f"it starts anew and says nothing for {grid.warm_up} readings."
        ),
    ]
    if threshold.extrapolated:
        rows = int(manifest.training["rows"])
        need_days = 30 * PROOF / threshold.budget_per_month
        said.append(
            f"The alarm budget of {threshold.budget_per_month:g} a month could not be counted on the "
            f"{rows * grid.period_s / 86400:.2g} days of history "
            f"({need_days:.3g} days would be needed): the level is seven deviations above the mean score, "
            f"at which {_count(threshold.expected_per_month)} a month are to be expected."
        )
    return said


def card(manifest: Manifest) -> str:
    """``card.md``: data, channels, period, figures, limits, intended use."""
    training, metrics, threshold = manifest.training, manifest.metrics, manifest.threshold
    channels = "\n".join(
        f"| {_plain(c.name)} | {c.role} | {_plain(c.unit) or '-'} | {centre:.6g} | {scale:.6g} |"
        for c, centre, scale in zip(
            manifest.channels, manifest.scaling.centre, manifest.scaling.scale, strict=True
        )
    )
    return f"""# {manifest.id} {manifest.version}

## Intended use
Tells when a machine stops behaving as it did in its history. Scores every reading of the channels
below, on the device, with an LSTM state carried from reading to reading. It is a hint for maintenance
and no safety function.

## Data
{training["rows"]} rows in {training["segments"]} unbroken stretches,
{training["start"]} to {training["end"]}, from {len(training["files"])} file(s).
Assets: {_plain(", ".join(manifest.assets)) or "not told apart"}.
{training["rows_learned"]} rows were learned, {training["rows_validation"]} stopped the training,
{training["rows_held_out"]} were held out. Period: {manifest.grid.period_s:g} s.
{"".join(f"{chr(10)}- {_plain(notice)}" for notice in training["notices"])}

## Channels
| channel | role | unit | centre | scale |
|---|---|---|---|---|
{channels}

## Figures
{metrics["parameters"]} parameters, {metrics["model_bytes"]} bytes of int8 model.
{chr(10).join(fidelity_lines(manifest))}
Threshold {threshold.level:.4g}; highest score on the history {metrics["highest_normal_score"]:.4g};
expected false alarms a month {_count(threshold.expected_per_month)} (budget {threshold.budget_per_month:g}).

{markdown_table(error_table(metrics["errors"]))}

## Contest
{markdown_table(contest_table(metrics["contest"]))}

{chr(10).join(metrics["contest"]["verdict"]["sentences"])}

{_folds_section(metrics)}## Limits
{chr(10).join(f"- {_plain(sentence)}" for sentence in [*doubts(manifest), *limits(manifest)])}
"""


def _folds_section(metrics: Mapping[str, Any]) -> str:
    """The section on blocked cross-validation; nothing where there was none."""
    if "folds" not in metrics:
        return ""
    folds = metrics["folds"]
    return f"## Cross-validation\n{folds_lead(folds)}\n\n{markdown_table(folds_table(folds))}\n\n"


def _plain(text: str) -> str:
    """Names come from the history: in the card they are text on one line, never mark-up."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return html.escape(" ".join(printable.split()), quote=False).replace("|", "\\|")


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a table, the heading first; what is mark-up in a cell is shown as text."""
    head, *body = ["| " + " | ".join(map(_plain, row)) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def members_in(manifest: Manifest) -> list[str]:
    """The members that a bundle scores with, each once."""
    return list(dict.fromkeys(MEMBER[head.kind] for head in manifest.scoring.heads))


def error_table(errors: Mapping[str, Any]) -> list[list[str]]:
    """Errors of the int8 model's first head, a row a channel, the heading first."""
    names = ("mse", "rmse", "mae", "r2")
    parts = (("train", "train"), ("held_out", "held-out"))
    head = ["channel"] + [f"{title} {name.upper()}" for _, title in parts for name in names]
    rows = [
        [channel] + [_number(errors[part][channel][name]) for part, _ in parts for name in names]
        for channel in errors["train"]
    ]
    return [head, *rows]


def _count(a_month: float) -> str:
    """Alarms a month as people write them."""
    return f"{a_month:,.0f}" if a_month >= 10 else f"{a_month:.2g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def summary(manifest: Manifest) -> list[str]:
    """What the terminal says at the end."""
    table = error_table(manifest.metrics["errors"])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    kind = manifest.scoring.heads[0].kind
    lines = [f"{kind} error of the int8 model, channel units:"]
    lines += ["  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in table]
    metrics, threshold = manifest.metrics, manifest.threshold
    lines += fidelity_lines(manifest)
    lines.append(
        f"threshold {threshold.level:.4g} for a budget of {threshold.budget_per_month:g} false alarms "
        f"a month (expected {_count(threshold.expected_per_month)})"
    )
    lines += contest_lines(metrics["contest"])
    lines.append(f"members in the bundle: {', '.join(members_in(manifest))}")
    lines += folds_lines(metrics["folds"]) if "folds" in metrics else []
    lines += [f"note: {sentence}" for sentence in limits(manifest)[2:]]
    return lines + [f"WARNING: {sentence}" for sentence in doubts(manifest)]


def doubts(manifest: Manifest) -> list[str]:
    """Why not to trust the model yet, a sentence each; none when there is no reason."""
    threshold, errors = manifest.threshold, manifest.metrics["errors"]["held_out"]
    said = []
    if threshold.expected_per_month > _FAR_OFF * threshold.budget_per_month:
        days = 30 * PROOF / threshold.budget_per_month
        said.append(
            f"expect {threshold.expected_per_month:.0f} false alarms a month where "
            f"{threshold.budget_per_month:g} were asked for; give a longer history "
            f"({days:.3g} days prove the budget), or state a budget that the history can bear"
        )
    poor = [name for name, figures in errors.items() if figures["r2"] is None or figures["r2"] < _POOR_R2]
    if len(poor) > len(errors) / 2:
        said.append(
            f"on later history {len(poor)} of {len(errors)} channels are told hardly better than by their "
            f"mean ({', '.join(poor[:5])}); the history may not show all that the machine does"
        )
    return said


def report(built: Built, profile: Profile) -> str:
    """``report.html``: the same facts with their pictures."""
    manifest = built.manifest
    warm_up = manifest.grid.warm_up
    int8 = normal_scores(manifest.scoring, built.traces, warm_up=warm_up)
    pooled, curve = np.concatenate(int8), built.fitted.curve
    usual = [one for one in built.traces if not one.part.odd]
    times = [one.part.time_ns[one.start :][counted_rows(one, warm_up)] for one in usual]
    starts = np.cumsum([0] + [len(rows) for rows in int8[:-1]])
    return render_training(
        TrainingReport(
            title=f"{manifest.id} {manifest.version}",
            facts=_facts(manifest),
            profile=profile.rows(),
            warnings=[*profile.warnings, *manifest.training["notices"]],
            loss=LossCurve(
                steps=[epoch.update for epoch in curve],
                train=[epoch.train_loss for epoch in curve],
                held_out=[epoch.validation_loss for epoch in curve],
                best=curve.index(built.fitted.best),
                step_name="update",
            ),
            fits=_fits(manifest),
            held_out=HeldOut(
                time_ns=np.concatenate(times),
                score=pooled,
                threshold=manifest.threshold.level,
                starts=starts.tolist(),
            ),
            parity=None if built.fidelity is None else parity(built.fidelity),
            calibration=_calibration(built, pooled),
            limits=[*doubts(manifest), *limits(manifest)],
            contest=contest_page(manifest.metrics["contest"]),
            folds=_folds(manifest.metrics),
        )
    )


def _folds(metrics: Mapping[str, Any]) -> Folds | None:
    folds = metrics.get("folds")
    return None if folds is None else Folds(folds_lead(folds), folds_table(folds))


def _facts(manifest: Manifest) -> dict[str, str]:
    training, metrics = manifest.training, manifest.metrics
    return {
        "history": f"{training['rows']} rows, {training['start']} to {training['end']}",
        "channels": str(len(manifest.channels)),
        "period": f"{manifest.grid.period_s:g} s",
        "model": f"{metrics['parameters']} parameters, {metrics['model_bytes']} bytes int8",
        "learned / validation / held out": f"{training['rows_learned']} / {training['rows_validation']} / "
        f"{training['rows_held_out']} rows",
        "seed": str(training["settings"]["seed"]),
    }


def _fits(manifest: Manifest) -> list[ChannelFit]:
    errors = manifest.metrics["errors"]

    def fit(part: str, channel: str) -> Fit:
        figures = {k: math.nan if v is None else v for k, v in errors[part][channel].items()}
        return Fit(**figures)

    return [
        ChannelFit(c.name, c.unit, fit("train", c.name), fit("held_out", c.name))
        for c in manifest.channels
        if c.role == "telemetry"
    ]


def _calibration(built: Built, pooled: np.ndarray[Any, Any]) -> Calibration:
    threshold, tail = built.manifest.threshold, built.tail
    level = np.linspace(tail.start, max(threshold.level, tail.highest) * 1.1, 50)
    readings_per_month = MONTH_S / built.manifest.grid.period_s
    per_month = np.array([tail.per_reading(x) for x in level]) * readings_per_month
    return Calibration(
        score=pooled,
        level=threshold.level,
        budget_per_month=threshold.budget_per_month,
        expected_per_month=threshold.expected_per_month,
        extrapolated=threshold.extrapolated,
        fitted=RateCurve(level, per_month),
    )
