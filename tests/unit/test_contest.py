"""The contest finds the right winner, and measures what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contest_cases import (
    Score,
    ewma,
    latch,
    latched_mode,
    linear_dynamics,
    pca,
    static_correlation,
    var,
)
from trainer.calibrate import fit_tail
from trainer.contest import Candidate, Contest, labelled, run_contest
from trainer.contest_words import contest_lines, contest_page, contest_table
from trainer.inject import KINDS
from trainer.normal_runs import NormalRuns, cut_runs

Floats = NDArray[np.float64]
LEAD, HORIZON = 60, 40
COST = {"ewma": 1.0, "pca": 10.0, "var": 50.0, "lstm": 2000.0}


def tail_level(scores: Sequence[Floats]) -> float:
    """A threshold as the project sets it on a short history."""
    tail = fit_tail(scores)
    return max(tail.level(1 / (20 * tail.readings)), tail.highest)


def contest_on(make: Callable[[int], Floats], lstm: Callable[[Floats], Score]) -> Contest:
    """Learn on the first part of a made history, compete on the rest."""
    x = make(7000)
    learned, held_out = x[:5000], x[5000 - LEAD :]
    normal = cut_runs([held_out], lead=LEAD, horizon=HORIZON, most=200)
    fits = {"lstm": lstm, "ewma": ewma, "pca": pca, "var": var}
    candidates = [Candidate(name, fit(learned), COST[name]) for name, fit in fits.items()]
    return run_contest(candidates, normal, level_of=tail_level, most_rows=60_000)


def test_pca_wins_on_static_correlation() -> None:
    """Channels that belong together and have no past: only correlation tells a fault."""
    contest = contest_on(static_correlation, ewma)
    kinds = {name: one.by_kind for name, one in contest.results.items()}

    assert ("pca", "pca") == (contest.verdict.winner, contest.verdict.ship)
    assert "pca" in contest.verdict.beats_lstm
    assert kinds["pca"]["lost_correlation"] > 0.5
    assert kinds["var"]["lost_correlation"] < 0.1
    assert "ship `members: [pca]` instead" in contest.verdict.sentences[0]


def test_var_wins_on_linear_dynamics() -> None:
    """Channels with a past of their own and nothing in common: only dynamics tell a fault."""
    contest = contest_on(linear_dynamics, ewma)

    assert ("var", "var") == (contest.verdict.winner, contest.verdict.ship)
    assert contest.results["var"].by_kind["changed_period"] > 0.3
    assert contest.results["pca"].by_kind["changed_period"] < 0.1


def test_memory_wins_on_a_latched_mode() -> None:
    """A mode set 20 to 50 rows ago decides: a detector that remembers it wins, five lags do not.

    The detector is a stand-in that knows how the history was made, not a trained LSTM.
    """
    contest = contest_on(latched_mode, latch)

    assert ("lstm", "lstm", ()) == (
        contest.verdict.winner,
        contest.verdict.ship,
        contest.verdict.beats_lstm,
    )
    assert contest.results["lstm"].by_kind["lost_correlation"] > 0.5
    assert max(contest.results[name].by_kind["lost_correlation"] for name in ("ewma", "pca", "var")) < 0.1


def normal_runs(rows: int = 3000) -> NormalRuns:
    """Runs of nine correlated channels."""
    return cut_runs([static_correlation(rows)], lead=LEAD, horizon=HORIZON, most=200)


def distance(runs: Floats) -> Floats:
    """The greatest deviation of any channel: no memory, no scale."""
    return np.asarray(np.abs(runs).max(axis=2))


def blind(runs: Floats) -> Floats:
    """Alarms at every tenth row, whatever it reads."""
    return np.asarray(np.tile(np.arange(runs.shape[1]) % 10 == 0, (len(runs), 1)), float)


def run(
    *candidates: tuple[str, Score],
    normal: NormalRuns | None = None,
    level: Callable[[Sequence[Floats]], float] | None = None,
) -> Contest:
    """A contest of bare score functions, each dearer than the one before."""
    some = [Candidate(name, score, float(i)) for i, (name, score) in enumerate(candidates)]
    return run_contest(some, normal or normal_runs(), level_of=level, most_rows=40_000)


def test_alarm_that_would_have_come_anyway_finds_nothing() -> None:
    """Alarms at fixed rows hit every fault and find none."""
    contest = run(("lstm", blind), ("ewma", distance), level=lambda _scores: 0.5)

    assert (0.0, None) == (contest.results["lstm"].found, contest.results["lstm"].delay)
    assert pytest.approx(0.5, abs=0.02) == contest.results["lstm"].auc
    assert contest.results["lstm"].false_alarms is not None
    assert contest.results["lstm"].false_alarms > 10


def test_delay_counts_readings_from_the_first_faulty_one() -> None:
    """A detector that answers three readings late has a delay three readings longer."""

    def late(runs: Floats) -> Floats:
        score = distance(runs)
        return np.concatenate([np.zeros((len(score), 3)), score[:, :-3]], axis=1)

    quiet = cut_runs([0.01 * static_correlation(3000)], lead=LEAD, horizon=HORIZON, most=200)
    contest = run(("ewma", distance), ("lstm", late), normal=quiet, level=lambda _scores: 0.5)

    assert (0.0, 3.0) == (contest.results["ewma"].delay, contest.results["lstm"].delay)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    """The area equals a count over all pairs of a faulty and a normal row, ties half."""
    normal = cut_runs([static_correlation(600)], lead=LEAD, horizon=HORIZON, most=20)
    seen: list[Floats] = []

    def rounded(runs: Floats) -> Floats:
        score = np.round(distance(runs))
        seen.append(score)
        return score

    contest = run_contest([Candidate("lstm", rounded, 1.0)], normal, most_rows=1400)
    usual, faulty = seen[0][:, LEAD:], seen[1]
    assert 14 == len(faulty)
    areas = []
    for fault in range(14):
        kind = KINDS[fault // 2]
        rows = faulty[fault, LEAD : LEAD + 3] if kind == "spike" else faulty[fault, LEAD:]
        pairs = np.sign(rows[:, None] - usual.ravel())
        areas.append(float(np.mean((pairs + 1) / 2)))

    assert pytest.approx(np.mean(areas)) == contest.results["lstm"].auc


def test_rule_sees_normal_scores_without_the_lead() -> None:
    """The threshold comes from the rows that count, a stretch a run, the same for all."""
    told: list[tuple[int, set[int]]] = []

    def rule(scores: Sequence[Floats]) -> float:
        told.append((len(scores), {len(one) for one in scores}))
        return 1e9

    contest = run(("lstm", distance), ("ewma", distance), level=rule)

    assert (contest.normal_runs, {HORIZON}) in told
    assert {HORIZON} == set.union(*(lengths for _, lengths in told))
    assert {1e9} == {one.level for one in contest.results.values()}
    assert (None, "lstm") == (contest.verdict.winner, contest.verdict.ship)


def test_false_alarms_are_counted_on_the_other_half() -> None:
    """A detector whose normal scores grow over time passes the level of its first half."""

    def grows(runs: Floats) -> Floats:
        return np.asarray(runs[:, :, 0])

    x = np.stack([np.arange(4000.0), np.zeros(4000)], axis=1)
    normal = cut_runs([x], lead=LEAD, horizon=HORIZON, most=50)
    contest = run_contest([Candidate("lstm", grows, 1.0)], normal, level_of=tail_level, most_rows=20_000)

    assert 1000 * 0.5 / HORIZON >= (contest.results["lstm"].false_alarms or 0) > 5


def test_equal_candidates_draw_and_the_cheaper_one_is_named() -> None:
    """The same detector twice: no winner by chance, the cheap one is enough."""
    contest = run(("ewma", distance), ("lstm", distance))

    assert ("ewma", ()) == (contest.verdict.ship, contest.verdict.beats_lstm)
    assert "is enough" in contest.verdict.sentences[0]


def test_candidates_get_bounded_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large contest is scored in pieces, and in pieces of any size it comes out the same."""
    sizes: list[int] = []

    def watched(runs: Floats) -> Floats:
        sizes.append(runs.shape[0] * runs.shape[1])
        return distance(runs)

    whole = run(("lstm", watched))
    monkeypatch.setattr("trainer.contest._CHUNK_ROWS", 1234)
    sizes.clear()

    assert whole == run(("lstm", watched))
    assert 1234 - LEAD - HORIZON < max(sizes) <= 1234


