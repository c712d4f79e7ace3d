"""The model file opened up: tensors named, state scales made equal, anything not int8 refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

from edge_lstm.contracts.manifest import Tensor
from edge_lstm.errors import OperatorError

__all__ = ["ConversionError", "describe", "finish", "operators"]

_IDENTIFIER = b"TFL3"
_DTYPES = {schema.TensorType.INT8: "int8", schema.TensorType.FLOAT32: "float32"}
_OPS = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


class ConversionError(OperatorError):
    """A model that did not become what a device can run."""


def finish(content: bytes, states: Sequence[tuple[str, str]], *, whole_int8: bool) -> bytes:
    """Name the tensors as the signature does and give each state one scale.

    The converter chooses the scale of a state's input and of its output apart, from
    the same values; they differ in the last digits, and every step would requantize.
    The input takes over the scale of the output: its only readers are a matmul without
    bias and a product, whose multipliers are made from it when the model is loaded.

    Args:
        content: A ``.tflite`` file of the converter.
        states: (input, output) names of every state.
        whole_int8: Refuse anything that is not integer.

    Raises:
        ConversionError: A float tensor or a (de)quantization is left.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    named = {}
    for entry in (*signature.inputs, *signature.outputs):
        tensor = graph.tensors[entry.tensorIndex]
        tensor.name = entry.name
        named[entry.name.decode()] = tensor
    if whole_int8:
        _refuse_float(model)
        for before, after in states:
            named[before].quantization.scale = named[after].quantization.scale
            named[before].quantization.zeroPoint = named[after].quantization.zeroPoint
    model.description = b"edge-lstm"
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _refuse_float(model: Any) -> None:
    graph = model.subgraphs[0]
    integers = (schema.TensorType.INT8, schema.TensorType.INT32)
    floats = [t.name.decode() for t in graph.tensors if t.type not in integers]
    casts = sorted(set(operators_of(model)) & {"QUANTIZE", "DEQUANTIZE"})
    if floats or casts:
        raise ConversionError(
            "the model did not become whole int8",
            expected="integer tensors only",
            got=", ".join(floats[:3] + casts),
            do="report this with the train.yaml used",
        )


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
