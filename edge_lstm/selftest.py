"""Replays the golden vectors: does this board compute what the build machine computed?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.arrays import read_arrays
from edge_lstm.bundle import GOLDEN, Bundle
from edge_lstm.core.backend import Backend
from edge_lstm.core.linear import LinearMembers
from edge_lstm.core.quantize import quantize, zero
from edge_lstm.core.stepper import state_tensors
from edge_lstm.core.streams import StreamTable
from edge_lstm.errors import SelfTestError

__all__ = ["SelfTestResult", "golden_run", "selftest", "verify"]

LEAST_STEPS, MOST_STEPS = 16, 10_000

_LINEAR_STEPS = 1e6
"""Linear heads are held against the golden vectors in steps of a millionth of a model unit."""


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """What came out.

    Attributes:
        backend: What ran the model.
        steps: Steps replayed.
        greatest: Greatest difference to a golden vector, quantization steps.
        tensor: The output it was found in.
        tick: The step it was found at.
        tolerance: Greatest difference that passes, quantization steps.
    """

    backend: str
    steps: int
    greatest: float
    tensor: str
    tick: int
    tolerance: int

    @property
    def passed(self) -> bool:
        """Whether this board may run the bundle."""
        return self.greatest <= self.tolerance


def golden_run(
    bundle: Bundle,
    backend: Backend,
    frames: NDArray[np.float64],
    golden: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, NDArray[Any]]:
    """Step all members from a fresh state through frames.

    Args:
        bundle: The facts of the members.
        backend: What runs the network.
        frames: Model units, (steps, channels).
        golden: What came out where they were made. With it, every step of the network begins
            with the golden states, so that a difference is that of one step: kernels that round
            differently here and there lead away from each other over many.

    Returns:
        Output tensor name to (steps, width), states included; and ``linear``, what the linear
        heads expect in millionths of a model unit, (steps, heads * channels).
    """
    manifest = bundle.manifest
    pairs = state_tensors(manifest)
    state = [np.full(a.shape[-1], zero(a), a.dtype) for a, _ in pairs]
    outputs = {tensor.name for tensor in manifest.outputs}
    heads = manifest.scoring.heads
    names = [head.output for head in heads if head.output in outputs]
    linear = [i for i, head in enumerate(heads) if head.lags or head.memory]
    members, memory = LinearMembers(heads, bundle.weights()), StreamTable(manifest).fresh("linear")
    frame_in = next((t for t in manifest.inputs if t.name == manifest.input), None)
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in (*names, *(b.name for _, b in pairs))}
    if linear:
        rows["linear"] = []
    for t, frame in enumerate(frames):
        if golden and t:
            for (_, out), array in zip(pairs, state, strict=True):
                array[:] = golden[out.name][t - 1]
        if frame_in is not None:
            said = backend.step(quantize(frame, frame_in), state)
            for name in names:
                rows[name].append(np.array(said[name]))
            for (_, out), array in zip(pairs, state, strict=True):
                rows[out.name].append(array.copy())
        if linear:
            expected = np.zeros((len(heads), len(frame)))
            members.expect(frame, memory, expected)
            rows["linear"].append(np.rint(expected[linear].ravel() * _LINEAR_STEPS))
    return {name: np.stack(values) for name, values in rows.items()}


def selftest(bundle: Bundle, backend: Backend) -> SelfTestResult:
    """Replay the golden vectors on this board.

    Raises:
        SelfTestError: The golden vectors cannot be read.
    """
    try:
        golden = read_arrays(bundle.read(GOLDEN))
        frames = golden.pop("frames")
        _check_frames(frames, len(bundle.manifest.channels))
        got = golden_run(bundle, backend, frames.astype(float), golden)
        differences = {name: np.abs(got[name].astype(float) - golden[name].astype(float)) for name in got}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SelfTestError(f"golden vectors cannot be replayed: {error}", path=bundle.path) from error
    if not differences:  # the level is a constant of the manifest: there is nothing to compute
        return SelfTestResult(backend.name, len(frames), 0.0, "", 0, bundle.manifest.golden_tolerance)
    worst = max(differences, key=lambda name: float(differences[name].max()))
    tick = int(differences[worst].max(axis=1).argmax())
    greatest = float(differences[worst].max())
    tolerance = bundle.manifest.golden_tolerance
    return SelfTestResult(backend.name, len(frames), greatest, worst, tick, tolerance)


def _check_frames(frames: NDArray[Any], channels: int) -> None:
    """Too few prove nothing, too many take forever."""
    if frames.ndim != 2 or frames.shape[1] != channels or not LEAST_STEPS <= len(frames) <= MOST_STEPS:
        wanted = f"{LEAST_STEPS} to {MOST_STEPS} frames of {channels} channels"
        raise ValueError(f"expected {wanted}, got an array of shape {frames.shape}")


def verify(bundle: Bundle, backend: Backend) -> SelfTestResult:
    """Replay the golden vectors and refuse the bundle when they do not come out.

    Raises:
        SelfTestError: This board computes something else than the build machine.
    """
    result = selftest(bundle, backend)
    if not result.passed:
        raise SelfTestError(
            f"selftest fails on {result.backend}",
            path=bundle.path,
            expected=f"at most {result.tolerance} quantization steps off the golden vectors",
            got=f"{result.greatest:g} in '{result.tensor}' at step {result.tick}",
            do="use another runtime version or rebuild the bundle",
        )
    return result
