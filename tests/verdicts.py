"""How often two backends judge a reading differently, each carrying its own state through a long run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_lstm.bundle import Bundle
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.core.backend import Backend, TensorArray
from edge_lstm.core.detector import Detector

__all__ = ["Compared", "changed_verdicts", "tiled"]

_START_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Compared:
    """Two backends on the same readings.

    Attributes:
        readings: Readings that both scored.
        opened: Readings of these with an episode open by the first: without any, nothing is proved.
        changed: Readings of these with an open episode by one and none by the other.
        crossed: Readings whose score is above the threshold by one and not by the other.
        unequal: Readings after which an output or a state differs.
        greatest: Greatest difference of an output or a state, quantization steps.
        score: Greatest difference of the scores, relative to the threshold.
    """

    readings: int
    opened: int
    changed: int
    crossed: int
    unequal: int
    greatest: int
    score: float


class _Recorded:
    """A backend that remembers what its last step gave."""

    def __init__(self, backend: Backend) -> None:
        self.name, self._backend = backend.name, backend
        self.last: NDArray[np.int64] = np.zeros(0, np.int64)

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        said = self._backend.step(frame, state)
        self.last = np.concatenate([*(said[name] for name in sorted(said)), *state]).astype(np.int64)
        return said


def changed_verdicts(
    bundle: Bundle, first: Backend, second: Backend, values: NDArray[np.float64], *, asset: str = "one"
) -> Compared:
    """Run both through a detector of their own, side by side.

    Args:
        bundle: The members and the threshold.
        first: One backend.
        second: The other.
        values: Readings in channel units, (rows, channels), one a period.
        asset: Name of the machine: one of the bundle's, for its scaling.
    """
    pair = [_Recorded(first), _Recorded(second)]
    detectors = [
        Detector(bundle.manifest, one, sha256=bundle.sha256, weights=bundle.weights(), node="n", max_assets=1)
        for one in pair
    ]
    readings = opened = changed = crossed = unequal = greatest = 0
    score = 0.0
    for reading in _readings(bundle, values, asset):
        a, b = (next(e for e in d.push(reading) if isinstance(e, Score)) for d in detectors)
        off = int(np.abs(pair[0].last - pair[1].last).max())
        readings += 1
        opened += a.status == StreamStatus.OPEN
        changed += (a.status == StreamStatus.OPEN) != (b.status == StreamStatus.OPEN)
        crossed += (a.score > a.threshold) != (b.score > b.threshold)
        unequal += off > 0
        greatest = max(greatest, off)
        score = max(score, abs(a.score - b.score) / a.threshold)
    return Compared(readings, opened, changed, crossed, unequal, greatest, score)


def _readings(bundle: Bundle, values: NDArray[np.float64], asset: str) -> Iterator[Reading]:
    names = [channel.name for channel in bundle.manifest.channels]
    period_ns = round(bundle.manifest.grid.period_s * 1e9)
    for i, row in enumerate(values.tolist()):
        yield Reading(asset, _START_NS + i * period_ns, dict(zip(names, row, strict=True)))


def tiled(values: NDArray[np.float64], rows: int, *, seed: int = 0) -> NDArray[np.float64]:
    """A recording over and over, each time with a little noise of its own so that no round is another's.

    Args:
        values: The recording, (rows, channels).
        rows: Rows to make.
        seed: Of the noise, a hundredth of each channel's standard deviation.
    """
    rounds = -(-rows // len(values))
    long = np.tile(values, (rounds, 1))[:rows]
    noise = np.random.default_rng(seed).normal(size=long.shape)
    return np.asarray(long + 0.01 * np.nanstd(values, axis=0) * noise)
