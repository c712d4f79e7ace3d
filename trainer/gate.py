"""The gate of every build: figures of fidelity against their limits, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_lstm.errors import OperatorError
from trainer.settings import Int8Settings

__all__ = ["FidelityError", "failures", "refuse"]


class FidelityError(OperatorError):
    """An int8 model that does not give the verdicts of the float model."""


def failures(figures: Mapping[str, Any], limits: Int8Settings) -> list[str]:
    """What is beyond its limit, a phrase each.

    Args:
        figures: Of `trainer.fidelity.measure`.
        limits: What is allowed.
    """
    vus = [figures[name] for name in ("vus_pr", "labelled_vus_pr") if figures[name]]
    lost = max((one["float"] - one["int8"] for one in vus), default=0.0)
    stuck = max(figures["saturated"].values(), default=0.0)
    rank, changed = figures["rank_correlation"], figures["changed_verdicts"]
    growth = figures["error_growth"]
    beyond = {
        "least_rank_correlation": (
            rank < limits.least_rank_correlation,
            f"rank correlation of the scores {rank:.4f}",
        ),
        "most_changed_verdicts": (
            changed > limits.most_changed_verdicts,
            f"{changed:.2%} of the verdicts changed",
        ),
        "most_vus_pr_lost": (lost > limits.most_vus_pr_lost, f"VUS-PR {lost:.4f} lower"),
        "most_saturated": (
            stuck > limits.most_saturated,
            f"{stuck:.2%} of a state at the end of its range where float goes on",
        ),
        "most_error_growth": (
            growth > limits.most_error_growth,
            f"the error grew {growth:.3g} times over {figures['steps']} steps",
        ),
    }
    return [
        f"{text} (int8.{name} {getattr(limits, name):g})" for name, (is_so, text) in beyond.items() if is_so
    ]


def refuse(found: list[str], *, tuned: bool) -> None:
    """Raise when anything is beyond its limit.

    Raises:
        FidelityError: With all of it, and what to try.
    """
    if not found:
        return
    after = " after tuning" if tuned else ""
    more = "" if tuned else "let it tune (int8.tuning_updates 300), "
    raise FidelityError(
        f"the int8 model does not give the verdicts of the float model{after}",
        expected="every figure of fidelity within the limits of the section int8",
        got="; ".join(found),
        do=f"{more}give more history, make the network smaller (model.units, model.attention 0), or leave "
        f"it out (--members var); to accept it, raise the limit in train.yaml",
    )
