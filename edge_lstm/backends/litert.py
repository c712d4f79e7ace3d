"""TFLite models through LiteRT, or through tflite-runtime where LiteRT has no wheel."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_lstm.backends.tensors import check_tensor
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.contracts.manifest import Tensor
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BackendError
from edge_lstm.quiet import quiet_stderr

__all__ = ["LiteRtBackend"]

_RUNTIMES = (("ai_edge_litert.interpreter", "litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


class LiteRtBackend:
    """One step of a bundle's model on the CPU, for one stream or for a batch of them.

    Args:
        bundle: A verified bundle.
        model: Which member holds the model.
        batch: Streams in a step; null is one, whose arrays have no batch dimension.

    Raises:
        BackendError: No interpreter is installed, or it refuses the model.
        BundleError: The model's tensors are not those of the manifest.
    """

    def __init__(self, bundle: Bundle, *, model: str = MODEL, batch: int | None = None) -> None:
        factory, self.name = _interpreter_class()
        manifest = bundle.manifest
        try:
            with quiet_stderr():  # "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
                # One thread: a step takes microseconds, waking a pool takes longer.
                self._interpreter = factory(model_content=bundle.read(model), num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BackendError(
                f"{self.name} refuses the model of {bundle.path}: {' '.join(str(error).split())}",
                do="rebuild the bundle, or install the runtime version it was built for",
            ) from error
        found_in = {d["name"]: d for d in self._interpreter.get_input_details()}
        found_out = {d["name"]: d for d in self._interpreter.get_output_details()}
        index_in = {t.name: _index(bundle, found_in, t) for t in manifest.inputs}
        index_out = {t.name: _index(bundle, found_out, t) for t in manifest.outputs}
        self._frame = index_in[manifest.input]
        self._states = [(index_in[a.name], index_out[b.name]) for a, b in state_tensors(manifest)]
        heads = (head.output for head in manifest.scoring.heads)
        self._heads = {output: index_out[output] for output in heads if output in index_out}
        self._pick = slice(None) if batch is not None else 0
        if batch is not None:
            self._resize(batch, [(t.shape[-1], index_in[t.name]) for t in manifest.inputs])

    def _resize(self, batch: int, inputs: Sequence[tuple[int, int]]) -> None:
        for width, index in inputs:
            self._interpreter.resize_tensor_input(index, [batch, width])
        self._interpreter.allocate_tensors()

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance by one frame; see `edge_lstm.core.backend.Backend.step`.

        With a batch, every array has it as its first dimension.
        """
        interpreter, pick = self._interpreter, self._pick
        interpreter.set_tensor(self._frame, np.atleast_2d(frame))
        for (index, _), array in zip(self._states, state, strict=True):
            interpreter.set_tensor(index, np.atleast_2d(array))
        interpreter.invoke()
        for (_, index), array in zip(self._states, state, strict=True):
            array[:] = interpreter.get_tensor(index)[pick]
        return {name: interpreter.get_tensor(index)[pick] for name, index in self._heads.items()}


def _interpreter_class() -> tuple[Any, str]:
    problems = []
    for module, name in _RUNTIMES:
        try:
            return importlib.import_module(module).Interpreter, name
        except ImportError as error:
            problems.append(f"{name}: {error}")
    raise BackendError(
        "no TFLite interpreter on this board",
        got="; ".join(problems),
        do="pip install ai-edge-litert (or tflite-runtime on Python 3.11, 32-bit), "
        "or choose the backend reference",
    )


def _index(bundle: Bundle, details: Mapping[str, Mapping[str, Any]], said: Tensor) -> int:
    """The interpreter's index of a tensor, which must be exactly what the manifest says."""
    check_tensor(bundle, said, {name: _tensor(name, detail) for name, detail in details.items()})
    return int(details[said.name]["index"])


def _tensor(name: str, detail: Mapping[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    shape = tuple(int(n) for n in detail["shape"])
    return Tensor(name, shape, np.dtype(detail["dtype"]).name, float(scale), int(zero_point))
