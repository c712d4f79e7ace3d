"""Float batch = float stream = exported step, and what int8 owes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [pytest.mark.train, pytest.mark.timeout(280)]

tf = pytest.importorskip("tensorflow", reason="needs edge-lstm[train]")

from edge_lstm.backends.litert import LiteRtBackend  # noqa: E402
from edge_lstm.bundle import MODEL, Bundle  # noqa: E402
from edge_lstm.core.stepper import Stepper, state_tensors  # noqa: E402
from edge_lstm.core.streams import StreamTable  # noqa: E402
from edge_lstm.testing import fake_manifest  # noqa: E402
from trainer.build import CLIP  # noqa: E402
from trainer.convert import Converted, Representative, convert  # noqa: E402
from trainer.fit import FitSettings, fit, forward  # noqa: E402
from trainer.flatbuffer import operators  # noqa: E402
from trainer.model import Autoencoder, Shape  # noqa: E402

Floats = NDArray[np.float32]
CHANNELS = 5
NAMES = tuple(f"c{i}" for i in range(CHANNELS))


def signal(rows: int, *, seed: int = 0) -> Floats:
    """Coupled, noisy oscillations with a slow swing: something an LSTM can follow."""
    random, t = np.random.default_rng(seed), np.arange(rows)
    waves = [np.sin(t / (7 + 3 * i)) + 0.5 * np.sin(t / 400) for i in range(CHANNELS)]
    return (np.stack(waves, 1) + 0.1 * random.normal(size=(rows, CHANNELS))).astype(np.float32)


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def model(request: pytest.FixtureRequest) -> Autoencoder:
    """A small trained model."""
    x = signal(1500)
    marks = np.ones_like(x)
    shape = Shape(CHANNELS, units=8, layers=request.param, code=2)
    settings = FitSettings(updates=150, tracks=8)
    return fit([(x[:1200], marks[:1200])], [(x[1000:], marks[1000:], 200)], shape, settings).model


@pytest.fixture(scope="module")
def int8(model: Autoencoder) -> Converted:
    """The model as int8."""
    x = signal(1500)
    return convert(model, Representative(x, tuple(forward(model, x)[2])))


def stream(converted: Converted, x: Floats) -> NDArray[np.float64]:
    """Step a converted model one reading at a time, (rows, heads, channels)."""
    manifest = fake_manifest(
        NAMES, inputs=converted.inputs, outputs=converted.outputs, layers=converted.layers
    )
    backend = LiteRtBackend(Bundle(Path("memory"), "", manifest, {MODEL: converted.content}))
    stepper, table = Stepper(manifest, backend), StreamTable(manifest)
    table.add("p")
    states = table.states("p")
    return np.stack([stepper.step(row, states) for row in x.astype(np.float64)])


def test_float_batch_equals_float_stream_at_every_step(model: Autoencoder) -> None:
    """10,000 steps: the exported single step with carried states follows the batch forward pass."""
    x = signal(10_000, seed=1)
    rebuilt, change, _ = forward(model, x)
    streamed = stream(convert(model, None), x)

    assert np.abs(streamed[:, 0] - rebuilt).max() < 2e-5
    assert np.abs(streamed[:, 1] - change).max() < 2e-5


def test_training_graph_equals_batch_forward(model: Autoencoder) -> None:
    """The unrolled graph that was trained is the model that is exported."""
    from trainer.fit import _unroll

    x = signal(64, seed=2)
    rebuilt, change, _, _ = _unroll(model, tf.constant(x[None]), tf.ones((1, 64)), model.zero_states(1), None)
    batch = forward(model, x)

    assert np.abs(rebuilt.numpy()[0] - batch[0]).max() < 1e-5
    assert np.abs(change.numpy()[0] - batch[1]).max() < 1e-5


def test_int8_model_is_whole_int8(int8: Converted) -> None:
    """No float op and no (de)quantization: checked on the file."""
    names = set(operators(int8.content))

    assert names <= {"FULLY_CONNECTED", "ADD", "MUL", "SPLIT", "LOGISTIC", "TANH"}
    assert {"int8"} == {tensor.dtype for tensor in (*int8.inputs, *int8.outputs)}
    assert len(int8.content) < 100_000


def test_each_state_has_one_scale(int8: Converted) -> None:
    """What comes out of a step goes into the next one untouched."""
    manifest = fake_manifest(NAMES, inputs=int8.inputs, outputs=int8.outputs, layers=int8.layers)

    for before, after in state_tensors(manifest):
        assert (before.scale, before.zero_point) == (after.scale, after.zero_point)


def test_int8_follows_float_over_10_000_steps(model: Autoencoder, int8: Converted) -> None:
    """The error of int8 does not grow with the length of the stream."""
    x = signal(10_000, seed=3)
    real, whole = stream(convert(model, None), x), stream(int8, x)
    error = np.abs(real - whole).mean(axis=(1, 2))

    assert np.corrcoef(real.ravel(), whole.ravel())[0, 1] > 0.98
    swing = round(800 * np.pi)  # whole slow swings: the error depends on where in a swing the signal is
    assert error[-swing:].mean() < 1.2 * error[500 : 500 + swing].mean()


def test_model_range_is_the_clip(int8: Converted) -> None:
    """The frame's tensor holds every value the normaliser lets through to within one step."""
    frame = next(t for t in int8.inputs if t.name == "frame")

    assert CLIP >= 127 * frame.scale > 0


def test_conversion_twice_gives_the_same_bytes(model: Autoencoder, int8: Converted) -> None:
    """Conversion is deterministic."""
    x = signal(1500)

    assert int8.content == convert(model, Representative(x, tuple(forward(model, x)[2]))).content
