"""TFLite models through LiteRT, or through tflite-runtime where LiteRT has no wheel."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.contracts.manifest import Tensor
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BackendError, BundleError
from edge_lstm.quiet import quiet_stderr

__all__ = ["LiteRtBackend"]

_RUNTIMES = (("ai_edge_litert.interpreter", "litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


class LiteRtBackend:
    """One step of a bundle's model, one stream at a time, on the CPU.

    Args:
        bundle: A verified bundle.
        model: Which member holds the model.

    Raises:
        BackendError: No interpreter is installed, or it refuses the model.
        BundleError: The model's tensors are not those of the manifest.
    """

    def __init__(self, bundle: Bundle, *, model: str = MODEL) -> None:
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
        self._heads = {head.output: index_out[head.output] for head in manifest.scoring.heads if head.output}

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance one stream by one frame; see `edge_lstm.core.backend.Backend.step`."""
        interpreter = self._interpreter
        interpreter.set_tensor(self._frame, frame[None])
        for (index, _), array in zip(self._states, state, strict=True):
            interpreter.set_tensor(index, array[None])
        interpreter.invoke()
        for (_, index), array in zip(self._states, state, strict=True):
            array[:] = interpreter.get_tensor(index)[0]
        return {name: interpreter.get_tensor(index)[0] for name, index in self._heads.items()}


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
        do="pip install ai-edge-litert (or tflite-runtime on Python 3.11, 32-bit)",
    )


def _index(bundle: Bundle, found: Mapping[str, Mapping[str, Any]], said: Tensor) -> int:
    """The interpreter's index of a tensor, which must be exactly what the manifest says.

    Looked up by name: hidden and cell have the same shape, so a pairing by position
    that swaps them would run and give plausible nonsense.
    """
    detail = found.get(said.name)
    if detail is None:
        raise BundleError(
            f"model has no tensor '{said.name}'", path=bundle.path, got=", ".join(sorted(found)) or "none"
        )
    scale, zero_point = detail["quantization"]
    real = Tensor(
        said.name,
        tuple(int(n) for n in detail["shape"]),
        np.dtype(detail["dtype"]).name,
        float(scale),
        int(zero_point),
    )
    if real != said:
        raise BundleError(
            f"tensor '{said.name}' is not the one the manifest describes",
            path=bundle.path,
            expected=f"{said}",
            got=f"{real}",
        )
    return int(detail["index"])
