"""What a step costs around the interpreter's own work: everything in turns, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_lstm.arrays import read_arrays
from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import GOLDEN, Bundle
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.reading import Reading
from edge_lstm.core.detector import Detector
from edge_lstm.core.stepper import Stepper
from edge_lstm.core.streams import StreamTable

__all__ = ["measure_step"]

Floats = NDArray[np.float64]

ROUNDS = 15
STEPS = 1500
BATCHES = 150
BATCH = 256


def measure_step(bundle: Bundle) -> dict[str, float]:
    """Times and ratios of a step of a bundle's network on this machine.

    A step takes a frame of the bundle's golden vectors in model units (float64) and the
    stream's state arrays; it quantizes, copies the states in, runs the network, copies the
    states back and gives the reals of every network head. Linear members are left out of it,
    and in ``reading_us``, a reading through the whole detector.

    Returns:
        ``invoke_us``, ``raw_invoke_us`` (the private call that the public one guards),
        ``step_us``, ``reading_us``: microseconds, the least disturbed round.
        ``around``: (step - invoke) / invoke; ``around_raw``: by the raw call.
        ``batch_invoke_us``, ``batch_step_us``: of 256 streams, drawn in any order from a table
        of 600: gather, quantize, run, scatter, dequantize; ``batch_to_batch``: by a bare invoke
        of 256; ``batch_to_single``: a stream of the batch by a bare invoke of one stream.
    """
    manifest = _network_only(bundle.manifest)
    backend = LiteRtBackend(bundle)
    stepper, table = Stepper(manifest, backend, {}), StreamTable(manifest)
    for i in range(600):
        table.add(str(i))
    golden = read_arrays(bundle.read(GOLDEN))["frames"].astype(np.float64)
    frames = np.resize(golden, (STEPS, golden.shape[1]))
    singles = list(frames)
    states, memory = table.states("0"), table.view("linear", "0")
    rows = np.random.default_rng(0).permutation(600)[:BATCH]
    many = [np.resize(golden, (i + BATCH, golden.shape[1]))[i:] for i in range(16)]
    stepper.step_rows(table, rows, many[0])
    single, batch = backend._single, backend._batches[BATCH]
    interpreter: Any = single.frame.base
    detector, readings = _pushed(bundle, frames)

    def raw() -> None:
        for _ in singles:
            interpreter.interpreter._interpreter.Invoke()

    def step() -> None:
        for z in singles:
            stepper.step(z, states, memory)

    def push() -> None:
        for reading in readings():
            detector.push(reading)

    def step_rows() -> None:
        for i in range(BATCHES):
            stepper.step_rows(table, rows, many[i % 16])

    times = _in_turns(
        {
            "invoke": (lambda: _repeat(single.invoke, STEPS), STEPS),
            "raw_invoke": (raw, STEPS),
            "step": (step, STEPS),
            "reading": (push, STEPS),
            "batch_invoke": (lambda: _repeat(batch.invoke, BATCHES), BATCHES),
            "batch_step": (step_rows, BATCHES),
        }
    )
    best = {name: min(rounds) for name, rounds in times.items()}
    return {
        **{f"{name}_us": value for name, value in best.items()},
        "around": best["step"] / best["invoke"] - 1,
        "around_raw": best["step"] / best["raw_invoke"] - 1,
        "batch_to_batch": best["batch_step"] / best["batch_invoke"],
        "batch_to_single": best["batch_step"] / best["invoke"] / BATCH,
    }


def _network_only(manifest: Manifest) -> Manifest:
    """The facts without the linear members."""
    heads = tuple(head for head in manifest.scoring.heads if not (head.lags or head.memory))
    scoring = msgspec.structs.replace(manifest.scoring, heads=heads)
    return msgspec.structs.replace(manifest, scoring=scoring)


def _pushed(bundle: Bundle, frames: Floats) -> tuple[Detector, Callable[[], list[Reading]]]:
    """A detector, and what makes its next readings; made outside the clock they would cost memory."""
    manifest = bundle.manifest
    detector = Detector(
        manifest, LiteRtBackend(bundle), sha256=bundle.sha256, node="bench", weights=bundle.weights()
    )
    values = frames * np.asarray(manifest.scaling.scale) + np.asarray(manifest.scaling.centre)
    names = [channel.name for channel in manifest.channels]
    rows = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    period, moment = round(manifest.grid.period_s * 1e9), [0]

    def readings() -> list[Reading]:
        start = moment[0]
        moment[0] += len(rows) * period
        return [Reading("p", start + (i + 1) * period, row) for i, row in enumerate(rows)]

    return detector, readings


def _repeat(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def _in_turns(works: Mapping[str, tuple[Callable[[], object], int]]) -> dict[str, list[float]]:
    """Microseconds a step, a list of rounds each; in turns, so that a slow spell meets all."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, (work, count) in works.items():
            begun = time.thread_time()  # not the time in which the machine did something else
            work()
            times[name].append((time.thread_time() - begun) / count * 1e6)
    return times
