"""Float batch = float stream = exported step, and what int8 owes them, for every kind of model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [pytest.mark.train, pytest.mark.timeout(280)]

tf = pytest.importorskip("tensorflow", reason="needs edge-lstm[train]")

from edge_lstm.backends.litert import LiteRtBackend  # noqa: E402
from edge_lstm.bundle import MODEL, Bundle  # noqa: E402
from edge_lstm.contracts.manifest import Manifest, Scoring, State  # noqa: E402
from edge_lstm.core.stepper import Stepper, state_tensors  # noqa: E402
from edge_lstm.core.streams import StreamTable  # noqa: E402
from edge_lstm.testing import fake_manifest  # noqa: E402
from trainer.cells import CELLS  # noqa: E402
from trainer.convert import Converted, Representative, convert  # noqa: E402
from trainer.fit import FitSettings, fit, forward, unroll  # noqa: E402
from trainer.flatbuffer import ConversionError, finish, operators  # noqa: E402
from trainer.model import HEADS, Autoencoder, Shape  # noqa: E402
from trainer.prepare import CLIP  # noqa: E402

Floats = NDArray[np.float32]
CHANNELS = 5
NAMES = tuple(f"c{i}" for i in range(CHANNELS))
ALLOWED = {
    *("ADD", "CONCATENATION", "FULLY_CONNECTED", "LOGISTIC", "MUL", "SOFTMAX", "SPLIT", "STRIDED_SLICE"),
    *("SUB", "TANH"),
}
"""Operators with an int8 kernel since long before TFLite's last Edge TPU compiler."""

