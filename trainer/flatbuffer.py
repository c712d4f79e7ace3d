"""The model file opened up: tensors named, state scales made equal, anything not int8 refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

from edge_lstm.contracts.manifest import State, Tensor
from edge_lstm.errors import OperatorError
from trainer.ranges import avoid_ties, rescale, set_ranges

__all__ = ["ConversionError", "describe", "edited", "finish", "operators", "refuse_float"]

_IDENTIFIER = b"TFL3"
_DTYPES = {schema.TensorType.INT8: "int8", schema.TensorType.FLOAT32: "float32"}
_OPS = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


_MOVES = frozenset({"CONCATENATION", "RESHAPE", "SLICE", "SPLIT", "STRIDED_SLICE"})
"""Operators whose outputs have the scale of their inputs: they move numbers and compute none."""


class ConversionError(OperatorError):
    """A model that did not become what a device can run."""


def finish(content: bytes, frame: str, states: Sequence[State], *, whole_int8: bool) -> bytes:
    """Name the tensors as the signature does, set their ranges and give each state one scale.

    Args:
        content: A ``.tflite`` file of the converter.
        frame: Name of the input that takes the reading.
        states: Names of every state's tensors.
        whole_int8: Refuse anything that is not integer.

    Raises:
        ConversionError: A float tensor or a (de)quantization is left, or a state cannot
            have one scale.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    named = {}
    for entry in (*signature.inputs, *signature.outputs):
        graph.tensors[entry.tensorIndex].name = entry.name
        named[entry.name.decode()] = int(entry.tensorIndex)
    if whole_int8:
        refuse_float(model)
        set_ranges(model, operators_of(model), named, frame, states)
        pairs = [(named[state.input], named[state.output]) for state in states]
        _share_scales(model, pairs)
        avoid_ties(model, operators_of(model), _same_numbers(model, pairs))
    model.description = b"edge-lstm"
    return _packed(model)


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def edited(content: bytes, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """A model file with its tensors changed by hand; ``edit`` gets them by name."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    edit({tensor.name.decode(): tensor for tensor in model.subgraphs[0].tensors})
    return _packed(model)


def refuse_float(model: Any) -> None:
    """Refuse an opened model that is not integer throughout.

    Raises:
        ConversionError: With the operators and tensors that are not.
    """
    graph = model.subgraphs[0]
    whole = (schema.TensorType.INT8, schema.TensorType.INT32)
    blame = []
    for name, op in zip(operators_of(model), graph.operators, strict=True):
        touched = [graph.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
        odd = [t.name.decode() for t in touched if t.type not in whole]
        if odd or name in {"QUANTIZE", "DEQUANTIZE"}:
            blame.append(f"{name} on {', '.join(odd) or touched[0].name.decode()}")
    blame += [t.name.decode() for t in graph.tensors if t.type not in whole and not blame]
    if blame:
        raise ConversionError(
            "the model did not become whole int8",
            expected="integer tensors only, and no (de)quantization inside",
            got="; ".join(blame[:3]),
            do="choose another model.cell or leave model.attention out, and report this with the train.yaml",
        )


def _share_scales(model: Any, states: Sequence[tuple[int, int]]) -> None:
    """Give each state one scale and zero point: what comes out of a step goes into the next as it is.

    The converter chooses the scale of a state's input and of its output apart, from the
    same values; they differ in the last digits, and every step would requantize. All
    tensors that hold one state's numbers (its input, its output, and what is sliced from or
    put together with them) take over the scale of the one among them that is computed. Their
    readers make their multipliers from it when the model is loaded.

    Raises:
        ConversionError: More than one of them is computed, or none.
    """
    graph, names = model.subgraphs[0], operators_of(model)
    groups = _same_numbers(model, states)
    moves = {i for name, op in zip(names, graph.operators, strict=True) if name in _MOVES for i in op.outputs}
    for group in groups:
        computed = [i for i in group if i not in moves and i not in graph.inputs]
        if len(computed) != 1:
            raise ConversionError(
                "a state cannot have one scale",
                expected="one computed tensor behind it",
                got=", ".join(graph.tensors[i].name.decode() for i in computed) or "none",
                do="report this with the train.yaml used",
            )
        source = graph.tensors[computed[0]].quantization
        for i in group:
            mine = graph.tensors[i].quantization
            if (mine.scale[0], mine.zeroPoint[0]) != (source.scale[0], source.zeroPoint[0]):
                rescale(model, names, i, float(source.scale[0]), int(source.zeroPoint[0]))


def _same_numbers(model: Any, states: Sequence[tuple[int, int]]) -> list[set[int]]:
    """Sets of tensors that hold the same numbers as a state, in other places or shapes."""
    graph = model.subgraphs[0]
    links = [set(pair) for pair in states]
    for name, op in zip(operators_of(model), graph.operators, strict=True):
        if name in _MOVES:
            both = {*op.inputs, *op.outputs}
            links.append({i for i in both if graph.tensors[i].type == schema.TensorType.INT8})
    groups: list[set[int]] = []
    for link in links:
        joined = [group for group in groups if group & link]
        groups = [group for group in groups if not group & link] + [link.union(*joined)]
    return [group for group in groups if any(group & set(pair) for pair in states)]


def operators_of(model: Any) -> list[str]:
    """Operators of an opened model, in order of execution."""
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [_OPS[codes[op.opcodeIndex]] for op in model.subgraphs[0].operators]


def operators(content: bytes) -> list[str]:
    """Operators of a model file, in order of execution."""
    return operators_of(schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0)))


def describe(content: bytes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inputs and outputs of a model file, as the manifest holds them."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]

    def facts(index: int) -> Tensor:
        tensor = graph.tensors[index]
        quantization = tensor.quantization
        known = quantization is not None and quantization.scale is not None and len(quantization.scale)
        return Tensor(
            name=tensor.name.decode(),
            shape=tuple(int(n) for n in tensor.shape),
            dtype=_DTYPES[tensor.type],
            scale=float(quantization.scale[0]) if known else 0.0,
            zero_point=int(quantization.zeroPoint[0]) if known else 0,
        )

    return tuple(facts(i) for i in graph.inputs), tuple(facts(i) for i in graph.outputs)
