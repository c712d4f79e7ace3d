"""The Edge TPU beside the CPU: proven and measured before it is used, and replaced when it is lost."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge_lstm.backends.edgetpu import EdgeTpuBackend
from edge_lstm.bundle import EDGETPU_MODEL, Bundle
from edge_lstm.core.backend import Backend, TensorArray
from edge_lstm.core.quantize import zero
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BackendError
from edge_lstm.logs import event
from edge_lstm.selftest import selftest

__all__ = ["Runner", "accelerate", "compare"]

log = logging.getLogger(__name__)

_STEPS = 200
"""Steps that each is timed for; at a millisecond each, a fifth of a second."""


class Runner:
    """What runs the network: the Edge TPU for as long as there is one, and the CPU else.

    Args:
        cpu: What takes over; it computes the same network.
        tpu: The Edge TPU, or ``None``.
        reason: Why it is this one of the two, for people.
        problem: What is wrong with that, for health; empty when nothing is.
    """

    def __init__(self, cpu: Backend, tpu: Backend | None, reason: str, problem: str = "") -> None:
        self._cpu, self._tpu = cpu, tpu
        self.reason, self.problem = reason, problem

    def close(self) -> None:
        """Let go of the Edge TPU, so that another runner can have it."""
        self._tpu = None

    @property
    def name(self) -> str:
        """What runs the network now."""
        return (self._tpu or self._cpu).name

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance by one frame; see `edge_lstm.core.backend.Backend.step`.

        When the Edge TPU is lost this very step is done on the CPU, from the same state, and so
        are all that follow: it is looked for again at the next start.
        """
        if self._tpu is not None:
            try:
                return self._tpu.step(frame, state)
            except BackendError as error:
                self._tpu = None
                self.reason = self.problem = f"the network is on {self._cpu.name}: {error}"
                log.error(event("edgetpu.lost", using=self._cpu.name, reason=error))  # noqa: TRY400 - no bug of ours
        return self._cpu.step(frame, state)


def accelerate(
    bundle: Bundle,
    cpu: Backend,
    reason: str,
    *,
    forced: bool = False,
    make: Callable[[Bundle], Backend] = EdgeTpuBackend,
) -> Runner:
    """Use the Edge TPU if it runs the bundle's network, rightly, and faster than the CPU does.

    Args:
        bundle: A verified bundle.
        cpu: What runs it otherwise.
        reason: Why that one, for people.
        forced: Use the Edge TPU though it is slower; and call it a problem when it cannot be used.
        make: What makes the Edge TPU's backend.
    """
    if not forced and EDGETPU_MODEL not in bundle.members:
        return Runner(cpu, None, reason)
    try:
        tpu = make(bundle)
        _prove(bundle, tpu)
        tpu_us, cpu_us = compare(bundle, tpu, cpu)
    except BackendError as error:
        return _without(cpu, reason, str(error), forced=forced)
    times = f"{tpu_us:.0f} µs a step against {cpu_us:.0f} on {cpu.name}"
    if tpu_us >= cpu_us and not forced:
        return _without(cpu, reason, f"it is not faster: {times}", forced=False)
    return Runner(cpu, tpu, f"{'as chosen' if forced else 'the fastest that runs here'}: {times}")


def _without(cpu: Backend, reason: str, why: str, *, forced: bool) -> Runner:
    tell = log.error if forced else log.warning
    tell(event("edgetpu.not_used", using=cpu.name, reason=why))
    said = f"not the Edge TPU: {why}"
    return Runner(cpu, None, f"{reason}; {said}", said if forced else "")


def _prove(bundle: Bundle, tpu: Backend) -> None:
    """Replay the golden vectors on the Edge TPU.

    Raises:
        BackendError: It computes something else than the build machine.
        SelfTestError: The golden vectors cannot be read.
    """
    result = selftest(bundle, tpu)
    if not result.passed:
        raise BackendError(
            "the golden vectors do not come out on the Edge TPU",
            expected=f"at most {result.tolerance} quantization steps off",
            got=f"{result.greatest:g} in '{result.tensor}' at step {result.tick}",
        )


def compare(bundle: Bundle, one: Backend, other: Backend, *, steps: int = _STEPS) -> tuple[float, float]:
    """Median time of a step of one stream on each, microseconds; taken in turns, for what disturbs both.

    Raises:
        BackendError: One of them stops.
    """
    manifest = bundle.manifest
    frame = next(t for t in manifest.inputs if t.name == manifest.input)
    zeros = np.full(frame.shape[-1], zero(frame), frame.dtype)
    states = [np.full(a.shape[-1], zero(a), a.dtype) for a, _ in state_tensors(manifest)]
    took: tuple[list[int], list[int]] = ([], [])
    for _ in range(steps):
        for backend, times in zip((one, other), took, strict=True):
            begin = time.perf_counter_ns()
            backend.step(zeros, states)
            times.append(time.perf_counter_ns() - begin)
    return statistics.median(took[0]) / 1000, statistics.median(took[1]) / 1000
