"""The contest as a table and sentences, from the manifest: terminal, card and report say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.inject import KINDS
from trainer.pages.contested import Contested, Curve
from trainer.verdict import label, percent

__all__ = ["contest_lead", "contest_lines", "contest_page", "contest_table"]

_ON_LABELS = (
    "VUS-PR and AUC-PR are on the labelled stretches: they do not change the verdict, and they flatter, "
    "since most normal rows of these stretches were learned."
)
_HEADS = {
    "spike": "spike",
    "level_shift": "shift",
    "slow_drift": "drift",
    "noise_burst": "noise",
    "stuck_value": "stuck",
    "lost_correlation": "corr.",
    "changed_period": "period",
}


def contest_table(contest: Mapping[str, Any]) -> list[list[str]]:
    """A row a candidate, most faults found first; the heading first of all.

    Args:
        contest: ``manifest.metrics["contest"]``.
    """
    results: Mapping[str, Mapping[str, Any]] = contest["results"]
    ranked = sorted(results, key=lambda name: -(results[name]["found"] or 0.0))
    kinds = [kind for kind in KINDS if kind in contest["faults"]]
    metrics = list(dict.fromkeys(metric for one in results.values() for metric in one["labelled"]))
    head = [
        "candidate",
        "found",
        "95 %",
        *(_HEADS[kind] for kind in kinds),
        "delay",
        "false/1000",
        "AUC",
        "cost",
    ]
    return [[*head, *metrics], *(_row(name, results[name], kinds, metrics) for name in ranked)]


def _row(name: str, one: Mapping[str, Any], kinds: Sequence[str], metrics: Sequence[str]) -> list[str]:
    span = "-" if one["low"] is None else f"{100 * one['low']:.0f}..{100 * one['high']:.0f}"
    return [
        name,
        _percent(one["found"]),
        span,
        *(_percent(one["by_kind"].get(kind)) for kind in kinds),
        _number(one["delay"], "g"),
        _number(one["false_alarms"], ".2f"),
        _number(one["auc"], ".3f"),
        f"{one['cost']:.0f}",
        *(_number(one["labelled"].get(metric), ".3f") for metric in metrics),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else percent(share)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def contest_lead(contest: Mapping[str, Any]) -> str:
    """What was done, in two sentences."""
    faults, left_out = sum(contest["faults"].values()), sum(contest["left_out"].values())
    missed = f" {left_out} more would have changed nothing and were left out." if left_out else ""
    return (
        f"{faults} faults were injected into {contest['normal_runs']} runs of held-out normal data; each had "
        f"to be found within {contest['horizon']} readings, every candidate at the same alarm budget.{missed}"
    )


def contest_lines(contest: Mapping[str, Any]) -> list[str]:
    """What the terminal says: the table, then the verdict."""
    table = contest_table(contest)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    rows = ["  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in table]
    said = [f"contest: {contest_lead(contest)}", *rows, *contest["verdict"]["sentences"]]
    return [*said, _ON_LABELS] if any(one["labelled"] for one in contest["results"].values()) else said


def contest_page(contest: Mapping[str, Any], *, reference: str = "lstm") -> Contested:
    """The contest for the report: the curves are the reference and the best of the others."""
    results: Mapping[str, Mapping[str, Any]] = contest["results"]
    others = sorted(
        (name for name in results if name != reference), key=lambda name: -(results[name]["found"] or 0.0)
    )
    drawn = [name for name in (reference, *others[:1]) if results[name]["by_strength"]]
    curves = [
        Curve(
            label(name).removeprefix("the "),
            [float(strength) for strength in results[name]["by_strength"]],
            list(results[name]["by_strength"].values()),
        )
        for name in drawn
    ]
    table = contest_table(contest)
    return Contested(
        sentences=contest["verdict"]["sentences"],
        lead=contest_lead(contest),
        head=table[0],
        rows=table[1:],
        shares=[results[row[0]]["found"] or 0.0 for row in table[1:]],
        curves=curves,
    )
