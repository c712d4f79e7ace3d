"""Run on the board, with nothing but edge-lstm: work that no command of it does.

``detect BUNDLE CSV BACKEND``: every reading through a detector, one JSON line a score or alert.
``batch BUNDLE BACKEND``: steps of 64 streams at once, one line with a digest of all states.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path

import msgspec
import numpy as np

from edge_lstm.backends import BACKENDS
from edge_lstm.bundle import open_bundle
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import Score
from edge_lstm.core.detector import Detector
from edge_lstm.core.quantize import zero
from edge_lstm.core.stepper import state_tensors

_STREAMS, _STEPS = 64, 300


def detect(bundle_path: str, csv_path: str, backend: str) -> None:
    """Scores and alerts as `edge-lstm replay` would find them, without polars."""
    bundle = open_bundle(Path(bundle_path))
    detector = Detector(
        bundle.manifest,
        BACKENDS[backend](bundle),
        sha256=bundle.sha256,
        weights=bundle.weights(),
        node="board",
        replayed=True,
    )
    with Path(csv_path).open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            values = {name: float(text) if text else None for name, text in row.items() if name != "time"}
            for event in detector.push(Reading("pump-1", (1_700_000_000 + number) * 10**9, values)):
                if isinstance(event, Score | Alert):
                    fact = {"kind": type(event).__name__, **msgspec.to_builtins(event)}
                    sys.stdout.write(json.dumps(fact) + "\n")


def batch(bundle_path: str, backend: str) -> None:
    """Many streams in one call, as the daemon steps them."""
    bundle = open_bundle(Path(bundle_path))
    manifest, rng = bundle.manifest, np.random.default_rng(0)
    runs = BACKENDS[backend](bundle)
    states = [np.full((_STREAMS, a.shape[-1]), zero(a), a.dtype) for a, _ in state_tensors(manifest)]
    for _ in range(_STEPS):
        frames = rng.integers(-128, 128, (_STREAMS, len(manifest.channels))).astype(np.int8)
        runs.step(frames, states)
    digest = hashlib.sha256(b"".join(state.tobytes() for state in states)).hexdigest()
    sys.stdout.write(f"{digest[:16]}\n")


if __name__ == "__main__":
    (detect if sys.argv[1] == "detect" else batch)(*sys.argv[2:])
