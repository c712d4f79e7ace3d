"""Folds as a table: terminal, card and report say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["folds_lead", "folds_lines", "folds_table"]

_ROWS = {
    "found": ("faults found, %", 100.0, ".1f"),
    "auc": ("AUC", 1.0, ".3f"),
    "false_alarms": ("false alarms in 1,000", 1.0, ".2f"),
    "rmse": ("RMSE in spreads, mean channel", 1.0, ".3f"),
    "r2": ("R2, median channel", 1.0, ".3f"),
}
_WIDEST = 8


def folds_table(folds: Mapping[str, Any]) -> list[list[str]]:
    """A row a figure: each block (if they fit on a line), mean and spread; the heading first.

    Args:
        folds: ``manifest.metrics["folds"]``.
    """
    each: list[Mapping[str, Any]] = folds["each"] if folds["folds"] <= _WIDEST else []
    head = ["on a held-out block", *(f"block {i}" for i in range(1, len(each) + 1)), "mean", "spread"]
    return [head, *(_row(folds["figures"], each, key) for key in _ROWS)]


def _row(figures: Mapping[str, Any], each: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    title, factor, form = _ROWS[key]
    values = [*(one[key] for one in each), figures[key]["mean"], figures[key]["spread"]]
    return [title, *("-" if value is None else f"{factor * value:{form}}" for value in values)]


def folds_lead(folds: Mapping[str, Any]) -> str:
    """What was done."""
    return (
        f"The history was cut into {folds['folds']} blocks in time; {folds['folds']} times all but one were "
        f"learned ({folds['gap_rows']} rows around the block left out), and the block judged. The bundle "
        "itself is trained on all of the history. Spread is the standard deviation over the blocks."
    )


def folds_lines(folds: Mapping[str, Any]) -> list[str]:
    """What the terminal says."""
    table = folds_table(folds)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    rows = [
        f"  {row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))
        for row in table
    ]
    return [f"folds: {folds_lead(folds)}", *rows]
