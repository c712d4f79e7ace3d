"""The linear members against their definitions, and the device's stream against the trainer's batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Head, Kind
from edge_lstm.core.linear import LinearMembers
from edge_lstm.errors import BundleError
from trainer.linear import fit_pca, fit_var, regressors
from trainer.settings import PcaSettings, VarSettings

Floats = NDArray[np.float64]
CHANNELS = 4
VAR = VarSettings(lags=(1, 3), memory=(0.5, 0.1), ridge=1e-9)


def head(kind: Kind, **takes: Any) -> Head:  # noqa: ANN401 - lags and memory
    """A head with plain statistics."""
    zeros, ones = (0.0,) * CHANNELS, (1.0,) * CHANNELS
    return Head(kind, kind, 1.0, 1.0, zeros, ones, 1.0, **takes)


HEADS = (
    head("pca_q", lags=(0,)),
    head("pca_t2", lags=(0,)),
    head("var", lags=VAR.lags, memory=VAR.memory),
)


def mixed(rows: int, *, seed: int = 0) -> Floats:
    """Two hidden movements seen by four channels, with noise."""
    random = np.random.default_rng(seed)
    hidden = np.cumsum(random.normal(size=(rows, 2)), axis=0) * 0.05
    mixing = np.array([[1.0, 0.5, -1.0, 0.2], [0.3, -1.0, 0.4, 1.0]])
    return np.asarray(hidden @ mixing + 0.1 * random.normal(size=(rows, CHANNELS)))


def fitted(x: Floats) -> dict[str, Floats]:
    """Weights of every linear head."""
    return {**fit_pca([x], PcaSettings()), **fit_var([x], VAR)}


def streamed(weights: dict[str, Floats], x: Floats) -> Floats:
    """What the device expects, a frame at a time, (rows, heads, channels)."""
    members = LinearMembers(HEADS, weights)
    memory = np.full((3 + 2, CHANNELS), np.nan)
    out = np.zeros((len(x), len(HEADS), CHANNELS))
    for row, expected in zip(x, out, strict=True):
        members.expect(row, memory, expected)
    return out


def test_autoregression_of_the_stream_is_that_of_the_trainer() -> None:
    """The memory on the device holds what the regressors were fitted on, from the first frame on."""
    x = mixed(300)
    weights = fitted(x)
    batch = weights["var"][0] + regressors(x, VAR.lags, VAR.memory) @ weights["var"][1:]

    assert np.abs(streamed(weights, x)[:, 2] - batch).max() < 1e-12


def test_regressors_are_their_definition() -> None:
    """Lag by lag and average by average, written out."""
    x = mixed(50)
    got = regressors(x, (1, 3), (0.5,))
    slow = x[0].copy()
    for t in range(1, 50):
        slow = slow + 0.5 * (x[t - 1] - slow)
        wanted = np.concatenate([x[t - 1], x[max(t - 3, 0)], slow])
        assert np.abs(got[t] - wanted).max() < 1e-12


def test_autoregression_finds_the_dynamics_that_made_the_data() -> None:
    """A known VAR(1) comes back from its own recording (Luetkepohl 2005, section 3.2)."""
    random = np.random.default_rng(1)
    truth = np.array([[0.8, 0.1, 0, 0], [-0.2, 0.7, 0, 0], [0, 0.3, 0.5, 0], [0, 0, 0.2, 0.6]])
    x = np.zeros((20_000, CHANNELS))
    for t in range(1, len(x)):
        x[t] = truth @ x[t - 1] + 0.1 * random.normal(size=CHANNELS)
    weights = fit_var([x], VarSettings(lags=(1,), memory=(), ridge=1e-9))["var"]

    assert np.abs(weights[1:].T - truth).max() < 0.03


def test_pca_heads_have_q_and_t2_of_the_textbook() -> None:
    """The residuals' squares are Jackson & Mudholkar's Q and Hotelling's T2."""
    x = mixed(500)
    weights = fit_pca([x], PcaSettings(share=0.9))
    residual = x[:, None] - streamed(fitted(x), x)[:, :2]
    centred = x - x.mean(axis=0)
    _, deviations, axes = np.linalg.svd(centred, full_matrices=False)
    count = int(np.searchsorted(np.cumsum(deviations**2) / np.sum(deviations**2), 0.9)) + 1
    scores = centred @ axes[:count].T

    q = np.sum((centred - scores @ axes[:count]) ** 2, axis=1)
    t2 = np.sum(scores**2 / (deviations[:count] ** 2 / len(x)), axis=1)
    assert set(weights) == {"pca_q", "pca_t2"}
    assert np.allclose(np.sum(residual[:, 0] ** 2, axis=1), q)
    assert np.allclose(np.sum(residual[:, 1] ** 2, axis=1), t2)


def test_one_channel_has_no_correlations_and_still_has_heads() -> None:
    """With one channel the projection is the mean, and everything stays finite."""
    x = mixed(100)[:, :1]
    weights = {**fit_pca([x], PcaSettings()), **fit_var([x], VarSettings())}

    assert all(np.isfinite(matrix).all() for matrix in weights.values())
    assert np.array_equal(weights["pca_q"], np.array([[x.mean()], [0.0]]))


def test_constant_channel_is_expected_to_stay() -> None:
    """A channel that never moved is foretold by its constant; moving it is a residual at once."""
    x = mixed(300)
    x[:, 1] = 0.0
    weights = fitted(x)
    moved = x.copy()
    moved[200:, 1] = 8.0

    assert np.abs(streamed(weights, x)[:, 2, 1]).max() < 1e-6
    assert np.abs(moved - streamed(weights, moved)[:, 2])[200:, 1].min() > 7.9


def test_batches_of_streams_are_streams() -> None:
    """Leading dimensions are independent streams, told the same bit for bit."""
    weights, x = fitted(mixed(300)), np.stack([mixed(40, seed=2), mixed(40, seed=3)])
    members, memory = LinearMembers(HEADS, weights), np.full((2, 5, CHANNELS), np.nan)
    out = np.zeros((40, 2, len(HEADS), CHANNELS))
    for t in range(40):
        members.expect(x[:, t], memory, out[t])

    for i in range(2):
        assert np.array_equal(out[:, i], streamed(weights, x[i]))


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"var": np.zeros((3, 3))},
        {"var": np.full((1 + 4 * CHANNELS, CHANNELS), np.nan)},
    ],
    ids=["missing", "another shape", "not finite"],
)
def test_weights_that_do_not_fit_are_refused(broken: dict[str, Floats]) -> None:
    """A bundle with the wrong arrays is an error when it is opened, not a wrong score later."""
    with pytest.raises(BundleError, match="weights of head 'var' cannot be used"):
        LinearMembers(HEADS[2:], broken)
