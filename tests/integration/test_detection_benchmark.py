"""The detection benchmark as ``make bench-detection`` runs it, on recordings made up here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from edge_lstm.times import NS
from tests.benchmark.detection.cases import cases

pytestmark = pytest.mark.train

ROOT = Path(__file__).parents[2]
FIRST_NS = 1_000_000_000 * NS


def machine(rows: int, *, seed: int, broken: slice = slice(0)) -> NDArray[np.float64]:
    """Four channels that follow one swing; while broken, one of them leaves it."""
    rng = np.random.default_rng(seed)
    swing = np.sin(np.arange(rows) / 7)[:, None] * np.array([1.0, -1.0, 0.5, 2.0])
    values: NDArray[np.float64] = swing + 0.1 * rng.normal(size=(rows, 4))
    values[broken, 1] += 3.0
    return values


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one machine of ASD and test 2 of the bearings, both made up."""
    data = tmp_path_factory.mktemp("data")
    for name in ("asd", "ims_bearing"):
        (data / name).mkdir()
    normal, test = machine(400, seed=0), machine(300, seed=1, broken=slice(150, 200))
    columns = [f"c{i}" for i in range(4)]
    label = pl.Series("label", (np.arange(300) >= 150) & (np.arange(300) < 200)).cast(pl.Int64)
    for part, values in (("train", normal), ("test", test)):
        table = pl.DataFrame(values, schema=columns)
        table.insert_column(0, pl.Series("time", np.arange(len(values)) * 60))
        table = table.with_columns(label) if part == "test" else table
        table.write_parquet(data / "asd" / f"1_{part}.parquet")
    bearings = machine(500, seed=2, broken=slice(330, 500))[:, [1, 0, 2, 3]]
    names = [f"Bearing {i}" for i in range(1, 5)]
    time = pl.Series("", FIRST_NS + np.arange(500) * 600 * NS).cast(pl.Datetime("ns"))
    table = pl.DataFrame(bearings, schema=names).insert_column(0, time.dt.strftime("%Y-%m-%d %H:%M:%S"))
    table.write_csv(data / "ims_bearing" / "test_2.csv")
    return data


def run(data: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """A trial run with few updates."""
    options = ["--sets", "asd operation", "--seeds", "1", "--jobs", "1", "--updates", "75"]
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmark.detection", *options, "--data", data, "--cache", cache],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_benchmark_writes_its_page_and_keeps_its_results(recordings: Path, tmp_path: Path) -> None:
    """A run leaves a page with every method and both pictures; a second run has nothing left to do."""
    done, again = run(recordings, tmp_path), run(recordings, tmp_path)

    assert (0, 0) == (done.returncode, again.returncode), done.stderr
    assert "4 jobs, 0 of them kept" in done.stderr
    assert "4 jobs, 4 of them kept" in again.stderr
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    tables = [line for line in page.splitlines() if line.startswith("|")]
    for method in ("edge-lstm", "LSTM alone", "all four", "windowed LSTM-AE", "EWMA-z", "PCA (Q)", "VAR(5)"):
        assert any(re.match(rf"\| {re.escape(method)} \| [01]\.\d{{3}} ", line) for line in tables), method
    assert "$" not in page
    assert "| VUS-PR, smd | ≥ 0.68 | not run | – |" in tables
    assert "A trial with 75 weight updates instead of" in page
    for name in ("benchmark-vus.svg", "benchmark-ims.svg"):
        picture = ET.parse(tmp_path / "img" / name)  # noqa: S314 - the run above wrote it
        assert picture.getroot().tag.endswith("svg")


def test_scores_and_alarms_are_those_of_the_device(recordings: Path, tmp_path: Path) -> None:
    """Members scored side by side, and alarms from those scores, are what the detector says."""
    from tests.benchmark.detection.members import candidates, history_of, score_all, watch
    from tests.benchmark.detection.results import OURS
    from trainer.alarms import verdicts
    from trainer.build import build_whole, deliver
    from trainer.held_contest import together
    from trainer.progress import Watcher
    from trainer.settings import ModelSettings, TrainSettings

    (case,) = cases(recordings, "asd")
    settings = TrainSettings(model=ModelSettings(updates=75))
    whole = build_whole(history_of(case, tmp_path), settings, name="x", watcher=Watcher())
    manifest = deliver(whole, together(settings), settings)[0]

    device = watch(whole, manifest, case.tests[0], case.channels)
    scores = score_all(whole, case.tests[0], range(4), candidates(settings))[OURS]
    up = verdicts(manifest.threshold, scores, warm_up=manifest.grid.warm_up)

    np.testing.assert_allclose(scores, device.score, rtol=1e-12)
    opened = case.tests[0].time_ns[np.flatnonzero(np.diff(up, prepend=False) & up)]
    assert device.opened
    assert device.opened == opened.tolist()
