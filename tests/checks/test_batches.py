"""A stream is told the same in a batch as alone, and a step that fails has not happened."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytestmark = pytest.mark.train

pytest.importorskip("tensorflow", reason="needs edge-lstm[train]")

from edge_lstm.backends.litert import LiteRtBackend  # noqa: E402
from edge_lstm.bundle import MODEL, Bundle  # noqa: E402
from edge_lstm.contracts.manifest import Head, Manifest, Scoring  # noqa: E402
from edge_lstm.core.backend import Backend, TensorArray  # noqa: E402
from edge_lstm.core.quantize import zero  # noqa: E402
from edge_lstm.core.stepper import Stepper, state_tensors  # noqa: E402
from edge_lstm.core.streams import StreamTable  # noqa: E402
from edge_lstm.testing import FakeBackend, fake_manifest  # noqa: E402
from trainer.cells import CELLS  # noqa: E402
from trainer.convert import Representative, convert  # noqa: E402
from trainer.model import Autoencoder, Shape  # noqa: E402

Floats = NDArray[np.float64]
CHANNELS = 5
NAMES = tuple(f"c{i}" for i in range(CHANNELS))
ZEROS, ONES = (0.0,) * CHANNELS, (1.0,) * CHANNELS
VAR = Head("var", "var", 1.0, 1.0, ZEROS, ONES, 1.0, lags=(1, 3), memory=(0.1,))
WEIGHTS = {"var": np.random.default_rng(3).normal(size=(1 + 3 * CHANNELS, CHANNELS)) / 4}
STREAMS, STEPS = 300, 2000


@dataclass(frozen=True)
class Made:
    """A network with a linear member beside it."""

    manifest: Manifest
    content: bytes

    def backend(self) -> LiteRtBackend:
        """A fresh one."""
        return LiteRtBackend(Bundle(Path("memory"), "", self.manifest, {MODEL: self.content}))


@pytest.fixture(scope="module", params=[*CELLS, "lstm of two layers with attention"])
def made(request: pytest.FixtureRequest) -> Made:
    """An untrained network of each cell, as int8."""
    deep = request.param not in CELLS
    shape = Shape(
        CHANNELS,
        units=6,
        code=2,
        cell="lstm" if deep else request.param,
        layers=2 if deep else 1,
        attention=2 if deep else 0,
    )
    random = np.random.default_rng(0)
    states = tuple(random.uniform(-1, 1, size=(200, width)).astype(np.float32) for width in shape.widths)
    frames = random.normal(size=(200, CHANNELS)).astype(np.float32)
    converted = convert(Autoencoder(shape, seed=0), Representative(frames, states))
    fake = fake_manifest(NAMES)
    heads = (fake.scoring.heads[0], VAR, *fake.scoring.heads[1:])
    manifest = fake_manifest(
        NAMES,
        inputs=converted.inputs,
        outputs=converted.outputs,
        states=converted.states,
        scoring=Scoring(8.0, 1e6, heads),
    )
    return Made(manifest, converted.content)


def table_of(manifest: Manifest, streams: int) -> StreamTable:
    """Fresh streams."""
    table = StreamTable(manifest)
    for i in range(streams):
        table.add(str(i))
    return table


def readings(steps: int, streams: int) -> Floats:
    """Model units, (steps, streams, channels), some of them beyond the range of int8."""
    return np.asarray(np.random.default_rng(1).normal(scale=2.0, size=(steps, streams, CHANNELS)))


def alone(manifest: Manifest, backend: Backend, z: Floats) -> tuple[Floats, StreamTable]:
    """What each stream is told one at a time, (steps, streams, heads, channels), and its state after."""
    stepper, table = Stepper(manifest, backend, WEIGHTS), table_of(manifest, z.shape[1])
    out = np.empty((*z.shape[:2], len(manifest.scoring.heads), CHANNELS))
    for i in range(z.shape[1]):
        states, memory = table.states(str(i)), table.view("linear", str(i))
        for t in range(len(z)):
            out[t, i] = stepper.step(z[t, i], states, memory)
    return out, table


def dumps(table: StreamTable) -> list[Mapping[str, bytes]]:
    """Every stream's arrays as bytes."""
    return [table.dump(str(i)) for i in range(len(table))]


