"""Blocked cross-validation of a whole training: train without a block, judge by it, take turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_lstm.contracts.manifest import MEMBER, Manifest, Member
from edge_lstm.times import format_time
from trainer.build import Built, build, run
from trainer.candidates import Field
from trainer.contest import Contest
from trainer.data import History
from trainer.folds import Fold, cut_folds, spread
from trainer.held_contest import CONTEST_LEAD, costs_of, hold_contest
from trainer.metrics import channel_errors
from trainer.network import with_network
from trainer.prepare import Prepared, rule_of
from trainer.progress import Watcher, Within
from trainer.settings import TrainSettings
from trainer.split import Part, judging

__all__ = ["GAP", "cross_validate"]

GAP = CONTEST_LEAD
"""Rows around a block that are not learned: as many as bring a state up for the contest."""
_FIGURES = ("found", "auc", "false_alarms", "rmse", "r2")


def cross_validate(
    history: History, settings: TrainSettings, *, folds: int, watcher: Watcher
) -> dict[str, Any]:
    """Train and judge once a block.

    Each time the whole of `trainer.build.build` runs on the other blocks: scaling, training,
    int8, calibration. The block is judged by the members that would be shipped.

    Args:
        history: All of it.
        settings: How to train; the folds do not change them.
        folds: Blocks.
        watcher: Told how far it is.

    Returns:
        Plain data for ``manifest.metrics["folds"]``: ``folds``, ``gap_rows``, ``each`` (a
        mapping a fold), ``figures`` (`Spread` of each figure) and ``errors`` (`Spread` of RMSE
        and R2 a channel, channel units).

    Raises:
        HistoryError: The history does not suffice for so many folds.
        ConversionError: A model did not become whole int8.
    """
    watcher.stage(f"{folds} folds")
    each: list[dict[str, Any]] = []
    for number, fold in enumerate(cut_folds(history, folds, gap=GAP), 1):
        inner = Within(watcher, len(each) / folds, f"fold {number} of {folds}")
        built = build(fold.learned, settings, name="fold", watcher=inner)
        each.append(_judge(fold, built, settings, inner))
        watcher.say(_line(number, folds, each[-1]))
    errors = {
        channel: {key: spread([one["errors"][channel][key] for one in each]) for key in ("rmse", "r2")}
        for channel in each[0]["errors"]
    }
    figures = {key: spread([one[key] for one in each]) for key in _FIGURES}
    return {"folds": folds, "gap_rows": GAP, "each": each, "figures": figures, "errors": errors}


def _judge(fold: Fold, built: Built, settings: TrainSettings, watcher: Watcher) -> dict[str, Any]:
    watcher.stage("judge the block")
    manifest = with_network(built)
    centre, rule = np.asarray(manifest.scaling.centre), rule_of(settings, fold.learned.channels)
    parts = [judging(one.segment, centre, lead=one.lead, rule=rule) for one in fold.judged]
    members: list[Member] = list(dict.fromkeys(MEMBER[head.kind] for head in manifest.scoring.heads))
    contest = _contest(built, manifest, parts, members, settings)
    shipped = contest.results["+".join(members)]
    traces = run(manifest, built.converted, built.weights, parts, watcher)
    errors = channel_errors(manifest, traces, fold.learned.channels)["held_out"]
    scales = dict(zip(fold.learned.channels, manifest.scaling.scale, strict=True))
    start, end = fold.span
    scaled = [one["rmse"] / scales[name] for name, one in errors.items() if one["rmse"] is not None]
    known = [one["r2"] for one in errors.values() if one["r2"] is not None]
    return {
        "start": format_time(start),
        "end": format_time(end),
        "rows": fold.rows,
        "found": shipped.found,
        "auc": shipped.auc,
        "false_alarms": shipped.false_alarms,
        "rmse": float(np.mean(scaled)) if scaled else None,
        "r2": float(np.median(known)) if known else None,
        "errors": errors,
    }


def _contest(
    built: Built,
    manifest: Manifest,
    parts: list[Part],
    members: Sequence[Member],
    settings: TrainSettings,
) -> Contest:
    field = Field(manifest, built.converted.content, built.weights)
    costs = costs_of(manifest, built.fitted.model, built.weights)
    prepared = Prepared(parts, manifest.scaling, manifest.assets)
    return hold_contest(
        field, {member: costs[member] for member in members}, prepared, settings, shipped=members
    )


def _line(number: int, folds: int, one: dict[str, Any]) -> str:
    found = "-" if one["found"] is None else f"{100 * one['found']:.1f} %"
    return f"fold {number} of {folds}: found {found}, {one['start']} to {one['end']}"
