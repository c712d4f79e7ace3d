"""Opening a model file without an interpreter."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from edge_lstm.model_file import read_model

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def model() -> bytes:
    """A model with attention, which has the most kinds of operators."""
    from trainer.convert import Representative, convert
    from trainer.model import Autoencoder, Shape

    shape = Shape(3, units=4, code=2, attention=2)
    rng = np.random.default_rng(0)
    states = tuple(rng.normal(size=(50, width)).astype(np.float32) for width in shape.widths)
    frames = rng.normal(size=(50, 3)).astype(np.float32)
    return convert(Autoencoder(shape, seed=0), Representative(frames, states)).content


def test_says_what_tensorflows_own_reader_says(model: bytes) -> None:
    """Every tensor and every operator of a real model."""
    from tensorflow.lite.python import schema_py_generated as schema

    from trainer.flatbuffer import operators

    graph = read_model(model)
    theirs = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    subgraph = theirs.subgraphs[0]
    assert [op.name for op in graph.operators] == operators(model)
    assert [op.version for op in graph.operators] == [
        theirs.operatorCodes[op.opcodeIndex].version for op in subgraph.operators
    ]
    assert [list(op.inputs) for op in graph.operators] == [list(op.inputs) for op in subgraph.operators]
    assert [list(op.outputs) for op in graph.operators] == [list(op.outputs) for op in subgraph.operators]
    assert list(graph.inputs) == list(subgraph.inputs)
    assert list(graph.outputs) == list(subgraph.outputs)
    assert len(graph.tensors) == len(subgraph.tensors)
    for ours, tensor in zip(graph.tensors, subgraph.tensors, strict=True):
        assert ours.name == tensor.name.decode()
        assert ours.shape == tuple(tensor.shape)
        quantization = tensor.quantization
        scale = quantization.scale if quantization is not None and quantization.scale is not None else []
        assert ours.scales == tuple(float(one) for one in scale)
        data = theirs.buffers[tensor.buffer].data
        assert (ours.data is None) == (data is None)
        if ours.data is not None:
            assert ours.data.tobytes() == bytes(data)


def test_options_that_change_the_computation_are_read(model: bytes) -> None:
    """A softmax's beta, a slice's masks, a split's parts."""
    found = {op.name: op.options for op in read_model(model).operators}
    assert found["SOFTMAX"]["beta"] == 1.0
    assert found["SPLIT"]["num_splits"] == 4
    assert found["CONCATENATION"]["axis"] in {1, -1}


def test_damaged_files_are_refused_by_a_value_error(model: bytes) -> None:
    """2,000 files with bytes changed or cut off: read or refused, nothing else."""
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(2000):
        raw = bytearray(model)
        for _ in range(rng.integers(1, 9)):
            raw[rng.integers(8, len(raw) if rng.random() < 0.3 else 600)] = rng.integers(256)
        if rng.random() < 0.2:
            del raw[rng.integers(8, len(raw)) :]
        try:
            read_model(bytes(raw))
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("raw", [b"", b"TFL3", b"\x00" * 64, b"PK\x03\x04 a zip file"])
def test_other_files_are_refused(raw: bytes) -> None:
    """By what they do not say."""
    with pytest.raises(ValueError, match="not a TFLite model"):
        read_model(raw)


def spoilt(model: bytes, spoil: Callable[[SimpleNamespace], None]) -> bytes:
    """The model with its opened form changed."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    opened = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    spoil(opened.subgraphs[0])
    builder = flatbuffers.Builder(1024)
    builder.Finish(opened.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _itself(graph: SimpleNamespace) -> None:
    graph.operators[0].outputs = graph.operators[0].inputs[:1]


def _backwards(graph: SimpleNamespace) -> None:
    graph.operators = graph.operators[::-1]


def _twice(graph: SimpleNamespace) -> None:
    graph.operators[1].outputs = graph.operators[0].outputs


def _no_operand(graph: SimpleNamespace) -> None:
    graph.operators[0].inputs = []


def _bomb(graph: SimpleNamespace) -> None:
    graph.tensors[graph.operators[0].outputs[0]].shape = [1, 2**30]


def _tiny_scale(graph: SimpleNamespace) -> None:
    graph.tensors[graph.inputs[0]].quantization.scale = [1e-30]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_itself, "writes what is there already"),
        (_backwards, "reads what is not computed yet"),
        (_twice, "writes what is there already"),
        (_no_operand, "lacks an input or output"),
        (_bomb, "too large"),
        (_tiny_scale, "a scale that is no scale"),
    ],
)
def test_graphs_that_no_converter_writes_are_refused(
    model: bytes, spoil: Callable[[SimpleNamespace], None], says: str
) -> None:
    """Kernels would loop, overflow or abort on them."""
    with pytest.raises(ValueError, match=says):
        read_model(spoilt(model, spoil))
