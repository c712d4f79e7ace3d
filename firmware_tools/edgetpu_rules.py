"""What the Edge TPU's compiler takes, as its vendor documents it, held against a model without that compiler.

Two gates stand in its log (docs/adr/0012). It reads the model with a TFLite of its own, of July 2021, which
must know every operator in its version; then it maps operators to the TPU, by the vendor's table of
operators and limits. A model that passes here can still be turned away for a reason that is
documented nowhere; one that fails here is not mapped in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edge_lstm.model_file import Graph, GraphTensor, Operator

__all__ = ["ACCEPTED", "MEMORY_BYTES", "Check", "Finding", "Preflight", "preflight"]

_REQUIREMENTS = "coral.ai/docs/edgetpu/models-intro#model-requirements"
_OPERATORS = "coral.ai/docs/edgetpu/models-intro#supported-operations"
_REGISTRY = "docs/adr/0012"

ACCEPTED: Mapping[str, int] = {
    "ADD": 3,
    "CONCATENATION": 3,
    "FULLY_CONNECTED": 9,
    "LOGISTIC": 3,
    "MUL": 4,
    "PACK": 3,
    "QUANTIZE": 2,
    "RESHAPE": 1,
    "SLICE": 5,
    "SOFTMAX": 3,
    "SPLIT": 4,
    "STRIDED_SLICE": 5,
    "SUB": 5,
    "TANH": 3,
    "TRANSPOSE": 5,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
}
"""Operator of the vendor's table to the highest version that TensorFlow 2.5.0 registers, the last
release before the compiler was built (2.6.0 registers the same or a higher one): docs/adr/0012."""

MEMORY_BYTES = 8 * 2**20
"""On the chip, for parameters and instructions (coral.ai/docs/edgetpu/compiler#parameter-data-caching)."""

_WIDEST = 900
"""google-coral/edgetpu #598: the compiler fails without a word somewhere between 900 and 1000."""
_MOST_SOFTMAX = 16_000


@dataclass(frozen=True, slots=True)
class Check:
    """One rule.

    Attributes:
        id: Its name in reports.
        source: Where it is documented.
        broken: Given graph and operator, what breaks the rule, or ``None``.
    """

    id: str
    source: str
    broken: Callable[[Graph, Operator], str | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """Why one operator would not map.

    Attributes:
        index: Its place in the order of execution, from 0.
        operator: Its name.
        version: Its version in the file.
        output: Name of its first output tensor.
        rule: The rule that it breaks.
        why: What breaks it.
        source: Where the rule is documented.
    """

    index: int
    operator: str
    version: int
    output: str
    rule: str
    why: str
    source: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.operator} v{self.version} ('{self.output}'): {self.why} [{self.source}]"


@dataclass(frozen=True, slots=True)
class Preflight:
    """What is known of a model before the compiler has seen it.

    Attributes:
        operators: (operator, version, how many), in order of first appearance.
        findings: What would not map, in order of execution.
        hints: What is allowed and may still go wrong.
    """

    operators: tuple[tuple[str, int, int], ...]
    findings: tuple[Finding, ...]
    hints: tuple[str, ...]

    @property
    def mapped(self) -> bool:
        """Whether no documented rule is broken."""
        return not self.findings


def preflight(graph: Graph) -> Preflight:
    """Hold a model against the documented rules."""
    counted: dict[tuple[str, int], int] = {}
    for operator in graph.operators:
        kind = operator.name, operator.version
        counted[kind] = counted.get(kind, 0) + 1
    return Preflight(
        operators=tuple((name, version, count) for (name, version), count in counted.items()),
        findings=tuple(_findings(graph)),
        hints=tuple(_hints(graph)),
    )


def _findings(graph: Graph) -> Iterator[Finding]:
    for index, operator in enumerate(graph.operators):
        output = graph.tensors[operator.outputs[0]].name if operator.outputs else ""
        for check in CHECKS:
            why = check.broken(graph, operator)
            if why is not None:
                yield Finding(index, operator.name, operator.version, output, check.id, why, check.source)


def _hints(graph: Graph) -> Iterator[str]:
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.shape and tensor.shape[-1] > _WIDEST:
            yield (
                f"input '{tensor.name}' is {tensor.shape[-1]} wide: the compiler was seen to fail without"
                f" a reason above about {_WIDEST} [google-coral/edgetpu #598]"
            )
    size = sum(tensor.data.nbytes for tensor in graph.tensors if tensor.data is not None)
    if size > MEMORY_BYTES:
        yield (
            f"{size / 2**20:.1f} MiB of parameters, on the chip are {MEMORY_BYTES / 2**20:.0f}: the rest is"
            " sent again for every step [coral.ai/docs/edgetpu/compiler#parameter-data-caching]"
        )


# --------------------------------------------------------------------------------- all operators


def _inputs(graph: Graph, operator: Operator) -> list[GraphTensor]:
    return [graph.tensors[i] for i in operator.inputs if i >= 0]


def _touched(graph: Graph, operator: Operator) -> list[GraphTensor]:
    return [*_inputs(graph, operator), *(graph.tensors[i] for i in operator.outputs)]


def _known(_graph: Graph, operator: Operator) -> str | None:
    return None if operator.name in ACCEPTED else "not among the operators that the Edge TPU has"


def _version(_graph: Graph, operator: Operator) -> str | None:
    most = ACCEPTED.get(operator.name)
    if most is None or operator.version <= most:
        return None
    return f"version {operator.version} is too new: compiler 16 knows it up to version {most}"


def _eight_bits(graph: Graph, operator: Operator) -> str | None:
    """Values are 8 bits wide; int32 is for constants: biases, axes and places in a tensor."""
    for tensor in _touched(graph, operator):
        if tensor.dtype in ("int8", "uint8") and tensor.scales:
            continue
        if tensor.dtype == "int32" and tensor.data is not None:
            continue
        what = tensor.dtype if tensor.dtype not in ("int8", "uint8") else "not quantized"
        return f"tensor '{tensor.name}' is {what}; all must be quantized to 8 bits"
    return None


def _static(graph: Graph, operator: Operator) -> str | None:
    for tensor in _touched(graph, operator):
        if any(n < 1 for n in (*tensor.shape, *tensor.signature)):
            shape = list(tensor.signature or tensor.shape)
            return f"tensor '{tensor.name}' has no fixed size: {shape}"
    return None


def _rank(graph: Graph, operator: Operator) -> str | None:
    for tensor in _touched(graph, operator):
        if any(n > 1 for n in tensor.shape[:-3]):
            shape = list(tensor.shape)
            return f"tensor '{tensor.name}' {shape} is larger than 1 beyond its innermost 3 dimensions"
    return None


# ---------------------------------------------------------------------------------- one operator


def _constants(graph: Graph, operator: Operator) -> str | None:
    if operator.name != "FULLY_CONNECTED":
        return None
    for what, tensor in zip(("weights", "bias"), _inputs(graph, operator)[1:], strict=False):
        if tensor.data is None:
            return f"its {what} '{tensor.name}' are computed; they must be constant"
    return None


def _fully_connected(graph: Graph, operator: Operator) -> str | None:
    if operator.name != "FULLY_CONNECTED":
        return None
    if operator.options.get("weights_format"):
        return "its weights are not in the default format"
    shape = graph.tensors[operator.outputs[0]].shape
    return f"its output {list(shape)} is not one-dimensional" if any(n > 1 for n in shape[:-1]) else None


def _softmax(graph: Graph, operator: Operator) -> str | None:
    if operator.name != "SOFTMAX":
        return None
    shape = _inputs(graph, operator)[0].shape
    if any(n > 1 for n in shape[:-1]) or shape[-1] > _MOST_SOFTMAX:
        return f"its input {list(shape)} is not one-dimensional with at most {_MOST_SOFTMAX} numbers"
    return None


def _strided_slice(graph: Graph, operator: Operator) -> str | None:
    if operator.name != "STRIDED_SLICE":
        return None
    if operator.options.get("ellipsis_mask") or operator.options.get("new_axis_mask"):
        return "it makes axes: ellipsis and new axis masks must be 0"
    strides = _inputs(graph, operator)[3].data
    return None if strides is not None and np.all(strides == 1) else "its strides are not all 1"


def _concatenation(graph: Graph, operator: Operator) -> str | None:
    if operator.name != "CONCATENATION":
        return None
    if operator.options.get("activation"):
        return "it has a fused activation"
    joined = _inputs(graph, operator)
    fixed = [tensor for tensor in joined if tensor.data is not None]
    zeros = len(joined) == 2 and all(np.all(t.data == t.zero_point) for t in fixed)
    return "it joins constants that are not one block of zeros" if fixed and not zeros else None


def _split(graph: Graph, operator: Operator) -> str | None:
    """SPLIT's first input is the axis; a batch that is 1 is the first axis."""
    if operator.name != "SPLIT":
        return None
    axis, whole = _inputs(graph, operator)[:2]
    if axis.data is None:
        return "its axis is computed; it must be constant"
    return "it splits the batch" if int(axis.data.ravel()[0]) % len(whole.shape) == 0 else None


CHECKS: tuple[Check, ...] = (
    Check("operator", _OPERATORS, _known),
    Check("version", _REGISTRY, _version),
    Check("int8", _REQUIREMENTS, _eight_bits),
    Check("static", _REQUIREMENTS, _static),
    Check("rank", _REQUIREMENTS, _rank),
    Check("constant", _REQUIREMENTS, _constants),
    Check("fully_connected", _OPERATORS, _fully_connected),
    Check("softmax", _OPERATORS, _softmax),
    Check("strided_slice", _OPERATORS, _strided_slice),
    Check("concatenation", _OPERATORS, _concatenation),
    Check("split", _OPERATORS, _split),
)
