"""Does the int8 model give the verdicts of the float model? Measured at every build.

Held-out rows, and the same rows with injected faults, go through both models as one endless
stream, over and over, with the states carried on: verdicts change at a failing machine and
not at a sound one, and errors that build up show late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import MEMBER, Manifest, Tensor
from edge_lstm.core.quantize import dequantize
from edge_lstm.core.scoring import Scorer
from edge_lstm.core.stepper import Stepper, state_tensors
from edge_lstm.core.streams import StreamTable
from edge_lstm.core.when import scored_channels
from trainer.alarms import verdicts
from trainer.convert import Converted
from trainer.networks import backend_of, with_tensors_of
from trainer.vus import vus_pr

__all__ = ["Fidelity", "Labelled", "Material", "correlation", "follow", "measure", "ranks"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_POINTS = 100
"""Points of the curve of the error over the steps."""
_QUARTER = 4
_SETTLE = 1000
"""Steps after which the error is first looked at: a fresh state has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """One pass of the replay.

    Attributes:
        z: Model units, (rows, channels).
        faulty: Rows with an injected fault, (rows,).
    """

    z: Floats
    faulty: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A recording with labels, in model units: (rows, channels) and (rows,)."""

    z: Floats
    labels: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What a model made of a stream.

    Attributes:
        said: What the network's heads said, model units, (rows, heads, channels).
        states: Every state after every row, real numbers, each (rows, width).
        rails: Where a state stands at an end of its int8 range, each (rows, width).
        score: (rows,).
        network: The score of the network's heads alone, (rows,).
    """

    said: Floats
    states: list[Floats]
    rails: list[Bools]
    score: Floats
    network: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fidelity:
    """How well int8 follows float.

    Attributes:
        figures: For the manifest; see docs/explain-quantization.md.
        int8: Scores of the replay.
        real: Those of the float model.
        step: Steps at which the error was taken, (points,).
        error: Mean distance of the network's outputs up to each, model units, (points,).
    """

    figures: dict[str, Any]
    int8: Floats
    real: Floats
    step: Floats
    error: Floats


