"""What the contest judges is what the device runs: batches of runs score as streams do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_lstm.backends import load_backend
from edge_lstm.bundle import MODEL, open_bundle
from trainer.candidates import Field, candidates
from trainer.split import Part
from trainer.trace import fused, trace

pytestmark = pytest.mark.train
RUNS, ROWS = 5, 120


def test_batch_of_runs_scores_as_each_run_alone(tiny_bundle: Path) -> None:
    """Int8 network, autoregression and score, a run at a time and all at once."""
    bundle = open_bundle(tiny_bundle)
    manifest, weights = bundle.manifest, bundle.weights()
    centre, scale = np.asarray(manifest.scaling.centre), np.asarray(manifest.scaling.scale)
    z = np.cumsum(np.random.default_rng(0).normal(size=(RUNS, ROWS, len(centre))), axis=1)
    nothing = np.zeros(ROWS, np.bool_)
    times = np.arange(ROWS, dtype=np.int64)
    parts = [
        Part("", times, run * scale + centre, np.ones(run.shape, np.bool_), ROWS, ROWS, False, nothing)
        for run in z
    ]
    alone = trace(manifest, load_backend(bundle), weights, parts, most=RUNS * ROWS)
    runs = np.stack([one.z for one in alone])
    field = Field(manifest, bundle.read(MODEL), weights)

    together = field.score(runs, ["lstm", "var"])
    wanted = np.stack([fused(manifest.scoring, one) for one in alone])
    assert np.abs(together - wanted).max() < 1e-9
    assert np.abs(field.score(runs[:1], ["lstm", "var"]) - together[:1]).max() < 1e-9


def test_members_of_an_ensemble_are_averaged(tiny_bundle: Path) -> None:
    """An ensemble's score is the mean of its members' scores."""
    bundle = open_bundle(tiny_bundle)
    field = Field(bundle.manifest, bundle.read(MODEL), bundle.weights())
    runs = np.random.default_rng(1).normal(size=(2, 40, len(bundle.manifest.channels)))
    lstm, var, both = candidates(field, {"lstm": 2000.0, "var": 50.0}, ["lstm", "var"])

    assert ["lstm", "var", "lstm+var"] == [one.name for one in (lstm, var, both)]
    assert np.allclose((lstm.score(runs) + var.score(runs)) / 2, both.score(runs))
    assert [2000.0, 50.0, 2050.0] == [one.cost for one in (lstm, var, both)]
