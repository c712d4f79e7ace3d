"""Blocks in time: what is held out, what may be learned beside it, and figures over blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.errors import HistoryError
from trainer.data import History, Segment
from trainer.folds import cut_folds, spread
from trainer.folds_evaluate import cut_tracks, evaluate_blocks
from trainer.folds_text import folds_table
from trainer.tracks import Track

S = 10**9


def history(*lengths: int, assets: tuple[str, ...] = ("",)) -> History:
    """Segments one after the other, machines taking turns; every value is its row's number."""
    segments, at = [], 0
    for i, rows in enumerate(lengths):
        place = np.arange(at, at + rows, dtype=np.int64)
        segments.append(Segment(assets[i % len(assets)], f"{i}.csv", place * S, place[:, None].astype(float)))
        at += rows + 1000
    return History(("c",), tuple(segments), 1.0)


def rows_of(segments: list[Segment]) -> list[int]:
    """The numbers of all rows."""
    return [int(value) for one in segments for value in one.values[:, 0]]


@given(
    st.lists(st.integers(300, 900), min_size=1, max_size=4),
    st.integers(2, 4),
    st.integers(0, 40),
    st.sampled_from([("",), ("a", "b")]),
)
def test_every_row_judges_once_and_nothing_near_it_is_learned(
    lengths: list[int], folds: int, gap: int, assets: tuple[str, ...]
) -> None:
    """For any segments: blocks part the history; within ``gap`` rows of a block nothing is learned."""
    table = history(*lengths, assets=assets)
    cut = cut_folds(table, folds, gap=gap)
    judged = [rows_of([one.segment for one in fold.judged]) for fold in cut]
    alone = [[int(v) for one in fold.judged for v in one.segment.values[one.lead :, 0]] for fold in cut]

    assert rows_of(list(table.segments)) == sorted(row for block in alone for row in block)
    for fold, with_lead, block in zip(cut, judged, alone, strict=True):
        learned = np.array(rows_of(list(fold.learned.segments)))
        assert fold.rows == len(block)
        assert not set(learned) & set(with_lead)
        distance = np.abs(learned[:, None] - np.array(block)[None]).min()
        assert distance > gap
        assert (min(block) * S, max(block) * S) == fold.span


def test_each_machine_is_in_every_block() -> None:
    """Blocks are cut machine by machine: no fold meets a machine that it never learned."""
    cut = cut_folds(history(600, 300, 300, assets=("a", "b", "a")), 3, gap=10)

    for fold in cut:
        assert {"a", "b"} == {one.segment.asset for one in fold.judged}
        assert {"a", "b"} == {one.asset for one in fold.learned.segments}
        own = {one.segment.asset: 0 for one in fold.judged}
        for one in fold.judged:
            own[one.segment.asset] += len(one.segment.values) - one.lead
        assert {"a": 300, "b": 100} == own


@pytest.mark.parametrize(
    ("rows", "folds", "said"),
    [(400, 20, "--folds 6 is possible"), (100, 5, "leave --folds out")],
)
def test_too_many_folds_say_how_many_are_possible(rows: int, folds: int, said: str) -> None:
    """The number that is named works, and the next one does not."""
    with pytest.raises(HistoryError, match=said):
        cut_folds(history(rows), folds, gap=100)
    if "possible" in said:
        most = int(said.split()[1])
        assert most == len(cut_folds(history(rows), most, gap=100))
        with pytest.raises(HistoryError):
            cut_folds(history(rows), most + 1, gap=100)


def test_spread_leaves_out_what_is_not_defined() -> None:
    """Mean and sample deviation of the blocks that have the figure; nulls where too few have."""
    assert {"mean": 3.0, "spread": pytest.approx(2.0**0.5), "blocks": 2} == spread([2.0, None, 4.0])
    assert {"mean": 2.0, "spread": None, "blocks": 1} == spread([None, 2.0])
    assert {"mean": None, "spread": None, "blocks": 0} == spread([None])


def test_table_of_many_folds_has_no_column_a_block() -> None:
    """Twenty columns fit on no terminal; mean and spread stay."""
    figure = {"mean": 0.5, "spread": None, "blocks": 1}
    keys = ("found", "auc", "false_alarms", "rmse", "r2")

    def table(folds: int) -> list[list[str]]:
        each = [dict.fromkeys(keys, 0.25)] * folds
        return folds_table({"folds": folds, "each": each, "figures": dict.fromkeys(keys, figure)})

    assert ["faults found, %", "25.0", "25.0", "50.0", "-"] == table(2)[1]
    assert ["faults found, %", "50.0", "-"] == table(20)[1]


# ----------------------------------------------------------------------------------------------- evaluation


def track(asset: str, rows: int, *, events: tuple[slice, ...] = (), alarms: tuple[slice, ...] = ()) -> Track:
    """A machine that was watched every second; its score is 1 in alarms."""
    labels, alarm = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    for one in events:
        labels[one] = True
    for one in alarms:
        alarm[one] = True
    values = np.arange(rows, dtype=float)[:, None] % 7
    return Track(
        asset=asset,
        source=f"{asset}.csv",
        time_ns=np.arange(rows, dtype=np.int64) * S,
        seconds=np.ones(rows),
        score=alarm.astype(float),
        alarm=alarm,
        warming=np.zeros(rows, np.bool_),
        labels=labels,
        actual=values,
        expected=values + 1,
    )


def test_figures_are_means_over_blocks_that_have_them() -> None:
    """Recall over the blocks with an event; false episodes over all of them."""
    one = track(
        "p",
        400,
        events=(slice(20, 40), slice(120, 140)),
        alarms=(slice(25, 30), slice(210, 215), slice(260, 262)),
    )
    over = evaluate_blocks([one], ["c"], folds=4, level=0.5, window=10, step=1)

    assert [1, 1, 0, 0] == [block.labelled for block in over.each]
    assert (0.5, pytest.approx(0.5**0.5), 2) == tuple(
        getattr(over.figures["event_recall"], key) for key in ("mean", "spread", "blocks")
    )
    assert [0.0, 0.0, 20.0, 0.0] == [b.figures["false_episodes_per_1000_readings"] for b in over.each]
    assert (5.0, 4) == (
        over.figures["false_episodes_per_1000_readings"].mean,
        over.figures["false_episodes_per_1000_readings"].blocks,
    )
    assert [None, None] == [b.figures["event_precision"] for b in over.each[2:]]
    assert 1.0 == over.reconstruction["c"]["rmse"].mean


def test_machines_are_cut_at_the_same_times() -> None:
    """A machine that was watched half as long is in the first blocks alone; no reading is lost."""
    cut = cut_tracks([track("a", 400), track("b", 200)], 3)

    assert [["a", "b"], ["a", "b"], ["a"]] == [[one.asset for one in block] for block in cut]
    assert [200, 200, 200] == [sum(len(one.score) for one in block) for block in cut]
    assert [int(block[0].time_ns[0]) for block in cut] == [0, 100 * S, 200 * S]


def test_too_many_blocks_say_how_many_are_possible() -> None:
    """Sixty readings are the least that a rate is told of."""
    with pytest.raises(HistoryError, match="--folds 6 is possible"):
        cut_tracks([track("a", 400)], 50)
    assert 6 == len(cut_tracks([track("a", 400)], 6))
