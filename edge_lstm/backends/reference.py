"""The reference kernel: one step of an int8 model in whole numbers, with NumPy alone.

It defines what a model computes. It is the oracle of the tests, what exported C must equal bit for
bit, and the fall-back on boards that no TFLite interpreter has a wheel for.

Each operator is a function below: a rule on int8 numbers whose last axis is the tensor's width,
with its source. Wherever a real factor is needed there is one rounding, to the nearest and half
up (`multiply_by_quantized_multiplier`). docs/explain-quantization.md has the rules as a table, and
how far TFLite's reference kernels and XNNPACK stray from each.

`ReferenceBackend` runs the rules, most of them from tables: an operator on two int8 numbers has
only 65,536 answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends.compiler import program_of
from edge_lstm.backends.fixed_point import HIGH, LOW, multiply_by_quantized_multiplier, saturate
from edge_lstm.backends.program import (
    Add,
    Concatenate,
    FullyConnected,
    Lookup,
    Mul,
    Slice,
    Softmax,
    Step,
    reads,
)
from edge_lstm.backends.tensors import check_tensor
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.contracts.manifest import Tensor
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BundleError
from edge_lstm.model_file import Graph, read_model

__all__ = [
    "ReferenceBackend",
    "add",
    "compute",
    "concatenate",
    "fully_connected",
    "lookup",
    "mul",
    "slice_",
    "softmax",
]

Bytes = NDArray[np.int8]
Integers = NDArray[np.int64]

# ------------------------------------------------------------------------------------- the rules


def fully_connected(op: FullyConnected, x: Bytes) -> Bytes:
    """FULLY_CONNECTED: products of int8, summed with the bias exactly, scaled and rounded once.

    Source: tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h, whose sum is
    an int32; ours is never narrower. XNNPACK scales the sum in single precision (x86) or by a
    multiplier of 24 bits (Arm): one off in about one of 100,000.
    """
    total = _centred(x, op.input_zero) @ op.weights.T.astype(np.int64) + op.bias
    return saturate(multiply_by_quantized_multiplier(total, op.multiplier, op.shift) + op.output_zero)


def add(op: Add, a: Bytes, b: Bytes) -> Bytes:
    """ADD and SUB: each term times a whole number of at most 21 bits; their sum is rounded once.

    Source: the kernels `qs8-vadd` of XNNPACK, whose factors are the same on every processor. TFLite's
    own (`AddFunc` of tensorflow/lite/kernels/internal/reference/integer_ops/add.h) have factors of
    31 bits and round three times, which is one off in about one of 10,000 sums.
    """
    first = multiply_by_quantized_multiplier(_centred(a, op.a_zero), *op.a_scaling)
    second = multiply_by_quantized_multiplier(_centred(b, op.b_zero), *op.b_scaling)
    total = first + op.sign * second
    return saturate(multiply_by_quantized_multiplier(total, *op.output_scaling) + op.output_zero)


def mul(op: Mul, a: Bytes, b: Bytes) -> Bytes:
    """MUL: the product, scaled and rounded once.

    Source: `MulElementwise` of tensorflow/lite/kernels/internal/reference/integer_ops/mul.h.
    TFLite's own build rounds twice here (gemmlowp's `SaturatingRoundingDoublingHighMul`, then
    `RoundingDivideByPOT`), which is one off in about 1 % of the products; XNNPACK rounds once.
    """
    product = _centred(a, op.a_zero) * _centred(b, op.b_zero)
    return saturate(multiply_by_quantized_multiplier(product, *op.scaling) + op.output_zero)


def lookup(op: Lookup, x: Bytes) -> Bytes:
    """LOGISTIC and TANH: a table of 256 answers; see `edge_lstm.backends.fixed_point.lookup_table`."""
    return op.table.take(x.view(np.uint8))


def softmax(op: Softmax, x: Bytes) -> Bytes:
    """SOFTMAX: each exponential's share of their sum in 256ths, to the nearest and half up.

    The exponentials of the distances to the greatest are whole numbers from a table. TFLite does
    the same with a table, sum and quotient in single precision (`Softmax` of
    tensorflow/lite/kernels/internal/optimized/optimized_ops.h), which is no integer arithmetic and
    depends on the order of the sum: a share within about 2 ** -14 of a half can come out one off.
    """
    wide = x.astype(np.int64)
    exps = op.exps[wide.max(axis=-1, keepdims=True) - wide]
    total = exps.sum(axis=-1, keepdims=True)
    return saturate((512 * exps + total) // (2 * total) + LOW)


def slice_(op: Slice, x: Bytes) -> Bytes:
    """SPLIT, STRIDED_SLICE and SLICE: numbers as they are."""
    return x[..., op.start : op.stop]


def concatenate(_op: Concatenate, *inputs: Bytes) -> Bytes:
    """CONCATENATION: numbers as they are; all inputs have the output's scale."""
    return np.concatenate(inputs, axis=-1)


def compute(op: Step, *operands: Bytes) -> Bytes:
    """What an operator gives by its rule, for operands in the order of `reads`."""
    rule: Callable[..., Bytes] = _RULES[type(op)]
    return rule(op, *operands)


