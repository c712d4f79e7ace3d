"""How much the pipeline costs around the model: ratios of one run, printed and never asserted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import open_bundle
from edge_lstm.contracts.reading import Reading
from edge_lstm.core.detector import Detector
from edge_lstm.core.quantize import zero
from edge_lstm.core.stepper import state_tensors

ROUNDS = 5
STEPS = 2000


def best_us(work: Callable[[], object]) -> float:
    """Microseconds a step, the best of some rounds: the least disturbed by the machine's other work."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) / STEPS * 1e6)
    return min(times)


def test_push_against_bare_invoke(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reading to score through every stage, as a multiple of the interpreter's own invoke."""
    bundle = open_bundle(tiny_bundle)
    backend = LiteRtBackend(bundle)
    names = [channel.name for channel in bundle.manifest.channels]
    detector = Detector(bundle.manifest, backend, sha256=bundle.sha256, node="bench")
    values: dict[str, float | None] = dict(zip(names, bundle.manifest.scaling.centre, strict=True))
    states = [np.full(a.shape[-1], zero(a), a.dtype) for a, _ in state_tensors(bundle.manifest)]
    frame, moment = np.zeros(len(names), np.int8), [0]

    def push() -> None:
        for _ in range(STEPS):
            moment[0] += 1
            detector.push(Reading("p", moment[0] * 1_000_000_000, values))

    def step() -> None:
        for _ in range(STEPS):
            backend.step(frame, states)

    def invoke() -> None:
        for _ in range(STEPS):
            backend._single.invoke()

    floor, glue, whole = best_us(invoke), best_us(step), best_us(push)
    with capsys.disabled():
        print(  # noqa: T201 - the result of a benchmark is its print
            f"\ninvoke {floor:.1f} us; backend.step {glue / floor:.1f} x; Detector.push {whole / floor:.1f} x"
        )
    assert floor > 0