PLAIN = Shape(CHANNELS, units=8, code=2)
SMALL = Shape(CHANNELS, units=6, code=2)
SHAPES = {
    "lstm": PLAIN,
    "lstm of two layers": replace(PLAIN, layers=2),
    # Every pair of cell and mode, cell and layers, cell and attention, mode and attention.
    **{
        f"{cell} {mode}": replace(
            SMALL,
            cell=cell,
            mode=mode,
            layers=1 + (i + j) % 2,
            attention=3 * ((i + j // 2) % 2),
            lags=(1, 4) if mode != "forecast" and i % 2 else (),
            linear=mode != "reconstruction" and j == i % 2,
        )
        for i, cell in enumerate(CELLS)
        for j, mode in enumerate(HEADS)
    },
}
"""What is held against each other; the first two are trained for longer."""


def signal(rows: int, *, seed: int = 0) -> Floats:
    """Coupled, noisy oscillations with a slow swing: something an LSTM can follow."""
    random, t = np.random.default_rng(seed), np.arange(rows)
    waves = [np.sin(t / (7 + 3 * i)) + 0.5 * np.sin(t / 400) for i in range(CHANNELS)]
    return (np.stack(waves, 1) + 0.1 * random.normal(size=(rows, CHANNELS))).astype(np.float32)


@dataclass(frozen=True)
class Made:
    """A small trained model in all its forms."""

    model: Autoencoder
    real: Converted
    int8: Converted


@pytest.fixture(scope="module", params=SHAPES)
def made(request: pytest.FixtureRequest) -> Made:
    """Trained, as float and as int8."""
    x, shape = signal(1500), SHAPES[request.param]
    marks = np.ones_like(x)
    long = shape.units == PLAIN.units
    settings = FitSettings(updates=150 if long else 60, tracks=8, steps=32 if long else 8)
    model = fit([(x[:1200], marks[:1200])], [(x[1000:], marks[1000:], 200)], shape, settings).model
    return Made(model, convert(model, None), convert(model, representative(model)))


def representative(model: Autoencoder) -> Representative:
    """Readings with the states the model has when it meets them."""
    x = signal(1500)
    return Representative(x[::5], tuple(state[::5] for state in forward(model, x)[1]))


def manifest_of(converted: Converted, model: Autoencoder) -> Manifest:
    """The facts of a converted model."""
    fake = fake_manifest(NAMES, inputs=converted.inputs, outputs=converted.outputs, states=converted.states)
    heads = [head for head in fake.scoring.heads if head.output in model.shape.heads]
    return fake_manifest(
        NAMES,
        inputs=converted.inputs,
        outputs=converted.outputs,
        states=converted.states,
        scoring=Scoring(CLIP, 1e6, tuple(heads)),
    )


def stream(converted: Converted, model: Autoencoder, x: Floats) -> NDArray[np.float64]:
    """Step a converted model one reading at a time, (rows, heads, channels)."""
    manifest = manifest_of(converted, model)
    backend = LiteRtBackend(Bundle(Path("memory"), "", manifest, {MODEL: converted.content}))
    stepper, table = Stepper(manifest, backend, {}), StreamTable(manifest)
    table.add("p")
    states, memory = table.states("p"), table.view("linear", "p")
    return np.stack([stepper.step(row, states, memory) for row in x.astype(np.float64)])


def batch(model: Autoencoder, x: Floats) -> Floats:
    """The whole segment at once, (rows, heads, channels)."""
    said, _ = forward(model, x)
    return np.stack([said[head] for head in model.shape.heads], axis=1)


def rows_for(made: Made) -> int:
    """10,000 steps for the models that were trained for longer, fewer for the variants."""
    return 10_000 if made.model.shape.units == PLAIN.units else 2000


def test_shapes_cover_every_pair() -> None:
    """No cell is left without a mode, a second layer or an attention of its own."""
    shapes = SHAPES.values()

    assert {(c, m) for c in CELLS for m in HEADS} <= {(s.cell, s.mode) for s in shapes}
    assert {(c, n) for c in CELLS for n in (1, 2)} <= {(s.cell, s.layers) for s in shapes}
    assert {(c, n) for c in CELLS for n in (0, 3)} <= {(s.cell, s.attention) for s in shapes}
    assert {(m, n) for m in HEADS for n in (0, 3)} <= {(s.mode, s.attention) for s in shapes}


def test_float_batch_equals_float_stream_at_every_step(made: Made) -> None:
    """The exported single step with carried states follows the batch forward pass."""
    x = signal(rows_for(made), seed=1)

    assert np.abs(stream(made.real, made.model, x) - batch(made.model, x)).max() < 2e-5


def test_training_graph_equals_batch_forward(made: Made) -> None:
    """The unrolled graph that was trained is the model that is exported."""
    x = signal(64, seed=2)
    said, _, _ = unroll(made.model, tf.constant(x[None]), tf.ones((1, 64)), made.model.zero_states(1))
    unrolled = np.stack([said[head].numpy()[0] for head in made.model.shape.heads], axis=1)

    assert np.abs(unrolled - batch(made.model, x)).max() < 1e-5


def test_export_has_the_heads_of_its_mode_and_no_more(made: Made) -> None:
    """Neither the output of another mode nor the decoder of the lags reaches the device."""
    names = [tensor.name for tensor in made.int8.outputs]

    assert sorted([*made.model.shape.heads, *(s.output for s in made.int8.states)]) == sorted(names)
    heads = [tensor.shape for tensor in made.int8.outputs if tensor.name in made.model.shape.heads]
    assert {(1, CHANNELS)} == set(heads)


def test_int8_model_is_whole_int8(made: Made) -> None:
    """No float op and no (de)quantization: checked on the file."""
    assert set(operators(made.int8.content)) <= ALLOWED
    assert {"int8"} == {tensor.dtype for tensor in (*made.int8.inputs, *made.int8.outputs)}
    assert len(made.int8.content) < 100_000


def test_each_state_has_one_scale(made: Made) -> None:
    """What comes out of a step goes into the next one untouched."""
    for before, after in state_tensors(manifest_of(made.int8, made.model)):
        assert (before.scale, before.zero_point) == (after.scale, after.zero_point)


def test_ring_keeps_its_vectors_as_they_are(made: Made) -> None:
    """A hidden vector moves through the ring without being rounded again."""
    if not made.model.shape.attention:
        assert "ring_in" not in {state.input for state in made.int8.states}
        return
    manifest = manifest_of(made.int8, made.model)
    backend = LiteRtBackend(Bundle(Path("memory"), "", manifest, {MODEL: made.int8.content}))
    random, units = np.random.default_rng(5), made.model.shape.units
    state = [random.integers(-100, 100, a.shape[-1]).astype(np.int8) for a, _ in state_tensors(manifest)]
    before = state[-1].copy()
    backend.step(np.zeros(CHANNELS, np.int8), state)

    top = [s.output for s in manifest.states].index(f"hidden_out_{made.model.shape.layers - 1}")
    assert np.array_equal(np.concatenate([before[units:], state[top]]), state[-1])


def test_int8_follows_float(made: Made) -> None:
    """int8 says what float says to the end, and its error does not grow with the stream."""
    rows = rows_for(made)
    x = signal(rows, seed=3)
    real, whole = stream(made.real, made.model, x), stream(made.int8, made.model, x)
    error = np.abs(real - whole).mean(axis=(1, 2))
    late = slice(-rows // 4, None)

    assert np.corrcoef(real[late].ravel(), whole[late].ravel())[0, 1] > 0.97
    if rows >= 10_000:
        swing = round(800 * np.pi)  # whole slow swings: the error depends on where in one the signal is
        assert error[-swing:].mean() < 1.2 * error[500 : 500 + swing].mean()


def test_model_range_is_the_clip(made: Made) -> None:
    """The frame's tensor holds every value the normaliser lets through to within one step."""
    frame = next(t for t in made.int8.inputs if t.name == "frame")

    assert CLIP >= 127 * frame.scale > 0


def test_conversion_twice_gives_the_same_bytes(made: Made) -> None:
    """Conversion is deterministic."""
    assert made.int8.content == convert(made.model, representative(made.model)).content


@pytest.fixture(scope="module")
def plain() -> Made:
    """An untrained model as float and as int8."""
    model = Autoencoder(SMALL, seed=0)
    return Made(model, convert(model, None), convert(model, representative(model)))


def test_model_left_in_float_is_refused_with_operator_and_tensor(plain: Made) -> None:
    """What the converter leaves in float is named, not shipped."""
    with pytest.raises(ConversionError, match=r"whole int8.*FULLY_CONNECTED on .*frame"):
        finish(plain.real.content, "frame", plain.real.states, whole_int8=True)


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ([State("hidden_in_0", "hidden_out_0"), State("hidden_in_0", "cell_out_0")], "cell_out_0"),
        ([State("frame", "hidden_in_0")], "got none"),
    ],
)
def test_state_without_one_scale_is_refused(plain: Made, states: list[State], says: str) -> None:
    """Two computed tensors behind a state, or none, cannot be made one."""
    with pytest.raises(ConversionError, match=says):
        finish(plain.int8.content, "frame", states, whole_int8=True)
