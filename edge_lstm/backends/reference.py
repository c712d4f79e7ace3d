"""The reference kernel: one step of an int8 model in integers, readable, with NumPy alone.

It is the definition of what a model computes: the oracle of the tests, what the C export must
equal bit for bit, and the fall-back on boards that no TFLite interpreter has a wheel for. Each
operator below is a rule on whole numbers, (batch, width), with its source; the constants are made
once by `edge_lstm.backends.compiler`. docs/explain-quantization.md has the rules as a table, with
how far TFLite's own kernels and XNNPACK stray from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends.compiler import program_of
from edge_lstm.backends.fixed_point import LOW, EXP_BITS, multiply_by_quantized_multiplier, saturate
from edge_lstm.backends.program import (
    ADD_SHIFT,
    Add,
    Concatenate,
    FullyConnected,
    Lookup,
    Mul,
    Program,
    Slice,
    Softmax,
    Step,
)

__all__ = ["add", "concatenate", "fully_connected", "lookup", "mul", "run", "slice_", "softmax"]

Bytes = NDArray[np.int8]


def fully_connected(op: FullyConnected, x: Bytes) -> Bytes:
    acc = (x.astype(np.int64) - op.input_zero) @ op.weights.T.astype(np.int64) + op.bias
    return saturate(multiply_by_quantized_multiplier(acc, op.multiplier, op.shift) + op.output_zero)


def add(op: Add, a: Bytes, b: Bytes) -> Bytes:
    first = multiply_by_quantized_multiplier((a.astype(np.int64) - op.a_zero) << ADD_SHIFT, *op.a_scaling)
    second = multiply_by_quantized_multiplier((b.astype(np.int64) - op.b_zero) << ADD_SHIFT, *op.b_scaling)
    return saturate(
        multiply_by_quantized_multiplier(first + op.sign * second, *op.output_scaling) + op.output_zero
    )


def mul(op: Mul, a: Bytes, b: Bytes) -> Bytes:
    product = (a.astype(np.int64) - op.a_zero) * (b.astype(np.int64) - op.b_zero)
    return saturate(multiply_by_quantized_multiplier(product, *op.scaling) + op.output_zero)


def lookup(op: Lookup, x: Bytes) -> Bytes:
    return op.table[x]


def softmax(op: Softmax, x: Bytes) -> Bytes:
    wide = x.astype(np.int64)
    exps = op.exps[wide.max(axis=-1, keepdims=True) - wide]
    total = exps.sum(axis=-1, keepdims=True)
    return saturate((512 * exps + total) // (2 * total) + LOW)


def slice_(op: Slice, x: Bytes) -> Bytes:
    return x[..., op.start : op.stop]


def concatenate(op: Concatenate, *inputs: Bytes) -> Bytes:
    return np.concatenate(inputs, axis=-1)


def run(program: Program, tensors: dict[int, Bytes]) -> None:
    """Run, slowly: the rules themselves."""
    t = tensors
    t.update(program.constants)
    for op in program.steps:
        match op:
            case FullyConnected():
                t[op.output] = fully_connected(op, t[op.input])
            case Add():
                t[op.output] = add(op, t[op.a], t[op.b])
            case Mul():
                t[op.output] = mul(op, t[op.a], t[op.b])
            case Lookup():
                t[op.output] = lookup(op, t[op.input])
            case Softmax():
                t[op.output] = softmax(op, t[op.input])
            case Slice():
                t[op.output] = slice_(op, t[op.input])
            case Concatenate():
                t[op.output] = concatenate(op, *(t[i] for i in op.inputs))
