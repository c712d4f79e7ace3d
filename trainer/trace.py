"""History through the device's own stages: what the model says, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Manifest, Scoring
from edge_lstm.core.backend import Backend
from edge_lstm.core.normalize import normalizers
from edge_lstm.core.scoring import Scorer
from edge_lstm.core.stepper import Stepper
from edge_lstm.core.streams import StreamTable
from edge_lstm.core.when import scored_channels
from trainer.split import Part

__all__ = ["TRACE_ROWS", "Trace", "biases", "fused", "levels", "trace"]

Floats = NDArray[np.float64]
TRACE_ROWS = 60_000
"""Rows of a history that are run through the members; longer ones lose the start of each segment."""
_ASSET = "one"


@dataclass(frozen=True, slots=True)
class Trace:
    """One segment, from the row at which the state was reset.

    Attributes:
        part: The segment.
        start: Row of the segment at which the trace begins.
        z: Readings in model units, (rows, channels).
        expected: What each head expected, model units, (rows, heads, channels).
        skip: True where a head has nothing to say, same shape.
        scored: True for the channels that are scored, (channels,).
    """

    part: Part
    start: int
    z: Floats
    expected: Floats
    skip: NDArray[np.bool_]
    scored: NDArray[np.bool_]

    def only(self, heads: Sequence[int]) -> Trace:
        """The same rows with some of the heads."""
        chosen = list(heads)
        return replace(self, expected=self.expected[:, chosen], skip=self.skip[:, chosen])

    def rows_from(self, row: int) -> slice:
        """The trace's rows from a row of the segment on."""
        return slice(max(0, row - self.start), None)

    @property
    def residual(self) -> Floats:
        """Actual minus expected, model units, (rows, heads, channels)."""
        return self.z[:, None] - self.expected


def trace(
    manifest: Manifest,
    backend: Backend,
    weights: Mapping[str, Floats],
    parts: Sequence[Part],
    *,
    most: int,
    progress: Callable[[int], None] = lambda _rows: None,
) -> list[Trace]:
    """Step segments through normaliser, quantizer, model and heads.

    Args:
        manifest: Scaling, tensors and heads (statistics are not used).
        backend: What runs the network.
        weights: Arrays of the linear members.
        parts: The segments.
        most: Most rows in all; of longer histories the start of each segment is left out.
        progress: Told how many rows were done.
    """
    keep = min(1.0, most / max(1, sum(len(part.values) for part in parts)))
    default, named = normalizers(manifest.scaling, manifest.assets, clip=manifest.scoring.clip)
    scored = scored_channels(manifest.channels)
    stepper, scorer = Stepper(manifest, backend, weights), Scorer(manifest.scoring, scored)
    table = StreamTable(manifest)
    table.add(_ASSET)
    traces = []
    for part in parts:
        start = len(part.values) - max(1, round(len(part.values) * keep))
        z = named.get(part.asset, default).forward(part.values[start:])
        table.reset(_ASSET)
        states, forecast = table.states(_ASSET), table.view("forecast", _ASSET)
        memory = table.view("linear", _ASSET)
        expected = np.stack(
            [scorer.expectation(stepper.step(row, states, memory), row, forecast) for row in z]
        )
        skip = ~part.seen[start:, None] | part.paused[start:, None, None] | scorer.silent(first=False)
        skip[0] |= scorer.silent(first=True)
        traces.append(Trace(part, start, z, expected, skip, scored))
        progress(len(z))
    return traces


def biases(scoring: Scoring, one: Trace) -> Floats:
    """Smoothed residuals before standardising, (rows, heads, channels)."""
    return _memories(scoring, one)[0]


def levels(scoring: Scoring, one: Trace) -> Floats:
    """Mean over the scored channels of the smoothed squares, (rows, heads)."""
    return Scorer(scoring, one.scored).mean(_memories(scoring, one)[1])


def fused(scoring: Scoring, one: Trace) -> Floats:
    """The score of every row, (rows,)."""
    scorer = Scorer(scoring, one.scored)
    return scorer.fuse(scorer.levels(_memories(scoring, one)[1]))


def _memories(scoring: Scoring, one: Trace) -> tuple[Floats, Floats]:
    """Both smoothing memories after every row, as the device has them, (rows, heads, channels)."""
    scorer = Scorer(scoring, one.scored)
    bias = np.array([head.mean for head in scoring.heads])
    smoothed = np.ones(one.expected.shape[1:])
    biases, squares = [], []
    for residual, skip in zip(one.residual, one.skip, strict=True):
        scorer.update(bias, smoothed, residual, skip=skip)
        biases.append(bias.copy())
        squares.append(smoothed.copy())
    return np.stack(biases), np.stack(squares)
