from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.bundle import Bundle
from edge_lstm.contracts.manifest import Channel
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.errors import HistoryError
from edge_lstm.testing import fake_manifest
from trainer.calibrate import Tail
from trainer.data import FileFacts, History, Segment, read_history, read_options
from trainer.evaluate import evaluate
from trainer.evaluate_text import evaluation_lines
from trainer.evaluation import Evaluation
from trainer.events import (
    EventCounts,
    ReadingCounts,
    count_events,
    count_readings,
    false_runs,
    merged_runs,
    seconds_of,
)
from trainer.labels import Labels, read_labels
from trainer.replay import Replayed
from trainer.tracks import learned_note, refuse_backward, tracks_of

NS = 1_000_000_000
START = 1_783_677_600 * NS


def mask(text: str) -> NDArray[np.bool_]:
    """A picture as a mask: ``#`` is True."""
    return np.array([letter == "#" for letter in text])


# ---------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize(
    ("alarm", "merge", "expected"),
    [
        ("..##..#..", 2, [(2, 3), (6, 6)]),
        ("..##..#..", 3, [(2, 6)]),
        ("#.......#", 7, [(0, 0), (8, 8)]),
        ("#.......#", 8, [(0, 8)]),
        (".........", 20, []),
    ],
)
def test_alarms_close_together_are_one_episode(
    alarm: str, merge: int, expected: list[tuple[int, int]]
) -> None:
    """Distance is counted from the last reading of one alarm to the first of the next."""
    starts, lasts = merged_runs(mask(alarm), merge=merge)

    assert expected == list(zip(starts.tolist(), lasts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("labels", "alarm", "expected"),
    [
        # found two readings late; a false episode before it
        ("......####", "##....  ##", EventCounts(1, 1, 1, 1, 6, 6.0, ((2, 2.0),))),
        # an episode that ends before the event touches nothing, and the event is missed
        ("......####", "...###....", EventCounts(1, 0, 0, 1, 6, 6.0, ())),
        # one episode over two events is one true episode and finds both
        (".##...##..", ".#######..", EventCounts(2, 2, 1, 0, 6, 6.0, ((0, 0.0), (0, 0.0)))),
        # an episode that began before the event: no delay
        ("....##....", "..####....", EventCounts(1, 1, 1, 0, 8, 8.0, ((0, 0.0),))),
        ("..........", "..........", EventCounts(normal=10, normal_s=10.0)),
        ("##########", "..........", EventCounts(labelled=1)),
    ],
)
def test_events_are_counted(labels: str, alarm: str, expected: EventCounts) -> None:
    """Episodes that touch an event are true, events with an alarm inside are found."""
    times = START + np.arange(10, dtype=np.int64) * NS

    assert expected == count_events(mask(labels), mask(alarm), times, np.ones(10), merge=1)


def test_episode_merged_across_an_event_is_true() -> None:
    """Two alarms around an event, close enough to be one episode, touch it without finding it."""
    counts = count_events(
        mask("...##..."), mask("..#..#.."), START + np.arange(8, dtype=np.int64) * NS, np.ones(8)
    )

    assert (1, 0, 0) == (counts.true, counts.false, counts.found)


def test_figures_of_events() -> None:
    """Precision is of episodes, recall of events, the delay a median; nothing is divided by zero."""
    counts = EventCounts(4, 2, 3, 1, 100, 100.0, ((2, 4.0), (5, 10.0)))

    assert (0.75, 0.5, (3.5, 7.0)) == (counts.precision, counts.recall, counts.median_delay)
    assert counts.f1 == pytest.approx(0.6)
    assert (None, None, 0.0, None) == (
        EventCounts().precision,
        EventCounts().recall,
        EventCounts().f1,
        EventCounts().median_delay,
    )


def test_readings_are_counted_without_adjustment() -> None:
    """One alarm in an event of four is one hit and three misses; rates are SKAB's."""
    counts = count_readings(mask("..####...."), mask(".##......."))

    assert counts == ReadingCounts(1, 1, 3, 5)
    assert (1 / 6, 3 / 4) == (counts.false_alarm_rate, counts.missed_alarm_rate)
    assert (0.5, 0.25) == (counts.precision, counts.recall)
    assert counts.f1 == pytest.approx(1 / 3)


def test_false_runs_touch_no_label() -> None:
    """Only runs apart from every label count."""
    assert false_runs(mask("#..##..#.#"), mask("...#......"), merge=1) == 3


def test_silence_is_not_watched_time() -> None:
    """A reading after a gap stands for one period, like the very first."""
    times = START + np.array([0, 1, 3, 1000], np.int64) * NS

    assert [1.0, 1.0, 2.0, 1.0] == seconds_of(times, period_s=1.0, gap_after_s=10.0).tolist()


# ---------------------------------------------------------------------------------------------------- labels


def write(path: Path, head: list[str], rows: list[list[object]]) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([head, *rows])
    return path


def labelled(path: Path, cells: list[object]) -> Path:
    """One channel and a column of labels, a row a second."""
    return write(
        path, ["time", "a", "anomaly"], [[1_783_677_600 + i, i % 3, one] for i, one in enumerate(cells)]
    )


def marks_of(path: Path, column: str = "anomaly", **options: object) -> Labels:
    """The labels of a file, as the command reads them."""
    return read_labels([path], column, channels=["a"], options=read_options(strict=False, **options))


@pytest.mark.parametrize("cells", [[0, 1, 1], ["0.0", "1.0", "1"], ["false", "True", "true"]])
def test_labels_are_zero_and_one_or_false_and_true(tmp_path: Path, cells: list[object]) -> None:
    """The forms in which labels come."""
    times, marks = marks_of(labelled(tmp_path / "x.csv", cells)).marks[""]

    assert [False, True, True] == marks.tolist()
    assert [START, START + NS, START + 2 * NS] == times.tolist()


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([0, 1, 2, 0], r"row 3, column 'anomaly': not a label: expected 0 or 1 .*got 2"),
        ([0, 1, "", 0], r"row 3, column 'anomaly': no label here"),
        ([0, 1, 0.5, 0], r"row 3, .*got 0.5"),
        (["no", "yes", "no"], r"row 1, column 'anomaly': not a label: .*got no"),
        ([0, 1, "x", 0, 1, 0], r"row 3, column 'anomaly'"),
        ([0, 0, 0], "no row is labelled 1"),
        (["", "", ""], "row 1, column 'anomaly': no label here"),
    ],
)
def test_bad_labels_are_refused_with_their_row(tmp_path: Path, cells: list[object], says: str) -> None:
    """Nothing is guessed: the file, the row and the cell are named."""
    with pytest.raises(HistoryError, match=says):
        marks_of(labelled(tmp_path / "x.csv", cells))


