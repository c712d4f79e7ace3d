"""The block of the page: what was measured, against what was to be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmark.detection.digest import VERSIONS
from tests.benchmark.detection.work import machine
from tests.benchmark.int8.kernels import Kernels
from tests.benchmark.int8.work import LONG_STEPS, Measured
from tests.benchmark.sections import put
from trainer.describe import markdown_table

__all__ = ["write"]

DEFAULT = "lstm"
_WORDS = """\
## int8 against float

Written by `make bench-int8`. Every kind of cell is trained with the default settings on each machine
and held, as int8 and as float, against recordings that were not learned: labelled ones of SKAB (one
model, 34 recordings), SMD and ASD, and {steps:,} steps of a simulated pump with faults, the state
carried on throughout. The score is that of the default members; "network" is the score of the
network's heads alone. [How it is done](explain-quantization.md).

- Date: {date}
- Machine: {machine}
- Versions: {versions}
"""


def write(page: Path, results: Sequence[Measured], kernels: Kernels) -> None:
    """Write the block.

    Args:
        page: The page.
        results: Trainings of every cell on every machine.
        kernels: What was measured on one bundle.
    """
    text = _WORDS.format(
        steps=LONG_STEPS,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        versions=", ".join(f"{name} {version}" for name, version in VERSIONS.items()),
    )
    parts = [text, "### Targets\n", markdown_table(_targets(results, kernels))]
    parts += ["\n### Every cell on every machine\n", markdown_table(_table(results)), _notes(results)]
    parts += ["\n### Kernels and speed\n", markdown_table([["what", "measured"], *kernels.rows])]
    put(page, "int8", "\n".join(parts))


def _targets(results: Sequence[Measured], kernels: Kernels) -> list[list[str]]:
    ours = [one for one in results if one.cell == DEFAULT]
    each = [(one, said) for one in ours for said in one.recordings]
    by_set = {name: [said for one, said in each if one.set == name] for name in {one.set for one, _ in each}}
    rank = min(_pooled(said, "rank_correlation") for said in by_set.values())
    changed = max(_pooled(said, "changed_verdicts") for said in by_set.values())
    lost = {name: np.mean([_lost(one) for one in said]) for name, said in by_set.items()}
    growth = max(said["error_growth"] for one, said in each if one.set == "simulated")
    speed, other = kernels.speed, kernels.compared
    rows = [
        ("Spearman of int8 and float scores, worst set", "≥ 0.995", f"{rank:.4f}", rank >= 0.995),
        ("changed verdicts, worst set", "≤ 0.1 %", f"{changed:.3%}", changed <= 0.001),
        (
            "VUS-PR lost, mean of the sets",
            "≤ 0.003",
            f"{np.mean(list(lost.values())):.4f}",
            bool(np.mean(list(lost.values())) <= 0.003),
        ),
        (
            "VUS-PR lost, worst set",
            "≤ 0.01",
            f"{max(lost.values()):.4f}",
            bool(max(lost.values()) <= 0.01),
        ),
        (
            f"error at step {LONG_STEPS:,} over that at the start",
            "≤ 1.05",
            f"{growth:.3f}",
            growth <= 1.05,
        ),
        (
            "around the invoke, single stream, over the invoke",
            "≤ 2",
            f"{speed['around']:.2f}",
            speed["around"] <= 2,
        ),
        (
            "batch of 256, a stream, over a bare batched invoke",
            "≤ 1.3",
            f"{speed['batch_to_batch']:.2f}",
            speed["batch_to_batch"] <= 1.3,
        ),
    ]
    rows.append(
        (
            f"reference kernel beside LiteRT: changed verdicts over {other.readings:,} readings",
            "≤ 0.01 %",
            f"{other.changed / other.readings:.3%}",
            other.changed <= 1e-4 * other.readings,
        )
    )
    head = ["what", "target", "measured", ""]
    return [head, *([what, target, got, "reached" if ok else "missed"] for what, target, got, ok in rows)]


def _pooled(said: Sequence[Mapping[str, Any]], figure: str) -> float:
    """The mean over recordings, by their lengths."""
    return float(np.average([one[figure] for one in said], weights=[one["steps"] for one in said]))


def _lost(said: Mapping[str, Any]) -> float:
    return said["vus_pr"]["float"] - said["vus_pr"]["int8"] if said["vus_pr"] else 0.0


def _table(results: Sequence[Measured]) -> list[list[str]]:
    head = [
        "cell",
        "machine",
        "rank correlation",
        "network",
        "changed verdicts",
        "episodes int8, float",
        "VUS-PR int8, float",
        "at the rail",
        "tuned",
    ]
    return [head, *(_row(one) for one in sorted(results, key=lambda one: (one.cell, one.set, one.case)))]


def _row(one: Measured) -> list[str]:
    said = one.recordings
    episodes = [sum(each["episodes"][name] for each in said) for name in ("int8", "float")]
    areas = [each["vus_pr"] for each in said if each["vus_pr"]]
    vus = [f"{np.mean([area[name] for area in areas]):.4f}" for name in ("int8", "float")] if areas else ["-"]
    stuck = max(value for each in said for value in each["saturated"].values())
    return [
        one.cell,
        f"{one.set} {one.case}",
        f"{_pooled(said, 'rank_correlation'):.4f}",
        f"{_pooled(said, 'network_rank_correlation'):.4f}",
        f"{_pooled(said, 'changed_verdicts'):.3%}",
        ", ".join(map(str, episodes)),
        ", ".join(vus),
        f"{stuck:.2%}",
        "refused" if one.refused else "yes" if one.tuned else "",
    ]


def _notes(results: Sequence[Measured]) -> str:
    refused = [f"- {one.cell} on {one.set} {one.case}: {one.refused}" for one in results if one.refused]
    tuned = sum(one.tuned for one in results)
    text = (
        f'\nMeans over recordings, by their lengths. "At the rail" is the largest share of a state that '
        f"stands at an end of its range where float goes on. Quantization-aware training was needed for "
        f"{tuned} of {len(results)}; the gate refused {len(refused)}."
    )
    return "\n".join([text, *refused])
