"""Compiles a model's graph to steps of integers; refuses what our training never makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from edge_lstm.backends.fixed_point import Function, exp_table, lookup_table, quantize_multiplier
from edge_lstm.backends.program import (
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
from edge_lstm.errors import BackendError
from edge_lstm.model_file import Graph, GraphTensor, Operator

__all__ = ["program_of"]

_ADD_BITS, _MOST_ADD_SHIFT = 21, 30
"""Bits of an ADD's greater factor, and the farthest its sum is shifted: both fit 32 bits."""

_MOST_SOFTMAX = 256
"""Widest SOFTMAX: the sum of so many exponentials of `EXP_BITS` bits, doubled, fits 32 bits."""


def program_of(graph: Graph) -> Program:
    """Compile a model.

    Raises:
        BackendError: It has an operator, a type or a form that our training never makes.
    """
    steps: list[Step] = []
    known = {*graph.inputs}
    for number, op in enumerate(graph.operators):
        compiler = _COMPILERS.get(op.name)
        refuse = partial(_refuse, f"{op.name} (operator {number})")
        if compiler is None:
            raise refuse("unknown operator", expected=", ".join(_COMPILERS))
        if op.options.get("activation", 0):
            raise refuse("a fused activation")
        read = [i for i in op.inputs if i >= 0 and graph.tensors[i].data is None]
        if not op.inputs or not op.outputs or not known.issuperset(read):
            raise refuse("an operand that nothing has written")
        for i in (*read, *op.outputs):
            _check_tensor(graph.tensors[i], refuse)
        steps += compiler(graph, op, refuse)
        known.update(op.outputs)
    if not known.issuperset(graph.outputs):
        raise _refuse("the model", "an output that nothing writes")
    used = {i for step in steps if isinstance(step, Add | Mul) for i in (step.a, step.b)}
    constants = {i: data.ravel() for i in sorted(used) if (data := graph.tensors[i].data) is not None}
    return Program(graph, tuple(steps), constants)


_Refuse = Callable[..., BackendError]


def _refuse(where: str, what: str, *, expected: str | None = None, got: str | None = None) -> BackendError:
    return BackendError(
        f"the reference kernel cannot run {where}: {what}",
        expected=expected,
        got=got,
        do="run the model with LiteRT, or train it with the settings of train.yaml alone",
    )


def _check_tensor(tensor: GraphTensor, refuse: _Refuse) -> None:
    if tensor.dtype != "int8" or len(tensor.scales) != 1 or not -128 <= tensor.zero_point <= 127:
        raise refuse(f"tensor '{tensor.name}'", expected="int8 with one scale", got=tensor.dtype)
    if len(tensor.shape) != 2 or tensor.shape[0] != 1:
        raise refuse(f"tensor '{tensor.name}'", expected="shape (1, width)", got=f"{tensor.shape}")


def _operands(graph: Graph, op: Operator, count: int, refuse: _Refuse) -> list[GraphTensor]:
    if len(op.inputs) < count or min(op.inputs[:count]) < 0 or len(op.outputs) != 1:
        raise refuse("operands", expected=f"{count} in and one out", got=f"{op.inputs} and {op.outputs}")
    return [graph.tensors[i] for i in (*op.inputs[:count], op.outputs[0])]


