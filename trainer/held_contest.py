"""The contest of a training: which rows, which candidates, which budget, and what follows for the bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import (
    Manifest,
    Member,
)
from edge_lstm.core.normalize import normalizers
from edge_lstm.core.when import scored_channels
from trainer.calibrate import (
    MONTH_S,
    fit_tail,
    level_of,
)
from trainer.candidates import Field, candidates
from trainer.contest import Contest, run_contest
from trainer.labelled import LabelledStretch, labelled_contest
from trainer.material import held_out_stretches
from trainer.model import Autoencoder
from trainer.normal_runs import cut_runs
from trainer.prepare import Prepared
from trainer.settings import TrainSettings

__all__ = ["CONTEST_LEAD", "chosen", "costs_of", "hold_contest", "together"]

Floats = NDArray[np.float64]

CONTEST_LEAD, CONTEST_HORIZON, CONTEST_RUNS = 100, 60, 200


def costs_of(manifest: Manifest, model: Autoencoder, weights: Mapping[str, Floats]) -> dict[Member, float]:
    """Multiplications a reading of each member, near enough to rank them."""
    return {
        "lstm": float(sum(w.size for w in model.weights())),
        "ewma": float(len(manifest.channels)),
        "pca": float(weights["pca_q"].size + weights["pca_t2"].size),
        "var": float(weights["var"].size),
    }


def hold_contest(
    field: Field,
    costs: Mapping[Member, float],
    prepared: Prepared,
    settings: TrainSettings,
    *,
    shipped: Sequence[Member] | None = None,
    labelled: Sequence[LabelledStretch] = (),
) -> Contest:
    """Every member alone and what would be shipped, on faults injected into held-out rows.

    Args:
        field: The members.
        costs: Of each member that takes part.
        prepared: Stretches with held-out rows, and the scaling.
        settings: Seed and alarm budget.
        shipped: The members that would be shipped; by default those of the settings.
        labelled: Stretches with known anomalies: figures on them stand beside the verdict.
    """
    stretches = held_out_stretches(prepared, lead=CONTEST_LEAD)
    normal = cut_runs(stretches, lead=CONTEST_LEAD, horizon=CONTEST_HORIZON, most=CONTEST_RUNS)
    scored = np.flatnonzero(scored_channels(field.channels)).astype(np.int64)
    wanted = settings.alarm.budget_per_month / (MONTH_S / field.period_s)
    taking_part = candidates(field, costs, shipped or together(settings))
    contest = run_contest(
        taking_part,
        replace(normal, scored=scored),
        level_of=lambda scores: level_of(fit_tail(scores), wanted),
        reference="lstm" if "lstm" in costs else next(iter(costs)),
        seed=settings.seed,
    )
    if not labelled:
        return contest
    default, named = normalizers(prepared.scaling, prepared.assets, clip=math.inf)
    return labelled_contest(contest, taking_part, labelled, default, named)


def together(settings: TrainSettings) -> Sequence[Member]:
    """The members that take part as an ensemble."""
    default: Sequence[Member] = ("lstm", "var")
    return default if settings.members == "auto" else settings.members


def chosen(contest: Contest, settings: TrainSettings) -> Sequence[Member]:
    """The members to ship: those of the settings, or what the contest names."""
    if settings.members != "auto" or contest.verdict.winner is None:
        return together(settings)
    named = contest.verdict.ship.split("+")
    return [member for member in get_args(Member) if member in named]
