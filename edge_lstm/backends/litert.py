"""TFLite models through LiteRT, or through tflite-runtime where LiteRT has no wheel."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends.tensors import check_tensor
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.contracts.manifest import Tensor
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BackendError, BundleError
from edge_lstm.model_file import read_model
from edge_lstm.quiet import quiet_stderr

__all__ = ["LiteRtBackend", "interpreter_module"]

_RUNTIMES = (("ai_edge_litert.interpreter", "litert"), ("tflite_runtime.interpreter", "tflite-runtime"))


class LiteRtBackend:
    """Steps of a bundle's model on the CPU, for one stream or for a batch of them.

    A batch is run by an interpreter made for its size, rounded up to a power of two, at the
    first batch of that size and kept: about 0.2 MB for the first, 0.1 MB for one of 512
    streams of the default model.

    Args:
        bundle: A verified bundle.
        model: Which member holds the model.
        delegates: What the interpreter hands operators to, as its package loads them.

    Raises:
        BackendError: No interpreter is installed, or it refuses the model.
        BundleError: The model's tensors are not those of the manifest.
    """

    def __init__(self, bundle: Bundle, *, model: str = MODEL, delegates: Sequence[Any] = ()) -> None:
        self._factory, self.name = _interpreter_class()
        self._delegates = list(delegates)
        self._bundle, self._content = bundle, bundle.read(model)
        try:
            read_model(self._content)  # the interpreter aborts the process on some that no converter writes
        except ValueError as error:
            raise BundleError(f"{model} cannot be used: {error}", path=bundle.path) from error
        self._single = self._network(1)
        self._batches: dict[int, _Network] = {}

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance by one frame; see `edge_lstm.core.backend.Backend.step`."""
        if frame.ndim > 1:
            return self._step_batch(frame, state)
        one = self._single
        one.frame_row[...] = frame
        for i, tensor in one.rows_in:
            tensor[...] = state[i]
        one.invoke()
        for i, tensor in one.rows_out:
            state[i][...] = tensor
        return one.said_rows

    def _step_batch(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        count = len(frame)
        size = 1 << ((count - 1).bit_length() + 1 & ~1)  # powers of four: few interpreters, little to spare
        many = self._batches.get(size)
        if many is None:
            many = self._batches[size] = self._network(size)
        # Rows from `count` on hold what an earlier batch left: no row looks at another.
        many.frame[:count] = frame
        for tensor, array in zip(many.states_in, state, strict=True):
            tensor[:count] = array
        many.invoke()
        for tensor, array in zip(many.states_out, state, strict=True):
            array[...] = tensor[:count]
        return {name: tensor[:count] for name, tensor in many.said.items()}

    def _network(self, streams: int) -> _Network:
        try:
            with quiet_stderr():  # "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
                # One thread: a step takes microseconds, waking a pool takes longer.
                interpreter = self._factory(
                    model_content=self._content, num_threads=1, experimental_delegates=self._delegates
                )
                return _Network(interpreter, self._bundle, streams)
        except (ValueError, RuntimeError) as error:
            raise BackendError(
                f"{self.name} refuses the model of {self._bundle.path}: {' '.join(str(error).split())}",
                do="rebuild the bundle, or install the runtime version it was built for",
            ) from error


class _Network:
    """An interpreter for a number of streams, and its tensors as arrays.

    The arrays are the interpreter's own memory, so that nothing is allocated, and copied
    once only, in a step.

    Raises:
        ValueError, RuntimeError: The interpreter refuses the model.
        BundleError: The model's tensors are not those of the manifest.
    """

    def __init__(self, interpreter: Any, bundle: Bundle, streams: int) -> None:  # noqa: ANN401 - of either package
        manifest = bundle.manifest
        found_in = {d["name"]: d for d in interpreter.get_input_details()}
        found_out = {d["name"]: d for d in interpreter.get_output_details()}
        index_in = {t.name: _index(bundle, found_in, t) for t in manifest.inputs}
        index_out = {t.name: _index(bundle, found_out, t) for t in manifest.outputs}
        if streams > 1:
            for tensor in manifest.inputs:
                interpreter.resize_tensor_input(index_in[tensor.name], [streams, tensor.shape[-1]])
        interpreter.allocate_tensors()
        interpreter.invoke()  # whatever a runtime puts off until the first time is done by now
        pairs = state_tensors(manifest)
        outputs = [head.output for head in manifest.scoring.heads if head.output in index_out]
        self.invoke = interpreter.invoke
        self.frame = _memory(interpreter, index_in[manifest.input])
        self.states_in = [_memory(interpreter, index_in[tensor.name]) for tensor, _ in pairs]
        self.states_out = [_memory(interpreter, index_out[tensor.name]) for _, tensor in pairs]
        self.said = {name: _memory(interpreter, index_out[name]) for name in outputs}
        for array in self.said.values():
            array.flags.writeable = False
        self.frame_row = self.frame[0]
        self.rows_in = [(i, tensor[0]) for i, tensor in enumerate(self.states_in)]
        self.rows_out = [(i, tensor[0]) for i, tensor in enumerate(self.states_out)]
        self.said_rows = {name: tensor[0] for name, tensor in self.said.items()}


class _Owned:
    """Where a tensor lies, for `numpy.asarray`, and the interpreter that owns the place."""

    def __init__(self, interpreter: Any, index: int) -> None:  # noqa: ANN401 - of either package
        self.__array_interface__ = interpreter.tensor(index)().__array_interface__
        self.interpreter, self.index = interpreter, index


def _memory(interpreter: Any, index: int) -> NDArray[Any]:  # noqa: ANN401 - of either package
    """A tensor's memory as an array, (streams, width), which keeps the interpreter alive.

    `Interpreter.invoke` refuses to run while an array from `Interpreter.tensor` exists: it
    counts references to the C++ object inside, for such an array would dangle if tensors were
    allocated anew. The interpreters here never do that once they are made, so their arrays
    hold on to the Python object instead, and the public, guarded `invoke` stays in use.
    """
    return np.asarray(_Owned(interpreter, index))


def interpreter_module() -> Any:  # noqa: ANN401 - of either package
    """The package that runs TFLite models here, with ``Interpreter`` and ``load_delegate``.

    Raises:
        BackendError: None is installed.
    """
    return _runtime()[0]


def _interpreter_class() -> tuple[Any, str]:
    module, name = _runtime()
    return module.Interpreter, name


def _runtime() -> tuple[Any, str]:
    problems = []
    for module, name in _RUNTIMES:
        try:
            return importlib.import_module(module), name
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
