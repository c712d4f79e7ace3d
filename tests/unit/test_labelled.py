"""Labelled rows are kept out of what is learned, and their stretches whole for the contest."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm.errors import HistoryError
from trainer.data import History, Segment
from trainer.labelled import without_anomalies
from trainer.labels import Labels

S = 1_000_000_000


def recording(marks: str) -> tuple[History, Labels]:
    """A row a second, one channel that counts, anomalous where ``#`` stands."""
    time_ns = np.arange(len(marks), dtype=np.int64) * S
    values = np.arange(len(marks), dtype=np.float64)[:, None]
    history = History(
        channels=("a",), segments=(Segment("", "x.csv", time_ns, values),), period_s=1.0, files=()
    )
    return history, Labels("label", {"": (time_ns, np.array([mark == "#" for mark in marks]))})


def test_history_is_cut_at_its_anomalies() -> None:
    """What is left is every normal row, in unbroken pieces; what was cut stays whole beside it."""
    marks = "." * 50 + "#" * 7 + "." * 40 + "#" + "." * 30
    normal, (stretch,) = without_anomalies(*recording(marks))

    assert [50, 40, 30] == [len(one.time_ns) for one in normal.segments]
    learned = np.concatenate([one.values[:, 0] for one in normal.segments]).astype(int)
    assert [i for i, mark in enumerate(marks) if mark == "."] == learned.tolist()
    assert len(marks) == len(stretch.segment.time_ns)
    assert marks.count("#") == stretch.marks.sum()


def test_anomalies_at_the_ends_leave_no_empty_pieces() -> None:
    """A history that begins and ends anomalous has one normal piece."""
    normal, _ = without_anomalies(*recording("###" + "." * 80 + "##"))

    assert [80] == [len(one.time_ns) for one in normal.segments]


def test_history_with_hardly_a_normal_row_is_refused() -> None:
    """Labels the wrong way round leave nothing to learn, and the error says which column."""
    with pytest.raises(HistoryError, match="column 'label': hardly anything of the history is normal"):
        without_anomalies(*recording("#" * 200 + "." * 20))
