"""The members of a bundle, and what can be made of them, as candidates of the contest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.contracts.manifest import MEMBER, Channel, Manifest, Member
from edge_lstm.core.quantize import zero
from edge_lstm.core.scoring import Scorer
from edge_lstm.core.stepper import Stepper, state_tensors
from edge_lstm.core.streams import StreamTable
from edge_lstm.core.when import scored_channels
from trainer.contest import Candidate

__all__ = ["Field", "candidates"]

Floats = NDArray[np.float64]


class Field:
    """All members run side by side over batches of runs, as the device runs them over one stream.

    The contest asks every candidate to score the same runs; the members' answers to the last
    batches are kept, so that an ensemble costs nothing over its members.

    Args:
        manifest: A manifest with the heads of every member, calibrated.
        model: The int8 network.
        weights: Arrays of the linear members.
    """

    def __init__(self, manifest: Manifest, model: bytes, weights: Mapping[str, Floats]) -> None:
        self._manifest = manifest
        backend = LiteRtBackend(Bundle(Path("memory"), "", manifest, {MODEL: model}))
        self._stepper = Stepper(manifest, backend, weights)
        self._scorer = Scorer(manifest.scoring, scored_channels(manifest.channels))
        self._scale = np.array([head.scale for head in manifest.scoring.heads])
        self._members = np.array([MEMBER[head.kind] for head in manifest.scoring.heads])
        self._answers: dict[bytes, Floats] = {}

    @property
    def period_s(self) -> float:
        """Time between readings, seconds."""
        return self._manifest.grid.period_s

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels, in order."""
        return self._manifest.channels

    def score(self, runs: Floats, members: Sequence[Member]) -> Floats:
        """Scores of some of the members together, (runs, rows).

        Args:
            runs: Model units, not clipped, (runs, rows, channels); each from a fresh state.
            members: Which of them.
        """
        levels = self._levels(runs)
        means = [levels[..., self._members == member].mean(axis=-1) for member in members]
        score: Floats = np.mean(means, axis=0)
        return score

    def _levels(self, runs: Floats) -> Floats:
        """log1p(head / scale) of every head, (runs, rows, heads)."""
        key = runs.tobytes()
        if key not in self._answers:
            self._answers[key] = self._run(
                np.clip(runs, -self._manifest.scoring.clip, self._manifest.scoring.clip)
            )
        return self._answers[key]

    def _run(self, z: Floats) -> Floats:
        manifest, scorer, heads = self._manifest, self._scorer, self._manifest.scoring.heads
        runs, rows, _ = z.shape
        states = [np.full((runs, a.shape[-1]), zero(a), a.dtype) for a, _ in state_tensors(manifest)]
        fresh = StreamTable(manifest)
        bias, smoothed, previous, memory = (
            np.repeat(fresh.fresh(name)[None], runs, axis=0)
            for name in ("bias", "smoothed", "forecast", "linear")
        )
        out = np.empty((runs, rows, len(heads)))
        for t in range(rows):
            said = self._stepper.step_batch(z[:, t], states, memory)
            expected = scorer.expectation(said, z[:, t], previous)
            skip = np.broadcast_to(scorer.silent(first=t == 0), said.shape)
            scorer.update(bias, smoothed, z[:, t, None] - expected, skip=skip)
            out[:, t] = np.log1p(scorer.mean(smoothed) / self._scale)
        return out


def candidates(field: Field, costs: Mapping[Member, float], shipped: Sequence[Member]) -> list[Candidate]:
    """Every member alone, and those that are shipped together.

    Args:
        field: The members.
        costs: Multiplications a reading, by member.
        shipped: The members of the ensemble; of one member there is no ensemble.
    """

    def alone(members: Sequence[Member]) -> Candidate:
        name = members[0] if len(members) == 1 else "+".join(members)
        cost = sum(costs[member] for member in members)
        return Candidate(
            name, lambda runs: field.score(runs, members), cost, f"--members {','.join(members)}"
        )

    found = [alone([member]) for member in costs]
    return [*found, alone(shipped)] if len(shipped) > 1 else found
