"""A model that forgets nothing: any reading lost, doubled, swapped or mixed up shows in its state.

Its first state is a hash chain, ``h = sha256(h || frame)[:16]``; its second counts how
often each reading was seen, so that a difference has a number. What its head says is a
function of ``h``, so that the alerts are one too: an episode opens when ``h[0] < 8``,
which is one frame in 32, and closes after frames without that.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm import __version__
from edge_lstm.bundle import Bundle
from edge_lstm.contracts.manifest import (
    FORMAT,
    AssetScaling,
    Channel,
    Grid,
    Head,
    Manifest,
    Scoring,
    State,
    Tensor,
    Threshold,
)
from edge_lstm.core.backend import TensorArray

__all__ = ["CHANNELS", "SEEN", "Sample", "WitnessBackend", "chain", "samples", "witness_bundle"]

CHANNELS = ("low", "high", "salt", "pepper")
CHAIN_BYTES = 16
SEEN = 4096
"""Readings of one stream that are told apart: two digits to the base 64."""

_ALARMING = 8
_BASE = 64
_SPICE = 60
"""Largest part of a reading that is chance; with the head's answer on top it still fits into int8."""


class Sample(NamedTuple):
    """One reading of one stream.

    Attributes:
        number: Its place in the stream, from 0.
        values: Whole numbers, one a channel; every one comes through scaling and int8 unchanged.
    """

    number: int
    values: tuple[int, ...]

    @property
    def frame(self) -> bytes:
        """The bytes that the backend is given."""
        return np.array(self.values, np.int8).tobytes()


def samples(seed: str) -> Iterator[Sample]:
    """The endless readings of one stream; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a test's choices, to be made again from the seed
    index = 0
    while True:
        spice = (chance.randint(-_SPICE, _SPICE), chance.randint(-_SPICE, _SPICE))
        yield Sample(index, (index % _BASE, index // _BASE % _BASE, *spice))
        index += 1


def chain(frames: Sequence[bytes]) -> bytes:
    """The first state after frames, without any code of the daemon."""
    h = bytes(CHAIN_BYTES)
    for frame in frames:
        h = hashlib.sha256(h + frame).digest()[:CHAIN_BYTES]
    return h


class WitnessBackend:
    """Runs the witness; see the module."""

    name = "witness"

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance one stream or a batch; see `edge_lstm.core.backend.Backend.step`."""
        links, seen = state
        said = np.array(frame)
        width = frame.shape[-1]
        frames: NDArray[Any] = frame.reshape(-1, width)
        chains: NDArray[Any] = links.reshape(-1, CHAIN_BYTES)
        counted: NDArray[Any] = seen.reshape(-1, SEEN)
        answers: NDArray[Any] = said.reshape(-1, width)
        for one, link, counts, answer in zip(frames, chains, counted, answers, strict=True):
            digest = hashlib.sha256(link.tobytes() + one.tobytes()).digest()
            link[:] = np.frombuffer(digest, np.int8, CHAIN_BYTES)
            counts[int(one[0]) + int(one[1]) * _BASE] += 1
            if digest[0] < _ALARMING:
                answer[:] += 10 + digest[1] % 50  # how bad it is follows from the chain too
        return {"said": said}


def witness_bundle() -> Bundle:
    """The facts of the witness, as a bundle that no file holds."""
    width = len(CHANNELS)
    zeros, ones = (0.0,) * width, (1.0,) * width
    frame, said = (Tensor(name, (1, width), "int8", 1.0, 0) for name in ("frame", "said"))
    links = [Tensor(f"chain_{way}", (1, CHAIN_BYTES), "int8", 1.0, 0) for way in ("in", "out")]
    seen = [Tensor(f"seen_{way}", (1, SEEN), "int8", 1.0, 0) for way in ("in", "out")]
    manifest = Manifest(
        format=FORMAT,
        min_runtime=__version__,
        id="witness",
        version="1",
        created="2026-01-01T00:00:00.000Z",
        files={},
        inputs=(frame, links[0], seen[0]),
        outputs=(said, links[1], seen[1]),
        input="frame",
        states=(State("chain_in", "chain_out"), State("seen_in", "seen_out")),
        channels=tuple(Channel(name) for name in CHANNELS),
        scaling=AssetScaling(zeros, ones),
        assets={},
        grid=Grid(1.0, 1e8, 3, 0),
        scoring=Scoring(128.0, 1e6, (Head("reconstruction", "said", 1.0, 1.0, zeros, ones, 1.0),)),
        threshold=Threshold(3.0, 0.5, 1, 3, 0, 2.0, 2.0, extrapolated=False),
        golden_tolerance=0,
        training={},
        metrics={},
    )
    digest = hashlib.sha256(b"edge-lstm torture witness 1").hexdigest()
    return Bundle(Path("witness"), digest, manifest, {})