def _fully_connected(graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    """Source: `PopulateConvolutionQuantizationParams` of tensorflow/lite/kernels/kernel_util.cc."""
    x, weights, out = _operands(graph, op, 2, refuse)
    rows, columns = out.shape[-1], x.shape[-1]
    if weights.data is None or weights.dtype != "int8" or weights.shape != (rows, columns):
        raise refuse("weights", expected=f"constant int8 ({rows}, {columns})", got=f"{weights.shape}")
    a_row = len(weights.scales) > 1
    if len(weights.scales) not in {1, rows} or any(weights.zero_points) or (a_row and weights.axis != 0):
        raise refuse("weights", expected="zero point 0, one scale or one a row")
    bias = np.zeros(rows, np.int32)
    if len(op.inputs) > 2 and op.inputs[2] >= 0:
        said = graph.tensors[op.inputs[2]]
        if said.data is None or said.dtype != "int32" or said.shape != (rows,):
            raise refuse("bias", expected=f"constant int32 ({rows},)", got=f"{said.dtype} {said.shape}")
        bias = said.data.astype(np.int32)
    if op.options.get("weights_format", 0):
        raise refuse("shuffled weights")
    scalings = np.array(
        [quantize_multiplier(x.scale * scale / out.scale) for scale in weights.scales], np.int64
    )
    return [
        FullyConnected(
            op.inputs[0],
            op.outputs[0],
            weights.data.astype(np.int8),
            bias,
            x.zero_point,
            out.zero_point,
            scalings[:, 0],
            scalings[:, 1],
        )
    ]


def _elementwise(graph: Graph, op: Operator, refuse: _Refuse) -> list[GraphTensor]:
    a, b, out = _operands(graph, op, 2, refuse)
    for one in (a, b):
        width = int(np.prod(one.shape))
        if width != out.shape[-1] and not (width == 1 and one.data is not None):
            raise refuse(f"operand '{one.name}'", expected=f"width {out.shape[-1]}", got=f"{one.shape}")
        if one.dtype != "int8" or len(one.scales) != 1 or not -128 <= one.zero_point <= 127:
            raise refuse(f"operand '{one.name}'", expected="int8 with one scale", got=one.dtype)
    return [a, b, out]


def _add(graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    """The terms' scales as whole multiples of one fine scale, 2 ** -shift of the output's.

    The greater has 21 bits. Source: `xnn_init_qs8_add_minmax_scalar_params` of XNNPACK's
    src/microparams-init.c, which divides the scales in single precision and rounds half to even.
    """
    a, b, out = _elementwise(graph, op, refuse)
    terms = [float(np.float32(one.scale) / np.float32(out.scale)) for one in (a, b)]
    shift = min(_ADD_BITS - math.frexp(max(terms))[1], _MOST_ADD_SHIFT)
    if shift < 1:
        raise refuse(
            "scales", expected=f"an output's above 2 ** {1 - _ADD_BITS} of its terms'", got=f"{out.scale}"
        )
    factors = [round(term * 2**shift) for term in terms]
    return [
        Add(
            op.inputs[0],
            op.inputs[1],
            op.outputs[0],
            1 if op.name == "ADD" else -1,
            a.zero_point,
            b.zero_point,
            out.zero_point,
            quantize_multiplier(factors[0]),
            quantize_multiplier(factors[1]),
            quantize_multiplier(2.0**-shift),
        )
    ]


def _mul(graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    """Source: `Prepare` of tensorflow/lite/kernels/mul.cc, which divides in single precision."""
    a, b, out = _elementwise(graph, op, refuse)
    factor = float(np.float32(a.scale) * np.float32(b.scale) / np.float32(out.scale))
    zeros = (a.zero_point, b.zero_point, out.zero_point)
    return [Mul(op.inputs[0], op.inputs[1], op.outputs[0], *zeros, quantize_multiplier(factor))]


def _lookup(function: Function, graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    x, out = _operands(graph, op, 1, refuse)
    if x.shape != out.shape:
        raise refuse("shapes", expected=f"{x.shape}", got=f"{out.shape}")
    table = lookup_table(function, x.scale, x.zero_point, out.scale, out.zero_point)
    return [Lookup(op.inputs[0], op.outputs[0], function, table)]


def _softmax(graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    x, out = _operands(graph, op, 1, refuse)
    if x.shape != out.shape or x.shape[-1] > _MOST_SOFTMAX:
        raise refuse(
            "shapes", expected=f"the same, at most {_MOST_SOFTMAX} wide", got=f"{x.shape}, {out.shape}"
        )
    if out.scale != 2**-8 or out.zero_point != -128:
        raise refuse("output", expected="scale 1/256, zero point -128", got=f"{out.scale}, {out.zero_point}")
    return [Softmax(op.inputs[0], op.outputs[0], exp_table(x.scale, float(op.options["beta"])))]


def _move(x: GraphTensor, out: GraphTensor, refuse: _Refuse) -> None:
    """What only moves numbers has the same scale on both sides, as TFLite asks for int8."""
    if (x.scale, x.zero_point) != (out.scale, out.zero_point):
        raise refuse("scales", expected=f"{x.scale}, {x.zero_point}", got=f"{out.scale}, {out.zero_point}")


def _constant(graph: Graph, index: int, refuse: _Refuse) -> list[int]:
    data = graph.tensors[index].data if index >= 0 else None
    if data is None or data.dtype.kind != "i":
        raise refuse("a place that is not constant")
    return [int(n) for n in data.ravel()]


def _split(graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    if len(op.inputs) != 2 or op.inputs[1] < 0:
        raise refuse("operands", expected="axis and input", got=f"{op.inputs}")
    x = graph.tensors[op.inputs[1]]
    parts, width = len(op.outputs), x.shape[-1] // len(op.outputs)
    if _constant(graph, op.inputs[0], refuse) not in ([1], [-1]) or width * parts != x.shape[-1]:
        raise refuse("form", expected="equal parts of the width")
    for index in op.outputs:
        _move(x, graph.tensors[index], refuse)
        if graph.tensors[index].shape[-1] != width:
            raise refuse("form", expected=f"parts of {width}", got=f"{graph.tensors[index].shape}")
    return [Slice(op.inputs[1], index, i * width, (i + 1) * width) for i, index in enumerate(op.outputs)]


def _slice(graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    """STRIDED_SLICE's masks say where an end is open; bit 1 is the width's."""
    x, out = _operands(graph, op, 1, refuse)
    _move(x, out, refuse)
    width = x.shape[-1]
    places = [_constant(graph, i, refuse) for i in op.inputs[1:]]
    if any(len(place) != 2 for place in places) or len(places) != (3 if op.name == "STRIDED_SLICE" else 2):
        raise refuse("form", expected="two dimensions")
    if op.name == "STRIDED_SLICE":
        odd = [
            name for name in ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask") if op.options.get(name)
        ]
        if odd or places[2] != [1, 1]:
            raise refuse("form", expected="steps of 1 and no new or lost dimension")
        start = 0 if int(op.options["begin_mask"]) & 2 else places[0][1]
        stop = width if int(op.options["end_mask"]) & 2 else places[1][1]
    else:
        start = places[0][1]
        stop = width if places[1][1] == -1 else start + places[1][1]
    start, stop, _ = slice(start, stop).indices(width)
    if stop - start != out.shape[-1]:
        raise refuse("form", expected=f"{out.shape[-1]} numbers", got=f"{start} to {stop}")
    return [Slice(op.inputs[0], op.outputs[0], start, stop)]


def _concatenate(graph: Graph, op: Operator, refuse: _Refuse) -> list[Step]:
    inputs = [graph.tensors[i] for i in op.inputs if i >= 0]
    out = graph.tensors[op.outputs[0]]
    for x in inputs:
        _move(x, out, refuse)
    whole = sum(x.shape[-1] for x in inputs) == out.shape[-1] and all(x.data is None for x in inputs)
    if op.options["axis"] not in {1, -1} or not whole or len(inputs) != len(op.inputs):
        raise refuse("form", expected="the inputs side by side")
    return [Concatenate(op.inputs, op.outputs[0])]


_Compiler = Callable[[Graph, Operator, _Refuse], list[Step]]
_COMPILERS: Mapping[str, _Compiler] = {
    "ADD": _add,
    "CONCATENATION": _concatenate,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": partial(_lookup, "LOGISTIC"),
    "MUL": _mul,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "STRIDED_SLICE": _slice,
    "SUB": _add,
    "TANH": partial(_lookup, "TANH"),
}
