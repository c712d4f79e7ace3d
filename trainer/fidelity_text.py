"""How near int8 is to float, in words and for the report."""

from __future__ import annotations

from edge_lstm.contracts.manifest import Manifest
from trainer.fidelity import Fidelity
from trainer.pages.records import Parity

__all__ = ["fidelity_lines", "parity"]

FARTHEST = 12
"""Channels that the report shows; the manifest has all."""


def fidelity_lines(manifest: Manifest) -> list[str]:
    """For the terminal and the card; nothing for a bundle without a network."""
    said = manifest.fidelity
    if not said:
        return []
    episodes = said["episodes"]
    tuned = manifest.training.get("int8_tuning")
    after = f", after {tuned['updates']} updates of quantization-aware training" if tuned else ""
    return [
        (
            f"int8 against float over {said['steps']:,} steps: score correlation {said['correlation']:.4f}, "
            f"rank correlation {said['rank_correlation']:.4f} "
            f"(network alone {said['network_rank_correlation']:.4f}), "
            f"{said['changed_verdicts']:.3%} of the verdicts changed, "
            f"episodes {episodes['int8']} and {episodes['float']}{after}"
        )
    ]


def parity(fidelity: Fidelity) -> Parity:
    """For the report's page."""
    said = fidelity.figures
    figures = {
        "distinct rows": said["rows"],
        "steps": said["steps"],
        "correlation of the scores": said["correlation"],
        "rank correlation": said["rank_correlation"],
        "rank correlation, network alone": said["network_rank_correlation"],
        "share of the verdicts changed, %": 100 * said["changed_verdicts"],
        "episodes, int8": said["episodes"]["int8"],
        "episodes, float": said["episodes"]["float"],
        "error at the end over error at the start": said["error_growth"],
        "a state at the end of its range where float goes on, %": 100
        * max(said["saturated"].values(), default=0.0),
    }
    for title, key in (("injected faults", "vus_pr"), ("labels", "labelled_vus_pr")):
        if said[key]:
            figures |= {f"VUS-PR on {title}, {name}": said[key][name] for name in ("int8", "float")}
    return Parity(
        figures=figures,
        float_score=fidelity.real,
        int8_score=fidelity.int8,
        step=fidelity.step,
        error=fidelity.error,
        by_channel=dict(sorted(said["error_by_channel"].items(), key=lambda one: -one[1])[:FARTHEST]),
    )
