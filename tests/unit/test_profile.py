"""Figures of histories that were made to have them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.times import parse_time
from trainer.data import FileFacts, History, Segment, read_history
from trainer.profile import ChannelProfile, Profile, profile

S = 1_000_000_000
START = parse_time("2026-03-01T00:00:00Z")
NAN = math.nan
MANY_FAR_OFF = (
    "many values far off (beyond 6 robust standard deviations): several operating modes, or bursts: 'a'"
)


def segment(
    values: NDArray[np.float64], *, start_s: float = 0, asset: str = "", source: str = "a.csv"
) -> Segment:
    """Rows one second apart."""
    time_ns = START + (np.arange(len(values)) + start_s) * S
    return Segment(asset, source, time_ns.astype(np.int64), values.reshape(len(values), -1))


def history(*segments: Segment, channels: tuple[str, ...] = ("a",), **more: object) -> History:
    """A history of these segments with a period of one second."""
    return History(channels, segments, 1.0, **more)  # type: ignore[arg-type]


def of(values: list[float] | NDArray[np.float64]) -> ChannelProfile:
    """Profile of a history with one channel."""
    return profile(history(segment(np.array(values, dtype=np.float64)))).channels[0]


def noise(rows: int) -> NDArray[np.float64]:
    """Values without repeats or outliers, always the same."""
    return np.random.default_rng(0).uniform(-1, 1, rows)


def test_totals_are_those_of_the_history() -> None:
    """Rows, stretches, first and last time, and what the reading left out."""
    files = (FileFacts("a.csv", "", 14, 3, 1), FileFacts("b.csv", "", 5, 0, 2))
    found = profile(
        history(
            segment(noise(10)), segment(noise(5), start_s=100, source="b.csv"), files=files, notices=("said",)
        )
    )

    assert (15, 2, 1.0) == (found.row_count, found.segments, found.period_s)
    assert ("2026-03-01T00:00:00.000Z", "2026-03-01T00:01:44.000Z") == (found.start, found.end)
    assert (3, 3) == (found.duplicate, found.backward)
    assert ("said",) == found.notices
    assert any("6 rows left out" in one and "most in a.csv" in one for one in found.warnings)


def test_gaps_are_silences_within_a_file_and_machine() -> None:
    """The longest is told with its place; the time between files is no gap."""
    found = profile(
        history(
            segment(noise(10)),
            segment(noise(10), start_s=40),
            segment(noise(10), start_s=150),
            segment(noise(10), start_s=900, source="b.csv"),
        )
    )

    assert 2 == found.gaps
    assert found.longest_gap is not None
    assert (101.0, "2026-03-01T00:00:49.000Z", "a.csv") == (
        found.longest_gap.seconds,
        found.longest_gap.start,
        found.longest_gap.source,
    )
    assert any("2 gaps" in one and "101 s" in one for one in found.warnings)


def test_jitter_is_the_share_of_irregular_steps() -> None:
    """Steps off by more than half a period count; half a period exactly does not."""
    time_ns = START + (np.cumsum([0, 1, 1.5, 1.6, 0.4, 1, 1, 1, 1, 1]) * S).astype(np.int64)
    found = profile(history(Segment("", "a.csv", time_ns, noise(10).reshape(10, 1))))

    assert math.isclose(2 / 9, found.jitter)
    assert any("22% of the steps" in one for one in found.warnings)


def test_missing_values_are_counted_with_their_longest_run() -> None:
    """Runs end with their segment."""
    one, two = np.array([1, NAN, NAN, 2, NAN]), np.array([NAN, NAN, 3, 4, 5])
    found = profile(history(segment(one), segment(two, start_s=100))).channels[0]

    assert (5, 5, 0.5, 2) == (found.values, found.missing, found.missing_share, found.missing_run)


def test_flat_run_passes_over_missing_values() -> None:
    """A sensor that repeats itself around a hole stood still all the time."""
    found = of([1, 2, 2, NAN, 2, 2, 3, 3, 1])

    assert (4, 0.5) == (found.flat_run, found.flat_share)


def test_values_are_summed_up() -> None:
    """Least, middle, greatest and standard deviation, in channel units."""
    found = of([1, 2, 3, 4, 10, NAN])

    assert (1.0, 3.0, 10.0) == (found.minimum, found.median, found.maximum)
    assert found.std is not None
    assert math.isclose(math.sqrt(10), found.std)
    assert 5 == found.distinct


def test_channel_without_values_has_no_figures() -> None:
    """Nothing is made up where there is nothing."""
    found = of([NAN] * 5)

    assert (None, None, None, None) == (found.minimum, found.median, found.maximum, found.std)
    assert (5, 0, 0, 0.0) == (found.missing_run, found.flat_run, found.distinct, found.flat_share)


@pytest.mark.parametrize(
    ("distinct", "rows", "expected"), [(10, 200, True), (11, 200, False), (3, 60, False)]
)
def test_few_values_over_many_rows_are_a_category(distinct: int, rows: int, *, expected: bool) -> None:
    """Ten different values or fewer, over a hundred rows or more."""
    assert expected == of([float(i % distinct) for i in range(rows)]).categorical


def test_outliers_are_beyond_six_robust_sigmas() -> None:
    """Spikes do not hide themselves by widening the standard deviation."""
    values = noise(1000)
    sigma = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    values[[5, 500]] = np.median(values) + np.array([6.2, -7]) * sigma
    values[7] = np.median(values) + 5.8 * sigma

    assert 2 == of(values).outliers


def test_outliers_are_found_beside_a_value_that_dominates() -> None:
    """Where the median distance is nothing, the mean distance judges."""
    values = np.zeros(1000)
    values[::100] = 50.0

    assert 10 == of(values).outliers


def test_machines_are_listed_with_their_rows() -> None:
    """In natural order; empty where no column names the machine."""
    found = profile(history(segment(noise(10), asset="p10"), segment(noise(20), asset="p9")))

    assert [("p9", 20), ("p10", 10)] == list(found.assets.items())
    assert {} == profile(history(segment(noise(5)))).assets


def test_channel_that_stands_still_on_one_machine_is_pointed_out() -> None:
    """The scaling of that machine would rest on nothing."""
    found = profile(history(segment(noise(50), asset="x"), segment(np.full(5, 0.2), asset="y")))

    assert ("'a' never changes on 1 machine: 'y'",) == found.warnings


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.r_[noise(900), [NAN] * 100], "values are missing: 'a'"),
        (np.arange(600) % 4.0, "few different values over many rows (a state, or a coarse sensor): 'a'"),
        (np.r_[noise(900), np.zeros(150)], "stood still for a long stretch: 'a'"),
        (
            np.r_[noise(900), [99.0]],
            "single values far off (beyond 6 robust standard deviations): sensor spikes?: 'a'",
        ),
        (
            np.r_[noise(900), 99 + noise(300)],
            MANY_FAR_OFF,
        ),
    ],
)
def test_odd_channels_are_named_in_a_sentence(values: NDArray[np.float64], sentence: str) -> None:
    """One sentence a fault, with the channels that have it."""
    assert (sentence,) == profile(history(segment(values))).warnings


def test_healthy_history_has_no_warnings() -> None:
    """A warning that is always there is read by nobody."""
    assert () == profile(history(segment(noise(500)))).warnings


def example() -> Profile:
    """A profile with something of everything."""
    values = np.column_stack([np.r_[noise(199), NAN], np.arange(200) % 3.0, np.full(200, NAN)])
    parts = (segment(values[:90], asset="x"), segment(values[90:], start_s=200, asset="x"))
    return profile(history(*parts, channels=("a", "mode", "dead"), notices=("label left out",)))


def test_profile_is_plain_json() -> None:
    """No NaN, no numpy: any JSON reader takes it, and nothing is lost."""
    plain = example().to_dict()

    assert plain == json.loads(json.dumps(plain, allow_nan=False))
    assert ["a", "mode", "dead"] == [one["channel"] for one in plain["channels"]]


def test_table_has_a_row_a_channel() -> None:
    """The headings are the same in every row."""
    rows = example().rows()

    assert ["a", "mode", "dead"] == [row["channel"] for row in rows]
    assert 1 == len({tuple(row) for row in rows})
    assert ["", "categorical", ""] == [row["kind"] for row in rows]


def test_lines_line_up() -> None:
    """Totals, a table with straight columns, then warnings and notices."""
    lines = example().lines()

    assert lines[0].startswith("200 rows in 2 stretches, 2026-03-01T00:00:00.000Z to ")
    assert "1 machine: 'x'" in lines
    head = next(i for i, line in enumerate(lines) if line.startswith("channel"))
    end = lines[head].index("missing") + len("missing")
    assert ["1", "0", "200"] == [line[:end].split()[-1] for line in lines[head + 1 : head + 4]]
    assert lines[-1] == "note: label left out"
    assert any(line.startswith("warning: 1 gap in the recording") for line in lines)


def test_same_history_has_the_same_profile() -> None:
    """A profile is kept in the bundle, whose digest must not waver."""
    assert example() == example()


def test_real_recording_is_profiled(shared_data: Path) -> None:
    """The step back at the end of daylight saving in NAB's machine temperature is found."""
    found = profile(read_history([shared_data / "nab/machine_temperature_system_failure.csv"]))

    assert (22_683, 1, 11) == (found.row_count, found.duplicate, found.backward)
    assert 433 == found.channels[0].outliers
