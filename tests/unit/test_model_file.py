"""Opening a model file without an interpreter."""

from __future__ import annotations

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
