"""The gate of every build: figures of fidelity against their limits, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    said = [
        _Limit(
            "least_rank_correlation", "rank correlation of the scores", figures["rank_correlation"], ".4f"
        ),
        _Limit(
            "most_changed_verdicts", "share of the verdicts that changed", figures["changed_verdicts"], ".2%"
        ),
        _Limit("most_vus_pr_lost", "VUS-PR lost", lost, ".4f"),
        _Limit(
            "most_saturated", "share of a state at the end of its range where float goes on", stuck, ".2%"
        ),
        _Limit("most_error_growth", "growth of the error over the replay", figures["error_growth"], ".3g"),
    ]
    return [text for one in said if (text := one.missed(getattr(limits, one.key)))]


@dataclass(frozen=True, slots=True)
class _Limit:
    """One figure beside the key of its limit, which says by its first word on which side it lies."""

    key: str
    what: str
    value: float
    form: str

    def missed(self, limit: float) -> str:
        """What to say; empty within the limit."""
        least = self.key.startswith("least")
        if not (self.value < limit if least else self.value > limit):
            return ""
        end, form = "at least" if least else "at most", self.form
        return f"{self.what} {self.value:{form}}, {end} {limit:{form}} (int8.{self.key}: {limit:g})"


def refuse(found: list[str], *, tuned: bool, attention: bool) -> None:
    """Raise when anything is beyond its limit.

    Args:
        found: Of `failures`.
        tuned: Whether quantization-aware training was tried.
        attention: Whether the model has attention.

    Raises:
        FidelityError: With all of it, and what to try.
    """
    if not found:
        return
    after = " after tuning" if tuned else ""
    more = "" if tuned else "let it tune (int8.tuning_updates 300), "
    more += "leave model.attention out, " if attention else ""
    raise FidelityError(
        f"the int8 model does not give the verdicts of the float model{after}",
        expected="every figure of fidelity within the limits of the section int8",
        got="; ".join(found),
        do=f"{more}give more history, try another --seed or a smaller network (--units 8), or leave the "
        f"network out (--members var); to accept it, raise the limit in train.yaml",
    )
