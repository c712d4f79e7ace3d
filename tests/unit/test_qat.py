"""Quantization-aware training: rounded and exact come nearer to each other."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.train


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_rounded_and_exact_come_nearer(cell: str) -> None:
    """On a signal that was not learned; and the exact network does not become worse."""
    import tensorflow as tf

    from trainer.fit import FitSettings, fit, unroll
    from trainer.model import Autoencoder, Shape
    from trainer.qat import tune
    from trainer.rounding import EXACT, INT8, Rounding

    rng = np.random.default_rng(0)

    def signal(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        t = np.arange(rows)
        waves = [np.sin(t / (5 + 3 * i) + rng.uniform(0, 6)) for i in range(4)]
        return (np.stack(waves, 1) + 0.1 * rng.normal(size=(rows, 4))).astype(np.float32)

    def said(model: Autoencoder, q: Rounding) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        start, keep = model.zero_states(1), tf.ones((1, len(later)))
        whole: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = unroll(
            model, tf.constant(later[None]), keep, start, q=q
        )[0]["reconstruction"].numpy()[0]
        return whole

    x, later = signal(800), signal(200)
    marks = np.ones_like(x)
    model = fit(
        [(x, marks)], [(x, marks, 100)], Shape(4, cell=cell), FitSettings(updates=100, tracks=8)
    ).model
    exact = said(model, EXACT)
    apart, error = np.square(said(model, INT8) - exact).mean(), np.square(exact - later).mean()

    tune(model, [(x, marks)], dict.fromkeys(model.shape.heads, np.full(4, 0.1)), updates=200)
    tuned = said(model, EXACT)
    assert np.square(said(model, INT8) - tuned).mean() < apart
    assert np.square(tuned - later).mean() < 1.2 * error
