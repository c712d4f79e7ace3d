"""The detection benchmark: its cases, its baselines, its figures and its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.times import NS
from tests.benchmark.detection.baselines import run_baselines
from tests.benchmark.detection.cases import SETS, Case, Stretch, cases
from tests.benchmark.detection.digest import modules_behind
from tests.benchmark.detection.results import OURS, Figures, Result, Watch, judge
from tests.benchmark.detection.summary import spread, summarize, watched
from tests.benchmark.detection.targets import RANKED, targets

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def stretch(values: Floats, *, place: int = 0, labels: Bools | None = None, asset: str = "") -> Stretch:
    """A stretch with a row a minute."""
    rows = len(values)
    time_ns = (place * 100_000 + np.arange(rows)) * 60 * NS
    return Stretch(f"{place}", asset, time_ns, values, np.zeros(rows, np.bool_) if labels is None else labels)


def case_of(normal: Floats, test: Floats, labels: Bools) -> Case:
    """One history and one recording."""
    channels = tuple(f"c{i}" for i in range(normal.shape[1]))
    return Case("asd", "made", channels, (stretch(normal),), (stretch(test, place=1, labels=labels),))


def made(kind: str) -> Case:
    """A history of slow correlated channels, and a recording with one fault, rows 300 to 399."""
    rng = np.random.default_rng(0)

    def slow(rows: int) -> Floats:
        factor, out = 0.0, np.zeros((rows, 3))
        for i in range(rows):
            factor = 0.95 * factor + rng.normal()
            out[i] = factor * np.array([1.0, -1.0, 0.5])
        return out + 0.1 * rng.normal(size=out.shape)

    normal, test, labels = slow(2000), slow(600), np.zeros(600, np.bool_)
    labels[300:400] = True
    if kind == "level":
        test[labels] += 40.0
    elif kind == "correlation":
        test[labels, 2] *= -1
    else:
        test[labels] = rng.normal(size=(100, 1)) * np.array([1.0, -1.0, 0.5]) * 3.0
    return case_of(normal, test, labels)


@pytest.mark.parametrize(
    ("kind", "finder"), [("level", "EWMA-z"), ("correlation", "PCA (Q)"), ("dynamics", "VAR(5)")]
)
def test_baseline_finds_what_it_is_for(kind: str, finder: str) -> None:
    """Each baseline ranks its own sort of fault well, and raises an alarm inside it."""
    (figures,) = run_baselines(made(kind)).figures[finder]

    assert figures.vus_pr > 0.85
    assert 1 == figures.events.found


def test_baseline_alone_is_not_enough() -> None:
    """What one baseline is made for, another does not see: the cases above are no give-aways."""
    (blind,) = run_baselines(made("correlation")).figures["EWMA-z"]

    assert blind.vus_pr < 0.5


@pytest.mark.parametrize("which", SETS)
def test_case_learns_from_normal_rows_before_the_tests(shared_data: Path, which: str) -> None:
    """A history holds no labelled row, times run on, and every recording to rank has both labels."""
    for case in cases(shared_data, which):
        everything = [*case.history, *case.tests]

        assert not any(one.labels.any() for one in case.history)
        assert all((np.diff(one.time_ns) > 0).all() for one in everything)
        assert all(np.isfinite(one.values).all() for one in everything)
        assert all(one.values.shape[1] == len(case.channels) for one in everything)
        if which != "operation":
            last = max(int(one.time_ns[-1]) for one in case.history)
            assert all(one.time_ns[0] > last for one in case.tests)
            assert all(one.labels.any() and not one.labels.all() for one in case.tests)


def test_digest_reaches_what_scores_depend_on() -> None:
    """A result is thrown away when the training, the scoring or the protocol changes, not by the page."""
    behind = set(modules_behind("tests.benchmark.detection.members"))

    assert {
        "trainer.fit",
        "trainer.calibrate",
        "trainer.vus",
        "edge_lstm.core.scoring",
        "edge_lstm.core.threshold",
        "tests.benchmark.detection.cases",
    } <= behind
    assert "tests.benchmark.detection.page" not in behind


def figures(*, alarm: Sequence[int], labelled: range, rows: int = 100) -> Figures:
    """A recording on which the score is the alarm."""
    labels, up = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    labels[list(labelled)], up[list(alarm)] = True, True
    return judge(stretch(np.zeros((rows, 1)), labels=labels), up.astype(np.float64), up, period_s=60)


def result(which: str, seed: int, *rows: Figures, method: str = OURS, part: str = "members") -> Result:
    """A result with one method."""
    return Result(set=which, case="x", seed=seed, part=part, history_rows=400, figures={method: list(rows)})


def test_summary_pools_events_and_keeps_seeds_apart() -> None:
    """Counts of recordings add up within a seed; every seed is a row."""
    hit = figures(alarm=[50, 51], labelled=range(50, 60))
    false = figures(alarm=[5], labelled=range(50, 60))

    rows = summarize([result("ims", 0, hit, false), result("ims", 1, hit, hit)]).rows["ims"][OURS]

    assert [0.5, 1.0] == [row.f1 for row in rows]
    assert pytest.approx(1000 / 180) == rows[0].false_per_1000
    assert [pytest.approx(1 / 180), 0.0] == [row.far for row in rows]
    assert [0.9, 0.8] == [row.mar for row in rows]


def test_target_that_is_missed_is_missed() -> None:
    """A figure below its target is not reached; one that was not measured is neither."""
    perfect, blind = (
        figures(alarm=range(50, 60), labelled=range(50, 60)),
        figures(alarm=[], labelled=range(5)),
    )
    results = [result(which, 0, blind if which == "smd" else perfect) for which in RANKED if which != "asd"]

    verdicts = {one.name: one.reached for one in targets(summarize(results), results)}

    assert verdicts["VUS-PR, smd"] is False
    assert verdicts["VUS-PR, skab"] is True
    assert verdicts["VUS-PR, asd"] is None
    assert verdicts["VUS-PR, mean of these five"] is None
    assert verdicts["SKAB, official protocol: F1 and false alarm rate"] is True


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5, 0.7], "0.60 (0.50 to 0.70)"),
        ([0.5, 0.5001], "0.50"),
        ([math.nan, 0.5], "0.50"),
        ([math.nan], "–"),
        ([], "–"),
    ],
)
def test_spread_says_how_far_seeds_differ(values: list[float], text: str) -> None:
    """The mean, and the ends where they differ in print."""
    assert text == spread(values, "{:.2f}".format)


def test_watched_counts_from_start_and_end() -> None:
    """Early alarms lie in the first 72 hours; the lead is that of the first alert on bearing 1."""
    hour = 3600 * NS
    seen = Watch(
        time_ns=[i * hour for i in range(169)],
        score=[0.0] * 169,
        level=1.0,
        alerts=[(71 * hour, "Bearing 2"), (100 * hour, "Bearing 3"), (102 * hour, "Bearing 1")],
        opened=[71 * hour, 100 * hour],
    )
    one = Result(set="operation", case="test_2", seed=0, part="members", history_rows=300, watch=seen)

    told = watched(one)

    assert told is not None
    assert (1, 97.0, 66.0) == (told.early, told.first, told.lead)
