"""A model as steps of integers: what the reference kernel runs, and what C is made from.

Every tensor is (batch, width), int8; a step reads and writes tensors by their index in the graph.
`edge_lstm.backends.compiler` makes a program of a graph; `edge_lstm.backends.reference` says what
each step computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends.fixed_point import Function, Scaling
from edge_lstm.model_file import Graph

__all__ = [
    "Add",
    "Concatenate",
    "FullyConnected",
    "Lookup",
    "Mul",
    "Program",
    "Slice",
    "Softmax",
    "Step",
    "reads",
]


@dataclass(frozen=True, slots=True, eq=False)
class FullyConnected:
    """output = (input - input_zero) @ weights.T + bias, scaled, + output_zero.

    Attributes:
        input: Tensor, (batch, columns).
        output: Tensor, (batch, rows).
        weights: int8, (rows, columns); their zero point is 0.
        bias: int32, (rows,); zeros where the model has none.
        input_zero: Zero point.
        output_zero: Zero point.
        multiplier: int64, one for all rows, (1,), or one a row, (rows,).
        shift: int64, as `multiplier`.
    """

    input: int
    output: int
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    input_zero: int
    output_zero: int
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Add:
    """output = a + sign * b: ADD and SUB. Either term may be a constant, and then also of width 1.

    Attributes:
        a: Tensor.
        b: Tensor.
        output: Tensor.
        sign: 1 for ADD, -1 for SUB.
        a_zero: Zero point.
        b_zero: Zero point.
        output_zero: Zero point.
        a_scaling: A whole factor: to the scale that the terms are added in.
        b_scaling: A whole factor, to the same scale.
        output_scaling: From there to the output's scale: a power of two.
    """

    a: int
    b: int
    output: int
    sign: Literal[1, -1]
    a_zero: int
    b_zero: int
    output_zero: int
    a_scaling: Scaling
    b_scaling: Scaling
    output_scaling: Scaling


@dataclass(frozen=True, slots=True)
class Mul:
    """output = a * b. Either factor may be a constant, and then also of width 1.

    Attributes:
        a: Tensor.
        b: Tensor.
        output: Tensor.
        a_zero: Zero point.
        b_zero: Zero point.
        output_zero: Zero point.
        scaling: From the product of the scales to the output's.
    """

    a: int
    b: int
    output: int
    a_zero: int
    b_zero: int
    output_zero: int
    scaling: Scaling


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """output = table[input]: LOGISTIC and TANH.

    Attributes:
        input: Tensor.
        output: Tensor.
        function: Which of the two.
        table: int8, (256,), by the input as an unsigned byte.
    """

    input: int
    output: int
    function: Function
    table: NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """Softmax over the width; the output's scale is 1/256 and its zero point -128.

    Attributes:
        input: Tensor.
        output: Tensor.
        exps: exp of minus a distance of 0 to 255 from the greatest, in 2 ** -`EXP_BITS`, (256,).
    """

    input: int
    output: int
    exps: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slice:
    """output = input[:, start:stop]: STRIDED_SLICE, SLICE, and each part of a SPLIT."""

    input: int
    output: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Concatenate:
    """output = inputs side by side."""

    inputs: tuple[int, ...]
    output: int


Step = FullyConnected | Add | Mul | Lookup | Softmax | Slice | Concatenate


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A model as steps.

    Attributes:
        graph: What it was made from: names, widths, scales, inputs and outputs.
        steps: In order of execution.
        constants: Tensor to content, (width,), of the constants that `Add` and `Mul` read.
    """

    graph: Graph
    steps: tuple[Step, ...]
    constants: Mapping[int, NDArray[np.int8]]

    def width(self, tensor: int) -> int:
        """Numbers of a tensor a stream; 1 for a constant that stands for every place."""
        return int(np.prod(self.graph.tensors[tensor].shape))


def reads(step: Step) -> tuple[int, ...]:
    """The tensors that a step reads, in the order of its rule's operands."""
    match step:
        case Add() | Mul():
            return step.a, step.b
        case Concatenate():
            return step.inputs
        case _:
            return (step.input,)
