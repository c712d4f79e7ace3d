"""What each int8 tensor can hold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.model_file import Graph, GraphTensor, read_model

pytestmark = pytest.mark.train

Singles = NDArray[np.float32]


def converted(cell: str, *, far: float, states: float) -> tuple[Graph, dict[str, GraphTensor]]:
    """An untrained model converted with readings and states that go so far."""
    from trainer.convert import Representative, convert
    from trainer.model import Autoencoder, Shape

    shape, rng = Shape(3, units=4, code=2, cell=cell), np.random.default_rng(0)

    def drawn(width: int, most: float) -> Singles:
        rows: Singles = rng.uniform(-most, most, size=(200, width)).astype(np.float32)
        rows[0] = most
        return rows

    sample = Representative(drawn(3, far), tuple(drawn(width, states) for width in shape.widths))
    graph = read_model(convert(Autoencoder(shape, seed=0), sample).content)
    named = {graph.tensors[i].name: graph.tensors[i] for i in (*graph.inputs, *graph.outputs)}
    return graph, named


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole", "cifg"])
def test_reach_ends_where_the_model_ends(cell: str) -> None:
    """Readings at 8, cells at 3 and hidden states at 1, however far the sample goes; all symmetric."""
    _, named = converted(cell, far=50.0, states=20.0)

    assert named["frame"].scale == pytest.approx(8 / 127, rel=1e-6)
    assert named["hidden_in_0"].scale == pytest.approx(1 / 127, rel=0.01)
    if "cell_in_0" in named:
        assert named["cell_in_0"].scale == pytest.approx(3 / 127, rel=0.01)
    assert all(named[name].zero_point == 0 for name in named if "_in_" in name or name == "frame")


def test_small_states_keep_their_resolution() -> None:
    """What goes nowhere near the end of its reach has a grid of its own, a tenth wider than seen."""
    _, named = converted("lstm", far=0.5, states=0.2)

    assert named["frame"].scale == pytest.approx(1.1 * 0.5 / 127, rel=0.02)
    assert named["cell_in_0"].scale < 1 / 127


def test_path_of_zeros_keeps_a_scale() -> None:
    """A linear path that was not trained yet gives 0, and 0 needs a scale all the same."""
    from trainer.convert import Representative, convert
    from trainer.model import Autoencoder, Shape

    shape, rng = Shape(3, units=4, mode="forecast", cell="peephole", linear=True), np.random.default_rng(0)
    sample = Representative(
        rng.normal(size=(50, 3)).astype(np.float32),
        tuple(rng.normal(size=(50, width)).astype(np.float32) for width in shape.widths),
    )
    graph = read_model(convert(Autoencoder(shape, seed=0), sample).content)
    assert all(scale > 0 for tensor in graph.tensors for scale in tensor.scales)


def test_gates_end_where_a_sigmoid_is_flat() -> None:
    """Sums before a sigmoid or tanh reach to 8 at most; bias and grid fit together after the change."""
    graph, _ = converted("lstm", far=50.0, states=20.0)
    (split,) = [op for op in graph.operators if op.name == "SPLIT"]
    for i in (split.inputs[1], *split.outputs):
        one = graph.tensors[i]
        assert (127 - one.zero_point) * one.scale < 8.1
        assert (-128 - one.zero_point) * one.scale > -8.1
    for op in graph.operators:
        if op.name == "FULLY_CONNECTED" and len(op.inputs) > 2 and op.inputs[2] >= 0:
            x, weights, bias = (graph.tensors[i] for i in op.inputs)
            assert bias.scale == pytest.approx(x.scale * weights.scale, rel=1e-5)
