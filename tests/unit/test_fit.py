"""Training: what the settings promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [pytest.mark.train]

tf = pytest.importorskip("tensorflow", reason="needs edge-lstm[train]")

from trainer.fit import FitSettings, Fitted, fit, forward, unroll  # noqa: E402
from trainer.model import Autoencoder, Shape  # noqa: E402

Floats = NDArray[np.float32]
SHAPE = Shape(2, units=6, code=2)
QUICK = FitSettings(updates=20, steps=8, tracks=4)


def noise(rows: int, *, seed: int = 0) -> Floats:
    """Two channels of white noise: only a memory can tell an earlier reading."""
    return np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32)


def trained(x: Floats, shape: Shape, settings: FitSettings) -> Fitted:
    """Fitted on all but the last 100 rows."""
    marks = np.ones_like(x)
    return fit([(x[:-100], marks[:-100])], [(x[-200:], marks[-200:], 100)], shape, settings)


def test_code_learns_to_tell_earlier_readings() -> None:
    """The reading before the newest is rebuilt from the code; of noise, ignorance would err by 1."""
    shape = replace(SHAPE, mode="reconstruction", code=4, units=12, lags=(1,))
    settings = FitSettings(updates=600, steps=8, learning_rate=2e-2, dropout=0.0, recall=1.0)
    model = trained(noise(3000), shape, settings).model
    x = noise(500, seed=9)
    said, _, _ = unroll(model, tf.constant(x[None]), tf.ones((1, 500)), model.zero_states(1))

    assert np.mean(np.square(said["lags"].numpy()[0, 1:] - x[:-1])) < 0.5


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole", "cifg"])
def test_same_seed_gives_the_same_weights(cell: str) -> None:
    """Bit for bit, dropout and all; another seed gives others."""
    shape = replace(SHAPE, cell=cell, attention=2, lags=(1,), linear=True)
    first, second, other = (
        trained(noise(600), shape, replace(QUICK, seed=seed)).model.weights() for seed in (1, 1, 2)
    )

    assert all(map(np.array_equal, first, second))
    assert not all(map(np.array_equal, first, other))


def test_every_weight_is_trained() -> None:
    """No weight of any path stays where it began."""
    shape = replace(SHAPE, cell="peephole", attention=2, lags=(1,), linear=True, layers=2)
    before = Autoencoder(shape, seed=QUICK.seed).weights()
    after = trained(noise(600), shape, QUICK).model.weights()

    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))


def test_linear_path_is_added_to_the_forecast_alone() -> None:
    """W x comes on top of what the hidden state says of the change."""
    x, w = noise(30), noise(2, seed=3)
    model = Autoencoder(replace(SHAPE, linear=True), seed=0)
    without, _ = forward(model, x)
    model.straight.assign(w)
    with_it, _ = forward(model, x)

    assert np.array_equal(without["reconstruction"], with_it["reconstruction"])
    np.testing.assert_allclose(with_it["forecast"] - without["forecast"], x @ w, atol=1e-5)


def test_training_stops_when_later_history_no_longer_improves() -> None:
    """And the weights are those of the best evaluation: noise can only be learned by heart."""
    x = noise(300)
    settings = FitSettings(updates=4000, steps=8, learning_rate=2e-2, patience=3)
    fitted = trained(x, replace(SHAPE, mode="forecast"), settings)

    assert fitted.curve[-1].update < settings.updates
    assert 3 < len(fitted.curve)
    assert min(e.validation_loss for e in fitted.curve) == fitted.best.validation_loss
    said, _ = forward(fitted.model, x[-200:])
    ahead = np.square(x[-200:-1] + said["forecast"][:-1] - x[-199:])[100:]
    assert ahead.sum() / x[-100:].size == pytest.approx(fitted.best.validation_loss, rel=1e-5)