def test_batches_of_any_size_and_order_are_single_streams(made: Made) -> None:
    """300 streams for 2,000 steps, each step cut into other batches: heads and states bit for bit."""
    z, random = readings(STEPS, STREAMS), np.random.default_rng(2)
    expected, single = alone(made.manifest, made.backend(), z)
    stepper = Stepper(made.manifest, made.backend(), WEIGHTS)
    table = table_of(made.manifest, STREAMS)
    for t in range(STEPS):
        order = random.permutation(STREAMS)
        cuts = np.sort(random.integers(0, STREAMS, random.integers(0, 4)))
        for rows in np.split(order, cuts):
            said = stepper.step_rows(table, rows, z[t, rows])
            assert np.array_equal(expected[t, rows], said), f"step {t}, batch of {len(rows)}"

    assert dumps(single) == dumps(table)


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 39), unique=True, max_size=40), min_size=1, max_size=8))
def test_any_batches_are_single_streams_with_the_fake_model(batches: list[list[int]]) -> None:
    """Streams that come in some steps only, in any order, have the state of those steps alone."""
    manifest = fake_manifest(NAMES)
    stepper = Stepper(manifest, FakeBackend(), {})
    table, single = table_of(manifest, 40), table_of(manifest, 40)
    z = readings(len(batches), 40)
    for frames, rows in zip(z, batches, strict=True):
        said = stepper.step_rows(table, np.array(rows, np.intp), frames[rows])
        for i, row in enumerate(rows):
            states, memory = single.states(str(row)), single.view("linear", str(row))
            assert np.array_equal(stepper.step(frames[row], states, memory), said[i])

    assert dumps(single) == dumps(table)


@pytest.mark.parametrize("rows", [[1, 1], [0, 3], [-1, 0]], ids=["twice", "beyond", "negative"])
def test_rows_that_are_not_one_stream_each_are_refused(rows: list[int]) -> None:
    """The second frame of a stream would start from the state before its first."""
    manifest = fake_manifest(NAMES)
    table = table_of(manifest, 3)
    before = dumps(table)

    with pytest.raises(ValueError, match=r"must be different ones|negative"):
        Stepper(manifest, FakeBackend(), {}).step_rows(table, np.array(rows), readings(1, 2)[0])
    assert before == dumps(table)


class Unplugged:
    """Stands for a runtime that fails in the middle."""

    def __call__(self) -> None:
        """What LiteRT raises when a delegate fails."""
        raise RuntimeError("Node number 0 (EdgeTpuDelegate) failed to invoke.")


def broken(backend: LiteRtBackend) -> LiteRtBackend:
    """The same with every interpreter failing from now on."""
    for network in (backend._single, *backend._batches.values()):
        network.invoke = Unplugged()
    return backend


def test_failed_step_leaves_the_states(made: Made) -> None:
    """Alone and in a batch: a step that raised has not happened, and can be done by another backend."""
    backend, table = made.backend(), table_of(made.manifest, 3)
    stepper, rows, z = Stepper(made.manifest, backend, WEIGHTS), np.array([2, 0, 1]), readings(2, 3)
    stepper.step_rows(table, rows, z[0])
    before = dumps(table)
    broken(backend)

    with pytest.raises(RuntimeError, match="failed to invoke"):
        stepper.step_rows(table, rows, z[1])
    with pytest.raises(RuntimeError, match="failed to invoke"):
        stepper.step(z[1, 0], table.states("0"), table.view("linear", "0"))
    assert before == dumps(table)


def fresh_states(manifest: Manifest) -> list[TensorArray]:
    """Hidden and cell of one stream."""
    return [np.full(a.shape[-1], zero(a), a.dtype) for a, _ in state_tensors(manifest)]


def test_what_a_step_says_outlives_the_backend(made: Made) -> None:
    """The answer lies in the interpreter's memory, which stays while the answer does; nobody writes there."""
    backend, state = made.backend(), fresh_states(made.manifest)
    said = backend.step(np.full(CHANNELS, 50, np.int8), state)
    copies = {name: array.copy() for name, array in said.items()}
    del backend
    gc.collect()
    others = [made.backend() for _ in range(20)]

    assert len(others) == 20
    for name, array in said.items():
        assert np.array_equal(copies[name], array)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_interpreters_do_not_move_their_tensors(made: Made) -> None:
    """Steps of all sizes in turn: every array is where the interpreter says its tensor is."""
    backend, random = made.backend(), np.random.default_rng(4)
    for size in random.integers(1, 40, 200):
        states = [np.repeat(array[None], size, axis=0) for array in fresh_states(made.manifest)]
        backend.step(np.zeros((size, CHANNELS), np.int8), states)
        backend.step(np.zeros(CHANNELS, np.int8), fresh_states(made.manifest))

    for network in (backend._single, *backend._batches.values()):
        for array in (network.frame, *network.states_in, *network.states_out, *network.said.values()):
            owner: Any = array.base
            now = owner.interpreter.tensor(owner.index)().__array_interface__["data"]
            assert now[0] == array.__array_interface__["data"][0]
