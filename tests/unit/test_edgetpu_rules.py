"""The pre-flight check for the Edge TPU: every documented rule, kept and broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_lstm.model_file import Graph, GraphTensor, Operator, read_model
from firmware_tools.edgetpu_rules import ACCEPTED, MEMORY_BYTES, Preflight, preflight


def tensor(name: str, *shape: int, dtype: str = "int8", data: Any = None) -> GraphTensor:  # noqa: ANN401
    """An int8 tensor with a scale; anything else without."""
    scales = (0.5,) if dtype == "int8" else ()
    array = None if data is None else np.array(data, dtype)
    return GraphTensor(name, shape, dtype, scales, (0,) * len(scales), 0, array)


def graph(name: str, *inputs: GraphTensor, version: int = 2, out: GraphTensor, **options: float) -> Graph:
    """A graph of one operator."""
    tensors = (*inputs, out)
    fed = tuple(i for i, one in enumerate(inputs) if one.data is None)
    last = len(inputs)
    operator = Operator(name, version, tuple(range(last)), (last,), options)
    return Graph(tensors, (operator,), fed, (last,))


def dense(**changes: Any) -> Graph:  # noqa: ANN401
    """FULLY_CONNECTED from 3 to 4 with bias, as the converter makes it; `changes` are tensors."""
    parts = {
        "x": tensor("x", 1, 3),
        "weights": tensor("weights", 4, 3, data=np.ones((4, 3))),
        "bias": tensor("bias", 4, dtype="int32", data=np.zeros(4)),
        "y": tensor("y", 1, 4),
        **{name: value for name, value in changes.items() if isinstance(value, GraphTensor)},
    }
    weights_format, version = int(changes.get("weights_format", 0)), int(changes.get("version", 4))
    fed = (parts["x"], parts["weights"], parts["bias"])
    return graph("FULLY_CONNECTED", *fed, out=parts["y"], version=version, weights_format=weights_format)


def slicing(strides: list[int], new_axis_mask: int = 0) -> Graph:
    """STRIDED_SLICE of a row."""
    places = [tensor(n, 2, dtype="int32", data=d) for n, d in (("b", [0, 4]), ("e", [0, 0]), ("s", strides))]
    return graph(
        "STRIDED_SLICE", tensor("x", 1, 12), *places, out=tensor("y", 1, 8), new_axis_mask=new_axis_mask
    )


def joining(*parts: GraphTensor, activation: int = 0) -> Graph:
    """CONCATENATION of rows."""
    return graph("CONCATENATION", *parts, out=tensor("y", 1, 8), axis=1, activation=activation)


def splitting(axis: GraphTensor) -> Graph:
    """SPLIT of a row; the first input is the axis."""
    return graph("SPLIT", axis, tensor("x", 1, 8), out=tensor("y", 1, 4), version=2, num_splits=2)


def only(found: Preflight) -> tuple[str, str]:
    """Rule and reason of the one finding there is."""
    (finding,) = found.findings
    assert not found.mapped
    assert finding.source
    assert finding.why in str(finding)
    return finding.rule, finding.why


FLOAT = tensor("x", 1, 3, dtype="float32")
ZEROS = tensor("zeros", 1, 4, data=np.zeros((1, 4)))
ONES = tensor("ones", 1, 4, data=np.ones((1, 4)))
ROW = tensor("x", 1, 4)

KEPT = {
    "dense": dense(),
    "strides of 1": slicing([1, 1]),
    "two rows": joining(ROW, ROW),
    "a row and zeros": joining(ROW, ZEROS),
    "split of columns": splitting(tensor("axis", dtype="int32", data=1)),
    "split from behind": splitting(tensor("axis", dtype="int32", data=-1)),
    "softmax of a row": graph("SOFTMAX", tensor("x", 1, 900), out=tensor("y", 1, 900)),
    "newest version": graph("TANH", ROW, out=tensor("y", 1, 4), version=ACCEPTED["TANH"]),
    "4 dimensions of 1": graph("TANH", tensor("x", 1, 2, 3, 4), out=tensor("y", 1, 2, 3, 4)),
}
BROKEN = {
    "no such operator": (graph("BATCH_MATMUL", ROW, out=ROW), "operator", "not among the operators"),
    "custom operator": (graph("CUSTOM:Atan", ROW, out=ROW), "operator", "not among the operators"),
    "number without a name": (graph("BUILTIN_150", ROW, out=ROW), "operator", "not among the operators"),
    "per channel weights": (dense(version=12), "version", "version 12 is too new: .* up to version 9"),
    "float": (dense(x=FLOAT), "int8", "tensor 'x' is float32"),
    "int16": (dense(y=tensor("y", 1, 4, dtype="int16")), "int8", "tensor 'y' is int16"),
    "int8 without scale": (dense(x=replace(ROW, scales=(), zero_points=())), "int8", "'x' is not quantized"),
    "computed int32": (graph("ADD", tensor("n", 1, 4, dtype="int32"), ROW, out=ROW), "int8", "'n' is int32"),
    "no size": (dense(x=tensor("x", -1, 3)), "static", r"tensor 'x' has no fixed size: \[-1, 3\]"),
    "size to be set": (dense(x=replace(tensor("x", 1, 3), signature=(-1, 3))), "static", r"\[-1, 3\]"),
    "4 dimensions": (graph("TANH", tensor("x", 2, 2, 3, 4), out=ROW), "rank", "beyond its innermost 3"),
    "computed weights": (dense(weights=tensor("w", 4, 3)), "constant", "its weights 'w' are computed"),
    "other weights format": (dense(weights_format=1), "fully_connected", "not in the default format"),
    "output of rows": (dense(y=tensor("y", 2, 4)), "fully_connected", r"\[2, 4\] is not one-dimensional"),
    "softmax of rows": (graph("SOFTMAX", tensor("x", 2, 4), out=ROW), "softmax", "not one-dimensional"),
    "wide softmax": (graph("SOFTMAX", tensor("x", 1, 16_001), out=ROW), "softmax", "at most 16000"),
    "strides of 2": (slicing([1, 2]), "strided_slice", "its strides are not all 1"),
    "new axis": (slicing([1, 1], new_axis_mask=1), "strided_slice", "it makes axes"),
    "fused activation": (joining(ROW, ROW, activation=1), "concatenation", "fused activation"),
    "joined constants": (joining(ROW, ONES), "concatenation", "not one block of zeros"),
    "three with zeros": (joining(ROW, ROW, ZEROS), "concatenation", "not one block of zeros"),
    "split of the batch": (splitting(tensor("axis", dtype="int32", data=0)), "split", "splits the batch"),
    "batch from behind": (splitting(tensor("axis", dtype="int32", data=-2)), "split", "splits the batch"),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_graph_that_keeps_the_rules(case: str) -> None:
    """No finding and no hint."""
    found = preflight(KEPT[case])
    assert (found.findings, found.hints, found.mapped) == ((), (), True)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named_with_operator_and_reason(case: str) -> None:
    """Exactly this rule, and no other with it."""
    broken, rule, why = BROKEN[case]
    found = preflight(broken)
    assert rule == only(found)[0]
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(only(found)[1])


def test_wide_inputs_and_many_parameters_are_hints() -> None:
    """They are allowed by the documents, and reported by people (#598) or slow."""
    wide = dense(x=tensor("x", 1, 901), weights=tensor("w", 4, 901, data=np.ones((4, 901))))
    (hint,) = preflight(wide).hints
    assert "901 wide" in hint
    assert "#598" in hint

    rows = MEMORY_BYTES // 512 + 1
    large = dense(weights=tensor("w", rows, 512, data=np.ones((rows, 512))))
    (hint,) = preflight(large).hints
    assert "8.0 MiB of parameters" in hint


@pytest.mark.parametrize(
    ("operator", "version", "issue"),
    [
        ("CONV_2D", 6, "google-coral/edgetpu #631"),
        ("EXP", 2, "google-coral/libedgetpu #71"),
        ("TRANSPOSE_CONV", 4, "google-coral/edgetpu #845"),
        ("QUANTIZE", 3, "google-coral/edgetpu #879"),
    ],
)
def test_what_compiler_16_was_seen_to_refuse_is_refused(operator: str, version: int, issue: str) -> None:
    """Public refusals: none of them may pass the table of versions."""
    assert not preflight(graph(operator, ROW, out=ROW, version=version)).mapped, issue


@pytest.mark.train
@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole", "cifg"])
def test_every_network_of_ours_would_map(cell: str) -> None:
    """All cells, with everything that adds operators: two layers, both heads, attention, a linear path."""
    from trainer.convert import Representative, convert
    from trainer.model import Autoencoder, Shape

    shape = Shape(3, units=4, code=2, cell=cell, layers=2, attention=3, linear=True)
    rng = np.random.default_rng(0)
    states = tuple(rng.normal(size=(50, width)).astype(np.float32) for width in shape.widths)
    frames = rng.normal(size=(50, 3)).astype(np.float32)
    content = convert(Autoencoder(shape, seed=0), Representative(frames, states)).content

    found = preflight(read_model(content))

    assert (found.findings, found.hints) == ((), ())
    assert {"SOFTMAX", "STRIDED_SLICE", "CONCATENATION", "SPLIT"} <= {name for name, _, _ in found.operators}