def test_misspelt_label_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """The column that was meant is named, and the option."""
    with pytest.raises(HistoryError, match=r"did you mean 'anomaly'\? \(--labels\)"):
        marks_of(labelled(tmp_path / "x.csv", [0, 1]), "anomlay")


def test_model_that_saw_the_labels_is_not_judged(tmp_path: Path) -> None:
    """A bundle with the label among its channels was trained on the answer."""
    with pytest.raises(HistoryError, match="--ignore a"):
        marks_of(labelled(tmp_path / "x.csv", [0, 1]), "a")


def test_other_label_columns_are_named(tmp_path: Path) -> None:
    """SKAB has two columns of labels: the one that is not used is said."""
    path = write(
        tmp_path / "x.csv",
        ["datetime", "a", "anomaly", "changepoint"],
        [[f"2020-03-09 10:14:{i:02d}", i % 3, i // 5, i == 5] for i in range(10)],
    )
    labels = marks_of(path)

    assert ("changepoint",) == labels.others
    assert [False] * 5 + [True] * 5 == labels.marks[""][1].tolist()


@pytest.mark.parametrize("place", ["beside the value", "as a channel"])
def test_labels_of_a_long_table(tmp_path: Path, place: str) -> None:
    """A label holds from its time on: frames are whole a little later than their first value."""
    rows: list[list[object]] = []
    for i in range(8):
        mark = int(i >= 4)
        for k, name in enumerate(("a", "b")):
            rows.append([START // 10**6 + 1000 * i + 10 * k, name, i % 3, mark])
        if place == "as a channel":
            rows.append([START // 10**6 + 1000 * i, "anomaly", mark, 0])
    head = ["time", "channel", "value", "anomaly" if place == "beside the value" else "other"]
    path = write(tmp_path / "x.csv", head, rows)
    history = read_history([path], channels=["a", "b"], strict=False, period_s=1.0)
    labels = read_labels([path], "anomaly", channels=["a", "b"], options=read_options(strict=False))
    times = np.concatenate([segment.time_ns for segment in history.segments])

    assert [False] * 4 + [True] * 4 == labels.at("", times, period_s=1.0).tolist()


def test_reading_without_a_label_is_refused() -> None:
    """A label that is older than a period says nothing of a reading."""
    labels = Labels("y", {"": (np.array([0, NS], np.int64), np.array([False, True]))})

    assert [False, True, True] == labels.at("", np.array([0, NS, 2 * NS]), period_s=1.0).tolist()
    for late in (-1, 2 * NS + 1):
        with pytest.raises(HistoryError, match="no label for a reading"):
            labels.at("", np.array([0, late]), period_s=1.0)
    with pytest.raises(HistoryError, match="no label for a reading"):
        labels.at("another", np.array([0]), period_s=1.0)


# ------------------------------------------------------------------------------------------------ evaluation


STATUSES = {"#": StreamStatus.OPEN, "w": StreamStatus.WARMING, "p": StreamStatus.PAUSED}


def replayed(
    scores: list[float], alarm: str, *, asset: str = "asset", start: int = START, error: float = 0.5
) -> Replayed:
    """What a detector would have said of a recording of one channel: reading i is i, rebuilt i - error."""
    out = Replayed(readings=len(scores))
    for i, (score, state) in enumerate(zip(scores, alarm, strict=True)):
        status = {"#": StreamStatus.OPEN, "w": StreamStatus.WARMING, "p": StreamStatus.PAUSED}.get(
            state, StreamStatus.NORMAL
        )
        out.scores.append(Score(asset, i, start + i * NS, score, 1.0, status, (1.0,), (float(i),), (error,)))
        out.values.append((float(i),))
    return out


def history_of(*segments: tuple[str, str, int, int]) -> History:
    """Segments of asset, source, start and rows."""
    return History(
        ("a",),
        tuple(
            Segment(asset, source, start + np.arange(rows, dtype=np.int64) * NS, np.zeros((rows, 1)))
            for asset, source, start, rows in segments
        ),
        1.0,
    )


def labels_of(text: str, asset: str = "", start: int = START) -> Labels:
    """Labels from a picture, a reading a second."""
    return Labels("y", {asset: (start + np.arange(len(text), dtype=np.int64) * NS, mask(text))})


def found_by(out: Replayed, history: History, labels: Labels | None, **changes: object) -> Evaluation:
    """The evaluation with a bundle of one channel."""
    manifest = fake_manifest(["a"], **changes)
    tracks = tracks_of(out, history, manifest, asset="asset", labels=labels)
    bundle = Bundle(Path("memory"), "0" * 64, manifest, {})
    column = labels.column if labels else None
    return evaluate(bundle, tracks, level=1.0, readings=out.readings, labels=column)


def test_evaluation_of_one_recording() -> None:
    """Every part is there, and the counts are those that one can count by hand."""
    scores = [0.0] * 10 + [3.0, 3.0] + [0.0] * 28 + [2.0] * 8 + [0.0] * 2
    alarm = "ww........##" + "." * 28 + "....####.."
    labels = "." * 40 + "########.."
    found = found_by(replayed(scores, alarm), history_of(("", "x.csv", START, 50)), labels_of(labels))
    events, readings, calibration = found.events, found.readings, found.calibration

    assert (1, 1, 2, 1, 1) == (
        events.labelled, events.found, events.episodes, events.true_episodes, events.false_episodes
    )  # fmt: skip
    assert (0.5, 1.0) == (events.precision, events.recall)
    assert events.f1 == pytest.approx(2 / 3)
    assert (4.0, 4.0) == (events.median_delay_readings, events.median_delay_s)
    assert pytest.approx(1000 / 42) == events.false_episodes_per_1000_readings
    assert pytest.approx(86400 / 42) == events.false_episodes_per_day
    assert readings is not None
    assert (4, 2, 4, 40) == (
        readings.true_positive, readings.false_positive, readings.false_negative, readings.true_negative
    )  # fmt: skip
    assert calibration is not None
    assert calibration.counted == 1
    assert calibration.months == pytest.approx(40 / (30 * 86400))
    assert (2.0, 2.0) == (calibration.budget_per_month, calibration.expected_per_month)
    assert (2, 42, 8) == (found.data.warming, found.data.normal, found.data.anomalous)
    assert {"a": pytest.approx(0.5)} == {k: v["mae"] for k, v in found.reconstruction.all.items()}


def test_evaluation_without_labels_claims_no_quality() -> None:
    """Episodes, rates and errors are facts; everything else is null, and the text says so."""
    out = replayed([0.0] * 30, "." * 20 + "#" * 10)
    found = found_by(out, history_of(("", "x.csv", START, 30)), None)
    facts = json.loads(msgspec.json.encode(found))

    assert (None, None, None) == (facts["ranking"], facts["readings"], facts["calibration"])
    assert (
        facts["events"]["precision"] is facts["events"]["false_episodes"] is facts["data"]["normal"] is None
    )
    assert (1, pytest.approx(1000 / 30)) == (
        facts["events"]["episodes"],
        facts["events"]["episodes_per_1000_readings"],
    )
    assert not any(line.startswith(("score", "events", "false")) for line in evaluation_lines(found))


def test_recordings_are_ranked_apart_and_counted_together() -> None:
    """A recording without a labelled event has no VUS-PR, and its false episode still counts."""
    later = START + 10_000 * NS
    out = replayed([0.0] * 20 + [1.0] * 10, "." * 20 + "#" * 10)
    second = replayed([5.0] * 30, "#" * 30, start=later)
    out.scores += second.scores
    out.values += second.values
    history = history_of(("", "x.csv", START, 30), ("", "y.csv", later, 30))
    labels = Labels(
        "y",
        {
            "": (
                np.concatenate([one.time_ns for one in history.segments]),
                np.r_[mask("." * 20 + "#" * 10), mask("." * 30)],
            )
        },
    )
    found = found_by(out, history, labels)

    assert [("x.csv", True), ("y.csv", False)] == [
        (one.source, one.vus_pr is not None) for one in found.recordings
    ]
    assert found.ranking is not None
    assert (1, 1.0) == (found.ranking.recordings, found.ranking.auc_pr)
    assert (2, 1) == (found.events.episodes, found.events.false_episodes)


def test_rows_of_overlapping_files_count_once() -> None:
    """The device rejects what comes late: such rows have no score and are in no track."""
    out = replayed([0.0] * 30, "." * 30)
    history = history_of(("", "x.csv", START, 30), ("", "y.csv", START + 20 * NS, 10))
    tracks = tracks_of(out, history, fake_manifest(["a"]), asset="asset", labels=None)

    assert [("x.csv", 30)] == [(track.source, len(track.score)) for track in tracks]


def test_machines_are_apart() -> None:
    """Labels of one machine are not those of another at the same time."""
    out = replayed([0.0] * 5, "." * 5, asset="p1")
    other = replayed([0.0] * 5, "." * 5, asset="p2")
    out.scores += other.scores
    out.values += other.values
    history = history_of(("p1", "x.csv", START, 5), ("p2", "x.csv", START, 5))
    marks = {name: labels_of(text, name).marks[name] for name, text in (("p1", "....."), ("p2", "..##."))}
    tracks = tracks_of(out, history, fake_manifest(["a"]), asset="asset", labels=Labels("y", marks))

    assert [("p1", 0), ("p2", 2)] == [(t.asset, int(t.labels.sum())) for t in tracks if t.labels is not None]


def test_residual_of_a_value_outside_of_its_range_does_not_count() -> None:
    """There the device held the value before, and the error is of that one."""
    manifest = msgspec.structs.replace(fake_manifest(["a"]), channels=(Channel("a", "V", 0.0, 24.5),))
    out = replayed([0.0] * 30, "." * 30)
    out.values[3] = (float("nan"),)
    (track,) = tracks_of(out, history_of(("", "x.csv", START, 30)), manifest, asset="asset", labels=None)

    assert [3, *range(25, 30)] == np.flatnonzero(np.isnan(track.expected[:, 0])).tolist()


def test_bundle_that_carries_its_tail_has_an_expected_curve() -> None:
    """What the bundle promised at other thresholds comes from the tail it was calibrated on."""
    tail = Tail(start=0.5, mean_excess=0.25, rate=0.01, highest=0.9, readings=1000, mean=0.4, std=0.1)
    scores = list(np.linspace(0, 1.5, 50))
    args = (replayed(scores, "." * 50), history_of(("", "x.csv", START, 50)), labels_of("." * 49 + "#"))
    told = found_by(*args, metrics={"tail": asdict(tail)}).calibration
    silent = found_by(*args, metrics={"tail": {"start": "x"}}).calibration

    assert told is not None
    assert silent is not None
    month = 30 * 86400
    assert [pytest.approx(tail.per_reading(one) * month) for one in told.levels] == list(
        told.expected_at_levels
    )
    assert {None, 2.0} >= set(silent.expected_at_levels)
    assert list(told.counted_at_levels) == sorted(told.counted_at_levels, reverse=True)


def test_alarm_that_never_rests_is_not_praised() -> None:
    """One episode over everything finds every event; the reader is told."""
    out = replayed([2.0] * 50, "#" * 50)
    found = found_by(out, history_of(("", "x.csv", START, 50)), labels_of("." * 40 + "#" * 10))

    assert found.events.f1 == 1.0
    assert any("hardly rests" in note for note in found.notes)


def test_time_that_goes_back_is_refused() -> None:
    """What the device drops would be missing in the figures."""
    history = History(("a",), (), 1.0, (FileFacts("x.csv", "", 10, 0, 2, 7),))

    with pytest.raises(HistoryError, match=r"x.csv: row 7: time goes back in 2 of 10 rows"):
        refuse_backward(history)


def test_learned_data_is_noted() -> None:
    """Figures on the history a bundle was trained on flatter."""
    out = replayed([0.0] * 10, "." * 10)
    span = {"start": "2026-07-10T10:00:05.000Z", "end": "2026-08-01T00:00:00.000Z"}

    (said,) = learned_note(fake_manifest(["a"], training=span), out)
    assert said.startswith("5 of 10 readings")
    assert [] == learned_note(fake_manifest(["a"]), out)


def test_pause_neither_ends_nor_begins_an_episode() -> None:
    """What `score_when` leaves out belongs to the episode that was open, as on the device."""
    statuses = "pp..##ppp##...pp"
    args = (replayed([0.0] * 16, statuses), history_of(("", "x.csv", START, 16)), fake_manifest(["a"]))
    (track,) = tracks_of(*args, asset="asset", labels=None)

    assert "....#######....." == "".join("#" if alarm else "." for alarm in track.alarm)
    assert [i for i, status in enumerate(statuses) if status == "p"] == np.flatnonzero(track.warming).tolist()
