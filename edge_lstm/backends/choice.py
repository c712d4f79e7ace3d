"""Which backend runs a bundle's network on this board, and why that one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_lstm.backends.edgetpu import EdgeTpuBackend
from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.backends.none import NoNetwork
from edge_lstm.backends.reference import ReferenceBackend
from edge_lstm.bundle import Bundle
from edge_lstm.contracts.config import BackendChoice
from edge_lstm.core.backend import Backend
from edge_lstm.core.quantize import zero
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BackendError

__all__ = ["BACKENDS", "Selected", "load_backend", "select_backend", "step_us"]

BACKENDS: Mapping[str, Callable[[Bundle], Backend]] = {
    "litert": LiteRtBackend,
    "reference": ReferenceBackend,
    "edgetpu": EdgeTpuBackend,
}
"""Every choice but ``auto`` to what makes its backend, or raises `BackendError` with the reason."""

_AUTO = ("litert", "reference")
"""What ``auto`` tries, the fastest first; the last one runs wherever NumPy does. The Edge TPU is not
among them: it must be measured before it is taken (`edge_lstm.accelerator`)."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A backend that runs here.

    Attributes:
        backend: It.
        reason: Why it and no other, for people.
        fallback: Whether ``auto`` would have had a faster one if that ran here.
    """

    backend: Backend
    reason: str
    fallback: bool = False


def load_backend(bundle: Bundle, choice: BackendChoice = "auto") -> Backend:
    """The backend of `select_backend` alone.

    Raises:
        BackendError: See `select_backend`.
        BundleError: See `select_backend`.
    """
    return select_backend(bundle, choice).backend


def select_backend(bundle: Bundle, choice: BackendChoice = "auto") -> Selected:
    """A backend for a bundle's network, having run one step of it.

    Args:
        bundle: A verified bundle.
        choice: A key of `BACKENDS`, or ``auto`` for the fastest that runs here.

    Raises:
        BackendError: The chosen one is not available on this board; with ``auto``, none is.
        BundleError: The model's tensors are not those of the manifest.
    """
    if not bundle.manifest.input:
        return Selected(NoNetwork(), "the bundle has no network")
    if choice != "auto":
        return Selected(_running(bundle, choice), "as chosen")
    problems: list[str] = []
    for name in _AUTO[:-1]:
        try:
            backend = _running(bundle, name)
        except BackendError as error:
            problems.append(f"{error.what} ({error.got})" if error.got else error.what)
        else:
            return Selected(backend, "the fastest that runs here")
    return Selected(_running(bundle, _AUTO[-1]), "; ".join(problems), fallback=True)


def step_us(bundle: Bundle, backend: Backend, *, steps: int = 50) -> float:
    """How long a step of one stream takes, microseconds: the median, one step after the other."""
    step = _stepping(bundle, backend)
    took = []
    for _ in range(steps):
        begin = time.perf_counter_ns()
        step()
        took.append(time.perf_counter_ns() - begin)
    return statistics.median(took) / 1000


def _running(bundle: Bundle, name: str) -> Backend:
    """A backend that has run a step.

    Raises:
        BackendError: It cannot be made, or stops at its first step.
    """
    backend = BACKENDS[name](bundle)
    try:
        _stepping(bundle, backend)()
    except (ValueError, RuntimeError) as error:  # what both interpreters raise from invoke
        raise BackendError(
            f"{backend.name} cannot run the model of {bundle.path}",
            got=" ".join(str(error).split()),
            do="install the runtime version it was built for, or choose the backend reference",
        ) from error
    return backend


def _stepping(bundle: Bundle, backend: Backend) -> Callable[[], object]:
    """A step that can be repeated, from a fresh state with a frame of zeros."""
    manifest = bundle.manifest
    frame = next((t for t in manifest.inputs if t.name == manifest.input), None)
    zeros = np.zeros(0) if frame is None else np.full(frame.shape[-1], zero(frame), frame.dtype)
    states = [np.full(a.shape[-1], zero(a), a.dtype) for a, _ in state_tensors(manifest)]
    return lambda: backend.step(zeros, states)
