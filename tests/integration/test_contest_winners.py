"""`train`'s contest names the right winner where it is known who must win."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contest_cases import latched_mode, linear_dynamics, static_correlation
from trainer.build import Built, build
from trainer.data import History, Segment
from trainer.pack import members_of
from trainer.progress import Watcher
from trainer.settings import ModelSettings, TrainSettings

Floats = NDArray[np.float64]
ROWS, UPDATES = 5000, 1000


def history(values: Floats) -> History:
    """A minute a row, one unbroken stretch."""
    time_ns = np.arange(len(values), dtype=np.int64) * 60 * 10**9
    names = tuple(f"c{i}" for i in range(values.shape[1]))
    return History(
        channels=names, segments=(Segment("", "made.csv", time_ns, values),), period_s=60.0, files=()
    )


@pytest.mark.parametrize(
    ("case", "winner"),
    [(static_correlation, "pca"), (linear_dynamics, "var"), (latched_mode, "lstm")],
    ids=["static correlation", "linear dynamics", "memory longer than the lags"],
)
def test_contest_names_the_model_that_fits_the_data(case: Callable[..., Floats], winner: str) -> None:
    """The real training, the real int8 model, faults that know nothing of the case; `auto` ships it."""
    settings = TrainSettings(members="auto", model=ModelSettings(updates=UPDATES))
    built: Built = build(history(case(ROWS, seed=0)), settings, name="made", watcher=Watcher())
    verdict = built.metrics["contest"]["verdict"]
    files = set(members_of(built))

    assert winner == verdict["winner"]
    assert not verdict["draws"]
    assert (winner == "lstm") == ("model.int8.tflite" in files)
    if winner != "lstm":
        assert f"--members {winner}" in verdict["sentences"][0]