def test_contest_is_the_same_every_time() -> None:
    """Same runs, same seed: the same figures to the last digit."""
    one, again = (run(("lstm", distance), ("ewma", blind)) for _ in range(2))

    assert one == again


def test_history_too_short_says_so() -> None:
    """Nothing to inject into: no error, no winner, a sentence."""
    empty = cut_runs([static_correlation(8)], lead=LEAD, horizon=HORIZON, most=200)
    contest = run(("lstm", distance), ("ewma", distance), normal=empty)

    assert (None, "lstm") == (contest.verdict.winner, contest.verdict.ship)
    assert "too short for a contest" in contest_lines(contest.to_dict())[-1]


def test_manifest_form_is_plain_and_tells_all() -> None:
    """The dictionary survives JSON, and table, lines and page come from it alone."""
    contest = run(("ewma", distance), ("lstm", blind), level=lambda _scores: 6.0)
    plain = json.loads(msgspec.json.encode(contest.to_dict()))
    table, lines = contest_table(plain), contest_lines(plain)
    page = contest_page(plain)

    assert ["ewma", "lstm"] == [row[0] for row in table[1:]]
    assert {len(table[0])} == {len(row) for row in table}
    assert f"{sum(plain['faults'].values())} faults were injected" in lines[0]
    assert list(contest.verdict.sentences) == lines[-len(contest.verdict.sentences) :]
    assert ["LSTM", "EWMA"] == [curve.name for curve in page.curves]
    assert [0.0] * 4 == page.curves[0].found
    assert 1.0 == page.curves[1].found[-1]


def test_labels_add_columns_and_leave_the_verdict() -> None:
    """Labelled figures stand beside the others; a metric sees scores and labels as given."""
    contest = run(("ewma", distance), ("lstm", blind))
    labels = [np.array([False, True, True]), np.array([False, False])]
    scores = {"ewma": [np.array([0.0, 1.0, 2.0]), np.zeros(2)], "lstm": [np.zeros(3), np.zeros(2)]}

    def gain(some: Sequence[Floats], marks: Sequence[NDArray[np.bool_]]) -> float:
        return float(sum(score[mark].sum() for score, mark in zip(some, marks, strict=True)))

    after = labelled(contest, scores, labels, {"gain": gain})

    assert {"gain": 3.0} == after.results["ewma"].labelled
    assert contest.verdict == after.verdict
    assert "gain" == contest_table(after.to_dict())[0][-1]
    assert replace(after.results["ewma"], labelled={}) == contest.results["ewma"]
