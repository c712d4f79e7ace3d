"""Every cell and the attention against a definition written out by hand in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [pytest.mark.train]

tf = pytest.importorskip("tensorflow", reason="needs edge-lstm[train]")

from trainer.attention import Attention  # noqa: E402
from trainer.cells import CELLS, Cell  # noqa: E402
from trainer.model import Autoencoder, Shape  # noqa: E402

Floats = NDArray[np.float64]
INPUTS, UNITS, ROWS, BATCH = 3, 4, 40, 2
CELL = 3.0
"""What no paper has: cells end here, so that int8 can hold them (ADR 0015)."""


def sigmoid(a: Floats) -> Floats:
    """1 / (1 + exp(-a))."""
    return 1 / (1 + np.exp(-a))


def gate(cell: Cell, at: int, x: Floats, hidden: Floats) -> Floats:
    """W x + R h + b of one gate, whose weights are the block `at` of the cell's."""
    block = slice(at * UNITS, (at + 1) * UNITS)
    weights = [np.asarray(w, np.float64)[..., block] for w in (cell.kernel, cell.recurrent, cell.bias)]
    return x @ weights[0] + hidden @ weights[1] + weights[2]


def lstm(cell: Cell, x: Floats, hidden: Floats, memory: Floats) -> list[Floats]:
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000."""
    i, f, o = (sigmoid(gate(cell, at, x, hidden)) for at in (0, 1, 2))
    memory = np.clip(f * memory + i * np.tanh(gate(cell, 3, x, hidden)), -CELL, CELL)
    return [o * np.tanh(memory), memory]


def peephole(cell: Cell, x: Floats, hidden: Floats, memory: Floats) -> list[Floats]:
    """Gers & Schmidhuber 2000: i and f see the old cell, o the new one, each unit its own."""
    peeps = [np.asarray(w, np.float64) for w in (cell.peep_i, cell.peep_f, cell.peep_o)]
    i = sigmoid(gate(cell, 0, x, hidden) + peeps[0] * memory)
    f = sigmoid(gate(cell, 1, x, hidden) + peeps[1] * memory)
    memory = np.clip(f * memory + i * np.tanh(gate(cell, 3, x, hidden)), -CELL, CELL)
    o = sigmoid(gate(cell, 2, x, hidden) + peeps[2] * memory)
    return [o * np.tanh(memory), memory]


def cifg(cell: Cell, x: Floats, hidden: Floats, memory: Floats) -> list[Floats]:
    """Greff et al. 2017, variant CIFG: what is forgotten makes room for what is taken in."""
    f, o = (sigmoid(gate(cell, at, x, hidden)) for at in (0, 1))
    i = 1 - f
    memory = np.clip(f * memory + i * np.tanh(gate(cell, 2, x, hidden)), -CELL, CELL)
    return [o * np.tanh(memory), memory]


def gru(cell: Cell, x: Floats, hidden: Floats) -> list[Floats]:
    """Cho et al. 2014, equations 5 to 8: the reset gate acts before the matmul, z = 1 keeps the old."""
    z, r = (sigmoid(gate(cell, at, x, hidden)) for at in (0, 1))
    w, u, b = (np.asarray(v, np.float64) for v in (cell.new_kernel, cell.new_recurrent, cell.new_bias))
    candidate = np.tanh(x @ w + (r * hidden) @ u + b)
    return [z * hidden + (1 - z) * candidate]


DEFINITIONS: dict[str, Callable[..., list[Floats]]] = {
    "lstm": lstm,
    "gru": gru,
    "peephole": peephole,
    "cifg": cifg,
}


def made(name: str) -> Cell:
    """A cell with every weight, biases too, drawn anew."""
    cell, random = CELLS[name](INPUTS, UNITS, seed=1), np.random.default_rng(2)
    for variable in cell.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return cell


def test_every_cell_has_a_definition() -> None:
    """A cell that is added needs its definition here."""
    assert set(DEFINITIONS) == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_cell_is_its_paper(name: str) -> None:
    """All states after each of 40 steps, carried on by each side for itself."""
    cell, x = made(name), np.random.default_rng(3).normal(size=(ROWS, BATCH, INPUTS))
    expected = [np.zeros((BATCH, UNITS))] * len(cell.kinds)
    states = [tf.zeros((BATCH, UNITS)) for _ in cell.kinds]

    for row in x:
        expected = DEFINITIONS[name](cell, row, *expected)
        states = cell(tf.constant(row, tf.float32), states)
        for kind, want, got in zip(cell.kinds, expected, states, strict=True):
            np.testing.assert_allclose(got.numpy(), want, atol=2e-5, err_msg=kind)


@pytest.mark.parametrize(("name", "keeps"), [("lstm", 1), ("gru", 0), ("peephole", 1), ("cifg", 0)])
def test_keeping_gate_starts_open(name: str, keeps: int) -> None:
    """The gate that keeps the old state has a bias of 1 at the start, every other 0."""
    bias = CELLS[name](INPUTS, UNITS, seed=0).bias.numpy().reshape(-1, UNITS)

    assert np.array_equal(bias[keeps], np.ones(UNITS))
    assert not np.delete(bias, keeps, axis=0).any()


def test_attention_is_its_paper() -> None:
    """Luong, Pham & Manning 2015: score "general", softmax, context, tanh of both; scaled by sqrt(units)."""
    last, random = 3, np.random.default_rng(4)
    attention = Attention(UNITS, last, seed=0)
    for variable in attention.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    query, of_context, of_hidden, bias = (
        np.asarray(w, np.float64)
        for w in (attention.query, attention.from_context, attention.from_hidden, attention.bias)
    )
    seen, ring = [np.zeros(UNITS)] * last, tf.zeros((1, last * UNITS))

    for _ in range(8):
        hidden = random.normal(size=UNITS)
        seen = [*seen[1:], hidden]
        scores = np.array([hidden @ query @ key / np.sqrt(UNITS) for key in seen])
        weights = np.exp(scores) / np.exp(scores).sum()
        context = sum(w * key for w, key in zip(weights, seen, strict=True))
        expected = np.tanh(context @ of_context + hidden @ of_hidden + bias)

        ring = attention.push(ring, tf.constant(hidden[None], tf.float32))
        np.testing.assert_allclose(ring.numpy()[0], np.concatenate(seen), atol=1e-6)
        got = attention(ring, tf.constant(hidden[None], tf.float32))
        np.testing.assert_allclose(got.numpy()[0], expected, atol=2e-5)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_silenced_channel_moves_nothing_and_is_expected_at_zero(cell: str) -> None:
    """A channel that never moved in training does not disturb the others when it does."""
    shape = Shape(INPUTS, units=UNITS, code=2, cell=cell, linear=True)
    model, random = Autoencoder(shape, seed=0), np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    model.silence([1])
    x = random.normal(size=(BATCH, INPUTS)).astype(np.float32)
    moved = x.copy()
    moved[:, 1] += 8
    states = [tf.constant(random.normal(size=(BATCH, width)), tf.float32) for width in shape.widths]
    (usual, after), (other, after_moved) = model(x, states), model(moved, states)

    for name in shape.heads:
        assert np.array_equal(usual[name], other[name])
        assert not usual[name].numpy()[:, 1].any()
        assert usual[name].numpy()[:, [0, 2]].all()
    for one, two in zip(after, after_moved, strict=True):
        assert np.array_equal(one, two)