def measure(
    manifest: Manifest,
    int8: Converted,
    real: Converted,
    weights: Mapping[str, Floats],
    material: Material,
    *,
    steps: int,
    labelled: Sequence[Labelled] = (),
) -> Fidelity:
    """Replay material through both models and compare.

    Args:
        manifest: The finished manifest; its threshold decides for both.
        int8: The network as it is shipped.
        real: The network as it was trained.
        weights: Arrays of the linear members.
        material: One pass.
        steps: Least steps in all; the pass is repeated until they are done.
        labelled: Recordings with labels, each from a fresh state.
    """
    passes = -(-steps // len(material.z))
    z = np.tile(material.z, (passes, 1))
    ours, theirs = (follow(manifest, one, weights, z) for one in (int8, real))
    up, real_up = (
        verdicts(manifest.threshold, one.score, warm_up=manifest.grid.warm_up) for one in (ours, theirs)
    )
    distance = np.abs(ours.said - theirs.said)  # (rows, heads, channels)
    faulty = np.tile(material.faulty, passes)
    step, error = _curve(distance)
    figures = {
        "steps": len(z),
        "passes": passes,
        "rows": len(material.z),
        "rows_faulty": int(material.faulty.sum()),
        "correlation": correlation(ours.score, theirs.score),
        "rank_correlation": correlation(ranks(ours.score), ranks(theirs.score)),
        "network_rank_correlation": correlation(ranks(ours.network), ranks(theirs.network)),
        "changed_verdicts": float((up != real_up).mean()),
        "episodes": {"int8": _opened(up), "float": _opened(real_up)},
        "open": {"int8": float(up.mean()), "float": float(real_up.mean())},
        "vus_pr": _areas(faulty, ours.score, theirs.score),
        "labelled_vus_pr": _labelled(manifest, int8, real, weights, labelled),
        "saturated": {
            state.output: float((rail & (np.abs(b) > np.abs(a) + tensor.scale)).mean())
            for state, (_, tensor), rail, a, b in zip(
                manifest.states,
                state_tensors(with_tensors_of(manifest, int8)),
                ours.rails,
                ours.states,
                theirs.states,
                strict=True,
            )
        },
        "error_growth": _growth(distance, len(material.z)),
        "error_by_channel": _by_channel(manifest, distance),
    }
    return Fidelity(figures, ours.score, theirs.score, step, error)


def follow(manifest: Manifest, converted: Converted, weights: Mapping[str, Floats], z: Floats) -> Followed:
    """A stream through all members from a fresh state, the network in one of its forms.

    Args:
        manifest: Heads and their statistics.
        converted: The network.
        weights: Arrays of the linear members.
        z: Model units, clipped, (rows, channels).
    """
    manifest = with_tensors_of(manifest, converted)
    stepper = Stepper(manifest, backend_of(manifest, converted), weights)
    scorer = Scorer(manifest.scoring, scored_channels(manifest.channels))
    table = StreamTable(manifest)
    table.add("one")
    states, memory = table.states("one"), table.view("linear", "one")
    bias, smoothed, forecast = (table.view(name, "one") for name in ("bias", "smoothed", "forecast"))
    network = [i for i, head in enumerate(manifest.scoring.heads) if MEMBER[head.kind] == "lstm"]
    said, levels, kept = [], [], []
    for t, row in enumerate(z):
        one = stepper.step(row, states, memory)
        residual = row - scorer.expectation(one, row, forecast)
        scorer.update(bias, smoothed, residual, skip=scorer.silent(first=t == 0))
        said.append(one[network])
        levels.append(scorer.levels(smoothed))
        kept.append([state.copy() for state in states])
    tensors = [after for _, after in state_tensors(manifest)]
    arrays = [np.stack(one) for one in zip(*kept, strict=True)]
    parts = np.stack(levels)
    return Followed(
        np.stack(said),
        [dequantize(array, tensor) for array, tensor in zip(arrays, tensors, strict=True)],
        [_at_rail(array, tensor) for array, tensor in zip(arrays, tensors, strict=True)],
        parts.sum(axis=1),
        parts[:, network].sum(axis=1),
    )


def _at_rail(array: NDArray[Any], tensor: Tensor) -> Bools:
    if tensor.dtype != "int8":
        return np.zeros(array.shape, np.bool_)
    rails: Bools = (array == 127) | (array == -128)
    return rails


def _opened(up: Bools) -> int:
    return int(np.count_nonzero(np.diff(up.astype(np.int8), prepend=0) > 0))


def _areas(labels: Bools, int8: Floats, real: Floats) -> dict[str, float] | None:
    """VUS-PR of both; none where nothing is labelled."""
    if not labels.any():
        return None
    return {"int8": vus_pr(labels, int8, step=10), "float": vus_pr(labels, real, step=10)}


def _labelled(
    manifest: Manifest,
    int8: Converted,
    real: Converted,
    weights: Mapping[str, Floats],
    recordings: Sequence[Labelled],
) -> dict[str, float] | None:
    found = [
        {
            name: vus_pr(one.labels, follow(manifest, model, weights, one.z).score)
            for name, model in (("int8", int8), ("float", real))
        }
        for one in recordings
    ]
    return (
        {name: float(np.mean([one[name] for one in found])) for name in ("int8", "float")} if found else None
    )


def _curve(distance: Floats) -> tuple[Floats, Floats]:
    blocks = np.array_split(distance.mean(axis=(1, 2)), min(_POINTS, len(distance)))
    return np.cumsum([len(block) for block in blocks]).astype(float), np.array([b.mean() for b in blocks])


def _growth(distance: Floats, rows: int) -> float:
    """Error of the last quarter of the passes over that of the first, the same rows in both."""
    each = distance.mean(axis=(1, 2)).reshape(-1, rows)
    quarter = max(1, len(each) // _QUARTER)
    settled = max(1, min(rows // 2, _SETTLE)) if quarter == 1 else 0
    early, late = each[:quarter, settled:].mean(), each[-quarter:, settled:].mean()
    return float(late / early) if early > 0 else 1.0


def _by_channel(manifest: Manifest, distance: Floats) -> dict[str, float]:
    """Mean distance of the outputs over the spread of normal residuals, of the head that is farther off."""
    stds = np.array([head.std for head in manifest.scoring.heads if MEMBER[head.kind] == "lstm"])
    worst = (distance.mean(axis=0) / stds).max(axis=0)
    return {channel.name: float(far) for channel, far in zip(manifest.channels, worst, strict=True)}


def ranks(values: Floats) -> Floats:
    """Ranks from 0, ties in order, (rows,)."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's; of constant values 1 when they are equal and 0 when not."""
    if a.std() == 0 or b.std() == 0:
        return 1.0 if np.array_equal(a, b) else 0.0
    return float(np.corrcoef(a, b)[0, 1])
