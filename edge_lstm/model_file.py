"""A TFLite model file opened up without an interpreter: its tensors, constants and operators.

For what has to know the graph itself: the reference kernel, the C export, the check for the
Edge TPU. Field numbers are those of the TFLite schema, version 3 (tensorflow/lite/schema/schema.fbs);
a field's slot in its table is 4 + 2 * number.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import number_types as N  # noqa: N812 - as its own generated code calls it
from flatbuffers.table import Table
from numpy.typing import NDArray

__all__ = ["Graph", "GraphTensor", "Operator", "read_model"]

_Kind = type[object]  # one of flatbuffers' number types
_IDENTIFIER = b"TFL3"
_MOST_TENSORS = 10_000
_MOST_NUMBERS, _MOST_AXES = 2**22, 8
_LEAST_SCALE = 1e-15
_MOST_BETA = 100.0
_LEAST_INPUTS = {
    "ADD": 2,
    "CONCATENATION": 1,
    "FULLY_CONNECTED": 2,
    "LOGISTIC": 1,
    "MUL": 2,
    "RESHAPE": 1,
    "SLICE": 3,
    "SOFTMAX": 1,
    "SPLIT": 2,
    "STRIDED_SLICE": 4,
    "SUB": 2,
    "TANH": 1,
}
"""Operator to the inputs that it cannot be without."""
_OF_VECTORS = frozenset({"FULLY_CONNECTED", "LOGISTIC", "SLICE", "SOFTMAX", "SPLIT", "STRIDED_SLICE", "TANH"})
_DTYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}
_OPERATORS = {
    0: "ADD",
    2: "CONCATENATION",
    6: "DEQUANTIZE",
    9: "FULLY_CONNECTED",
    14: "LOGISTIC",
    18: "MUL",
    22: "RESHAPE",
    25: "SOFTMAX",
    28: "TANH",
    32: "CUSTOM",
    39: "TRANSPOSE",
    41: "SUB",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    45: "STRIDED_SLICE",
    49: "SPLIT",
    65: "SLICE",
    83: "PACK",
    88: "UNPACK",
    114: "QUANTIZE",
    126: "BATCH_MATMUL",
}
_OPTIONS: Mapping[str, tuple[tuple[str, int, _Kind], ...]] = {
    "ADD": (("activation", 0, N.Int8Flags),),
    "SUB": (("activation", 0, N.Int8Flags),),
    "MUL": (("activation", 0, N.Int8Flags),),
    "FULLY_CONNECTED": (("activation", 0, N.Int8Flags), ("weights_format", 1, N.Int8Flags)),
    "CONCATENATION": (("axis", 0, N.Int32Flags), ("activation", 1, N.Int8Flags)),
    "SOFTMAX": (("beta", 0, N.Float32Flags),),
    "SPLIT": (("num_splits", 0, N.Int32Flags),),
    "STRIDED_SLICE": tuple(
        (f"{name}_mask", i, N.Int32Flags)
        for i, name in enumerate(("begin", "end", "ellipsis", "new_axis", "shrink_axis"))
    ),
}
"""Operator to (option, field number, type) of those that change what it computes; absent is 0."""


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """One tensor of a graph.

    Attributes:
        name: Its name in the file.
        shape: Its shape; empty for a scalar.
        dtype: NumPy's name of the type.
        scales: Quantization scales: none, one, or one a row of `axis`.
        zero_points: As many zero points.
        axis: Dimension that has a scale each, where there are several.
        data: The content of a constant, in its shape; ``None`` of what is computed.
        signature: Its shape with -1 for every dimension that may be resized; empty when none may.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: NDArray[Any] | None
    signature: tuple[int, ...] = ()

    @property
    def scale(self) -> float:
        """The one scale; 0.0 without quantization."""
        return self.scales[0] if self.scales else 0.0

    @property
    def zero_point(self) -> int:
        """The one zero point; 0 without quantization."""
        return self.zero_points[0] if self.zero_points else 0