_RULES: Mapping[type, Callable[..., Bytes]] = {
    Add: add,
    Concatenate: concatenate,
    FullyConnected: fully_connected,
    Lookup: lookup,
    Mul: mul,
    Slice: slice_,
    Softmax: softmax,
}


def _centred(q: Bytes, zero_point: int) -> Integers:
    return q.astype(np.int64) - zero_point


# ---------------------------------------------------------------------------------- the backend


class ReferenceBackend:
    """One step of a bundle's model, for one stream or for any number of them.

    Args:
        bundle: A verified bundle.
        model: Which member holds the model.

    Raises:
        BackendError: The model has an operator that our training never makes.
        BundleError: It is no model, or its tensors are not those of the manifest.
    """

    name = "reference"

    def __init__(self, bundle: Bundle, *, model: str = MODEL) -> None:
        try:
            graph = read_model(bundle.read(model))
        except ValueError as error:
            raise BundleError(f"{model}: {error}", path=bundle.path, do="build the bundle again") from error
        manifest = bundle.manifest
        inputs, outputs = _named(graph, graph.inputs), _named(graph, graph.outputs)
        for said in manifest.inputs:
            check_tensor(bundle, said, inputs)
        for said in manifest.outputs:
            check_tensor(bundle, said, outputs)
        program = program_of(graph)
        self._frame = graph.index(manifest.input)
        self._states = [(graph.index(a.name), graph.index(b.name)) for a, b in state_tensors(manifest)]
        heads = {head.output for head in manifest.scoring.heads}
        self._heads = {t.name: graph.index(t.name) for t in manifest.outputs if t.name in heads}
        self._steps = [
            (_kernel(op, view=op.output not in graph.outputs), reads(op), op.output) for op in program.steps
        ]
        self._tensors: list[NDArray[Any]] = [
            program.constants.get(i, _NOTHING) for i in range(len(graph.tensors))
        ]

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance by one frame; see `edge_lstm.core.backend.Backend.step`.

        A batch has the streams as the first dimension of every array, as many as there are.
        """
        tensors = self._tensors
        tensors[self._frame] = frame
        for (before, _), array in zip(self._states, state, strict=True):
            tensors[before] = array
        for kernel, operands, output in self._steps:
            tensors[output] = kernel(*[tensors[i] for i in operands])
        for (_, after), array in zip(self._states, state, strict=True):
            array[:] = tensors[after]
        return {name: tensors[index] for name, index in self._heads.items()}


_NOTHING: Bytes = np.zeros(0, np.int8)
_Kernel = Callable[..., Bytes]


def _named(graph: Graph, indices: Sequence[int]) -> dict[str, Tensor]:
    found = (graph.tensors[i] for i in indices)
    return {t.name: Tensor(t.name, t.shape, t.dtype, t.scale, t.zero_point) for t in found}


def _kernel(op: Step, *, view: bool) -> _Kernel:
    """The operator's rule, made fast where that is exact.

    Args:
        op: The operator.
        view: Whether the result may share memory with an operand.
    """
    match op:
        case FullyConnected():
            return _matmul(op)
        case Add() | Mul():
            return _table(op)
        case Slice() if not view:
            return lambda x: slice_(op, x).copy()
        case _:
            return partial(_RULES[type(op)], op)


def _table(op: Add | Mul) -> _Kernel:
    """All answers to two int8 numbers, by both as one unsigned number of 16 bits."""
    every = np.arange(256, dtype=np.uint8).view(np.int8)
    table = compute(op, every[:, None], every[None, :]).ravel()

    def look_up(a: Bytes, b: Bytes) -> Bytes:
        high = a.view(np.uint8).astype(np.uint16) << 8
        return table.take(high | b.view(np.uint8))

    return look_up


def _matmul(op: FullyConnected) -> _Kernel:
    """As one matmul of doubles, which is exact, or by the rule where that cannot be shown.

    Zero points, bias, factor and the half that is added before rounding down go into the weights
    and one constant a row. Each of them, and so every product and every partial sum in whatever
    order, is a whole multiple of 2 ** (shift - 31); as long as none reaches 2 ** 53 of these, a
    double holds it exactly.
    """
    weights = op.weights.astype(object)  # Python's integers: without a width
    right = [31 - int(shift) for shift in np.broadcast_to(op.shift, op.bias.shape)]
    factors = [int(m) for m in np.broadcast_to(op.multiplier, op.bias.shape)]
    scaled = [[int(w) * m for w in row] for row, m in zip(weights, factors, strict=True)]
    constant = [
        (int(bias) - op.input_zero * int(row.sum())) * m + (1 << (r - 1)) + (op.output_zero << r)
        for bias, row, m, r in zip(op.bias, weights, factors, right, strict=True)
    ]
    most = max(-LOW * sum(map(abs, row)) + abs(c) for row, c in zip(scaled, constant, strict=True))
    if most >= 2**53:
        return lambda x: fully_connected(op, x)
    unit = np.ldexp(1.0, [-r for r in right])
    matrix = np.ascontiguousarray((np.array(scaled, np.float64) * unit[:, None]).T)
    offset = np.array(constant, np.float64) * unit

    def multiply(x: Bytes) -> Bytes:
        total = x.astype(np.float64) @ matrix
        total += offset
        total.clip(LOW, HIGH, out=total)
        whole: Bytes = np.floor(total, out=total).astype(np.int8)
        return whole

    return multiply