@dataclass(frozen=True, slots=True)
class Operator:
    """One operation, in order of execution.

    Attributes:
        name: ``FULLY_CONNECTED`` for example; ``CUSTOM:<its name>`` of one that TFLite does not have,
            ``BUILTIN_<number>`` of one that no model of ours has.
        version: Version of the operator that the file asks for.
        inputs: Indices of tensors; -1 is an optional one that is absent.
        outputs: Indices of tensors.
        options: What changes the computation; ``activation`` is 0 for none.
    """

    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Graph:
    """The only subgraph of a model."""

    tensors: tuple[GraphTensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def index(self, name: str) -> int:
        """The input or output tensor of that name; inputs first.

        Raises:
            ValueError: There is none.
        """
        for i in (*self.inputs, *self.outputs):
            if self.tensors[i].name == name:
                return i
        raise ValueError(f"model has no input or output '{name}'")


def read_model(content: bytes) -> Graph:
    """Open a ``.tflite`` file.

    Args:
        content: The file; its digest should have been verified.

    Raises:
        ValueError: It is not a model, is damaged, or has more than one subgraph.
    """
    if content[4:8] != _IDENTIFIER:
        raise ValueError("not a TFLite model: it does not say TFL3")
    try:
        return _graph(bytearray(content))
    except (struct.error, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged TFLite model: {str(error) or type(error).__name__}") from error


def _graph(raw: bytearray) -> Graph:
    root = Table(raw, flatbuffers.encode.Get(N.UOffsetTFlags.packer_type, raw, 0))
    subgraphs = list(_tables(root, 2))
    if len(subgraphs) != 1:
        raise ValueError(f"expected a model of one subgraph, got {len(subgraphs)}")
    graph = subgraphs[0]
    codes = [_code(code) for code in _tables(root, 1)]
    buffers = list(_tables(root, 4))
    tensors = tuple(_tensor(table, buffers) for table in _tables(graph, 0))
    operators = tuple(_operator(table, codes, len(tensors)) for table in _tables(graph, 3))
    ends = [tuple(_known(i, len(tensors)) for i in _numbers(graph, field, N.Int32Flags)) for field in (1, 2)]
    found = Graph(tensors, operators, ends[0], ends[1])
    for problem in _problems(found):
        raise ValueError(f"unusable TFLite model: {problem}")
    return found


def _problems(graph: Graph) -> Iterator[str]:
    """What no converter writes, and kernels loop, overflow or abort on."""
    for i, tensor in enumerate(graph.tensors):
        if math.prod(tensor.shape) > _MOST_NUMBERS or len(tensor.shape) > _MOST_AXES:
            yield f"tensor {i} is too large"
        if any(not _LEAST_SCALE <= scale <= 1 / _LEAST_SCALE for scale in tensor.scales):
            yield f"tensor {i} has a scale that is no scale"
    ready = {i for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    if ready & set(graph.inputs):
        yield "an input of the model is a constant"
    ready |= set(graph.inputs)
    for n, op in enumerate(graph.operators):
        for problem in (_misused(op, graph.tensors), _misplaced(op, ready)):
            if problem:
                yield f"operator {n}, {op.name}, {problem}"
        ready |= set(op.outputs)
    if not ready.issuperset(graph.outputs):
        yield "an output is never computed"


def _misused(op: Operator, tensors: tuple[GraphTensor, ...]) -> str:
    """What is wrong with the operands of an operator; empty for nothing."""
    least = _LEAST_INPUTS.get(op.name, 0)
    if len(op.inputs) < least or -1 in op.inputs[:least] or not op.outputs:
        return "lacks an input or output"
    data = [i for i in op.inputs if i >= 0 and tensors[i].data is None]
    data += [op.inputs[1 if op.name == "SPLIT" else 0]] if op.name in _OF_VECTORS else []
    if least and any(not tensors[i].shape for i in (*data, *op.outputs)):
        return "takes or gives a scalar"
    if op.name == "SOFTMAX" and not 0 < op.options["beta"] <= _MOST_BETA:
        return "has no usable beta"
    return ""


def _misplaced(op: Operator, ready: set[int]) -> str:
    """Whether an operator reads what is not there yet, or writes what is; empty when it does not."""
    if not ready.issuperset(i for i in op.inputs if i >= 0):
        return "reads what is not computed yet"
    if len(set(op.outputs)) != len(op.outputs) or ready & set(op.outputs):
        return "writes what is there already"
    return ""


def _code(table: Table) -> tuple[str, int]:
    number = int(max(_scalar(table, 0, N.Int8Flags, 0), _scalar(table, 3, N.Int32Flags, 0)))
    name = _OPERATORS.get(number, f"BUILTIN_{number}")
    version = int(_scalar(table, 2, N.Int32Flags, 1))
    return f"{name}:{_text(table, 1)}" if name == "CUSTOM" else name, version


def _operator(table: Table, codes: list[tuple[str, int]], tensors: int) -> Operator:
    name, version = codes[int(_scalar(table, 0, N.Uint32Flags, 0))]
    offset = table.Offset(_slot(4))
    chosen = {said: 0.0 for said, _, _ in _OPTIONS.get(name, ())}
    if offset and name in _OPTIONS:
        options = Table(table.Bytes, table.Indirect(table.Pos + offset))
        chosen = {said: _scalar(options, field, kind, 0) for said, field, kind in _OPTIONS[name]}
    inputs = tuple(_known(i, tensors, least=-1) for i in _numbers(table, 1, N.Int32Flags))
    outputs = tuple(_known(i, tensors) for i in _numbers(table, 2, N.Int32Flags))
    return Operator(name, version, inputs, outputs, chosen)


def _known(index: int, count: int, *, least: int = 0) -> int:
    if not least <= index < count:
        raise IndexError(f"tensor {index} of {count}")
    return index


def _tensor(table: Table, buffers: list[Table]) -> GraphTensor:
    shape = tuple(_numbers(table, 0, N.Int32Flags))
    number = int(_scalar(table, 1, N.Int8Flags, 0))
    dtype = _DTYPES.get(number, f"type {number}")
    data = _bytes(buffers[int(_scalar(table, 2, N.Uint32Flags, 0))])
    array = None
    if data:
        array = np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    offset = table.Offset(_slot(4))
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis = 0
    if offset:
        facts = Table(table.Bytes, table.Indirect(table.Pos + offset))
        scales = tuple(_reals(facts, 2, N.Float32Flags))
        zero_points = tuple(_numbers(facts, 3, N.Int64Flags))
        axis = int(_scalar(facts, 6, N.Int32Flags, 0))
    if len(scales) != len(zero_points) or not all(math.isfinite(s) and s > 0 for s in scales):
        raise ValueError("damaged TFLite model: a tensor's scales and zero points do not fit together")
    signature = tuple(_numbers(table, 7, N.Int32Flags))
    return GraphTensor(_text(table, 3), shape, dtype, scales, zero_points, axis, array, signature)


# ------------------------------------------------------------------------------ fields of a table


def _slot(field: int) -> int:
    return 4 + 2 * field


def _scalar(table: Table, field: int, kind: _Kind, absent: float) -> float:
    offset = table.Offset(_slot(field))
    found: float = table.Get(kind, table.Pos + offset) if offset else absent
    return found


def _text(table: Table, field: int) -> str:
    offset = table.Offset(_slot(field))
    return table.String(table.Pos + offset).decode() if offset else ""


def _vector(table: Table, field: int, width: int) -> tuple[int, int]:
    """(start, length) of a vector that lies within the file."""
    offset = table.Offset(_slot(field))
    if not offset:
        return 0, 0
    start, length = table.Vector(offset), table.VectorLen(offset)
    if start + length * width > len(table.Bytes):
        raise IndexError("a vector beyond the end of the file")
    return start, length


def _numbers(table: Table, field: int, kind: _Kind) -> list[int]:
    return [int(number) for number in _reals(table, field, kind)]


def _reals(table: Table, field: int, kind: _Kind) -> list[float]:
    width: int = kind.bytewidth  # type: ignore[attr-defined]  # flatbuffers has no types
    start, length = _vector(table, field, width)
    return [table.Get(kind, start + i * width) for i in range(length)]


def _bytes(table: Table) -> bytes:
    start, length = _vector(table, 0, 1)
    return bytes(table.Bytes[start : start + length])


def _tables(table: Table, field: int) -> Iterator[Table]:
    start, length = _vector(table, field, 4)
    if length > _MOST_TENSORS:
        raise IndexError(f"{length} entries in one table")
    for i in range(length):
        yield Table(table.Bytes, table.Indirect(start + 4 * i))
