"""History from files to unbroken stretches of numbers."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest

from edge_lstm.times import parse_time
from trainer.data import History, read_history

S = 1_000_000_000
START = parse_time("2026-03-01T00:00:00Z")
ROWS = 80
LABELS = ("anomaly", "changepoint")


def flow(i: int) -> float:
    """A value that varies, exact in a few digits."""
    return round(20 + 3 * math.sin(i / 7), 4)


def stamp(i: int) -> str:
    """Time of row i, one a second."""
    return f"{datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=i):%Y-%m-%dT%H:%M:%SZ}"


def table(head: str, row: Callable[[int], str], count: int = ROWS) -> str:
    """A CSV table: the header, then a row for each number from 0."""
    return "\n".join([head, *map(row, range(count)), ""])


def written(folder: Path, content: str | bytes, name: str = "pump.csv") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


PLAIN = table("time,flow,pressure", lambda i: f"{stamp(i)},{flow(i)},{flow(2 * i)}")


def check_plain(history: History) -> None:
    """The history is that of `PLAIN`, to the last bit."""
    assert ("flow", "pressure") == history.channels
    assert 1 == len(history.segments)
    segment = history.segments[0]
    assert [START + i * S for i in range(ROWS)] == segment.time_ns.tolist()
    assert [[flow(i), flow(2 * i)] for i in range(ROWS)] == segment.values.tolist()
    assert ("int64", "float64") == (str(segment.time_ns.dtype), str(segment.values.dtype))
    assert math.isclose(1.0, history.period_s)


# ------------------------------------------------------------------------------------------------------ forms

FORMS: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "semicolons": (PLAIN.replace(",", ";"), {}),
    "tabs": (PLAIN.replace(",", "\t"), {}),
    "pipes": (PLAIN.replace(",", "|"), {}),
    "delimiter named": (PLAIN.replace(",", "\t"), {"delimiter": r"\t"}),
    "decimal commas": (PLAIN.replace(",", ";").replace(".", ","), {}),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), {}),
    "Windows line ends": (PLAIN.replace("\n", "\r\n"), {}),
    "no line end at the end": (PLAIN.rstrip("\n"), {}),
    "empty lines": ("\n" + PLAIN.replace("\n", "\n\n") + "\n\n", {}),
    "blanks around cells": (PLAIN.replace(",", " , "), {}),
    "quoted": ("\n".join('"' + line.replace(",", '","') + '"' for line in PLAIN.split()), {}),
    "delimiter at the line end": (PLAIN.replace("\n", ",\n"), {}),
    "index column": (table(",time,flow,pressure", lambda i: f"{i},{stamp(i)},{flow(i)},{flow(2 * i)}"), {}),
    "time in the middle": (table("flow,time,pressure", lambda i: f"{flow(i)},{stamp(i)},{flow(2 * i)}"), {}),
    "column without a name is the time": (PLAIN.replace("time", "", 1), {}),
    "time by its content": (PLAIN.replace("time", "observed", 1), {}),
    "time by its name in German": (PLAIN.replace("time", "Zeitstempel", 1), {}),
    "name with a unit": (PLAIN.replace("time", "Time (UTC)", 1), {}),
    "time named": (PLAIN.replace("time", "when", 1), {"time_column": "when"}),
    "Unix seconds": (PLAIN, {"stamps": lambda i: f"{START // S + i}"}),
    "Unix milliseconds": (PLAIN, {"stamps": lambda i: f"{START // 10**6 + 1000 * i}"}),
    "Unix microseconds": (PLAIN, {"stamps": lambda i: f"{START // 10**3 + 10**6 * i}"}),
    "Unix nanoseconds": (PLAIN, {"stamps": lambda i: f"{START + S * i}"}),
    "German dates": (
        PLAIN,
        {"stamps": lambda i: f"01.03.2026 00:{i // 60:02d}:{i % 60:02d}", "time_format": "%d.%m.%Y %H:%M:%S"},
    ),
    "no zone": (PLAIN, {"stamps": lambda i: stamp(i).replace("T", " ").removesuffix("Z")}),
    "zones mixed and converted": (
        PLAIN,
        {
            "stamps": lambda i: stamp(i) if i % 2 else stamp(i + 3600).replace("Z", "+01:00"),
            "mixed_time_zones": "convert",
        },
    ),
    "label ignored": (
        table("time,flow,label,pressure", lambda i: f"{stamp(i)},{flow(i)},0,{flow(2 * i)}"),
        {"ignore": ["label"]},
    ),
    "channels chosen": (
        table("time,c,pressure,flow", lambda i: f"{stamp(i)},bad,{flow(2 * i)},{flow(i)}"),
        {"channels": ("flow", "pressure")},
    ),
    "long": (
        table(
            "time,channel,value",
            lambda i: f"{stamp(i // 2)},{['flow', 'pressure'][i % 2]},{flow(i // 2 * (1 + i % 2))}",
            2 * ROWS,
        ),
        {},
    ),
    "long, channel after channel": (
        table(
            "time;tag;value",
            lambda i: (
                f"{stamp(i % ROWS)};{['flow', 'pressure'][i // ROWS]};{flow(i % ROWS * (1 + i // ROWS))}"
            ),
            2 * ROWS,
        ),
        {},
    ),
    "long, names of columns given": (
        table(
            "t,what,how much",
            lambda i: f"{stamp(i // 2)},{['flow', 'pressure'][i % 2]},{flow(i // 2 * (1 + i % 2))}",
            2 * ROWS,
        ),
        {"channel_column": "what", "value_column": "how much"},
    ),
    "long when said so": (
        table(
            "t,what,how much",
            lambda i: f"{stamp(i // 2)},{['flow', 'pressure'][i % 2]},{flow(i // 2 * (1 + i % 2))}",
            2 * ROWS,
        ),
        {"layout": "long"},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_as_the_same_history(form: str, tmp_path: Path) -> None:
    """Delimiters, line ends, times and layouts are found out or follow the options."""
    content, options = FORMS[form]
    stamps = options.get("stamps")
    if stamps is not None and isinstance(content, str):
        content = table("time,flow,pressure", lambda i: f"{stamps(i)},{flow(i)},{flow(2 * i)}")
    options = {name: value for name, value in options.items() if name != "stamps"}

    check_plain(read_history([written(tmp_path, content)], **options))


def test_compressed_csv_reads_like_csv(tmp_path: Path) -> None:
    """The ending says how; capital letters do not matter."""
    check_plain(read_history([written(tmp_path, gzip.compress(PLAIN.encode()), "PUMP.CSV.GZ")]))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("dtype", [pl.Float64, pl.Decimal(20, 4), pl.String])
def test_parquet_of_any_type_reads_as_the_same_history(
    unit: Literal["ms", "us", "ns"], zone: str | None, dtype: pl.DataType, tmp_path: Path
) -> None:
    """Datetimes of any unit and zone; numbers as floats, decimals or text."""
    time = (
        pl.Series("time", [START + i * S for i in range(ROWS)])
        .cast(pl.Datetime("ns"))
        .cast(pl.Datetime(unit))
    )
    time = time.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else time
    values = {"flow": [flow(i) for i in range(ROWS)], "pressure": [flow(2 * i) for i in range(ROWS)]}
    frame = pl.DataFrame([time]).with_columns(
        *(pl.Series(name, [f"{v:.4f}" for v in some]).cast(dtype) for name, some in values.items())
    )
    frame.write_parquet(tmp_path / "pump.parquet")

    check_plain(read_history([tmp_path / "pump.parquet"]))


def test_whole_numbers_and_truth_values_are_numbers(tmp_path: Path) -> None:
    """A switch is 0 or 1, from Parquet and from text."""
    truth = [i % 3 == 0 for i in range(ROWS)]
    frame = pl.DataFrame({"time": range(ROWS), "count": range(ROWS), "switch": truth})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "b.csv")

    history = read_history([tmp_path])

    expected = [[float(i), float(i % 3 == 0)] for i in range(ROWS)]
    assert [expected, expected] == [one.values.tolist() for one in history.segments]


@pytest.mark.parametrize(
    "cell", ["", " ", "NaN", "nan", "NA", "N/A", "null", "None", "-", "inf", "-Infinity"]
)
def test_missing_cells_are_nan(cell: str, tmp_path: Path) -> None:
    """All the words for "no value" are one, and infinity is none either."""
    content = table("time,flow,b", lambda i: f"{stamp(i)},{cell if i == 7 else flow(i)},{flow(i)}")

    values = read_history([written(tmp_path, content)]).segments[0].values

    assert [(7, 0)] == [tuple(place) for place in np.argwhere(np.isnan(values)).tolist()]


def test_infinite_values_are_counted(tmp_path: Path) -> None:
    """Taking them as missing is not done in silence."""
    content = table("time,flow,b", lambda i: f"{stamp(i)},{'inf' if i in {7, 9} else flow(i)},{flow(i)}")

    assert ("channel 'flow': 2 infinite values taken as missing",) == read_history(
        [written(tmp_path, content)]
    ).notices


# ------------------------------------------------------------------------------------------ files and folders


def test_folder_is_read_in_natural_order_with_what_is_in_it(tmp_path: Path) -> None:
    """Folders within count, other files and hidden ones do not; file 10 comes after file 9."""
    (tmp_path / "sub").mkdir()
    written(tmp_path, PLAIN, "run10.csv")
    written(tmp_path, PLAIN, "run9.csv")
    written(tmp_path / "sub", gzip.compress(PLAIN.encode()), "a.csv.gz")
    written(tmp_path, "x", "notes.txt")
    written(tmp_path, "x", ".run.csv")
    pl.read_csv(tmp_path / "run9.csv").write_parquet(tmp_path / "z.parquet")

    files = [one.source for one in read_history([tmp_path]).files]

    assert ["run9.csv", "run10.csv", "sub/a.csv.gz", "z.parquet"] == files


def test_file_named_twice_is_read_once(tmp_path: Path) -> None:
    """A folder and a file in it do not make two."""
    path = written(tmp_path, PLAIN)

    assert 1 == len(read_history([tmp_path, path]).segments)


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Two folders may hold a 0.csv each."""
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(written(tmp_path / name, PLAIN, "0.csv"))

    assert [path.as_posix() for path in paths] == [one.source for one in read_history(paths).files]


def test_order_of_columns_may_differ_between_files(tmp_path: Path) -> None:
    """Channels go by name."""
    written(tmp_path, PLAIN, "1.csv")
    written(tmp_path, table("pressure,time,flow", lambda i: f"{flow(2 * i)},{stamp(i)},{flow(i)}"), "2.csv")

    one, two = read_history([tmp_path]).segments

    assert one.values.tolist() == two.values.tolist()


def test_segments_are_in_order_of_time(tmp_path: Path) -> None:
    """What came first comes first, whatever the files are called."""
    written(tmp_path, table("time,flow", lambda i: f"{stamp(i + 5000)},{flow(i)}"), "1.csv")
    written(tmp_path, table("time,flow", lambda i: f"{stamp(i)},{flow(i)}"), "2.csv")

    history = read_history([tmp_path])

    assert ["2.csv", "1.csv"] == [one.source for one in history.segments]


def test_label_may_be_missing_in_some_files(tmp_path: Path) -> None:
    """A column to ignore need not be everywhere."""
    written(tmp_path, PLAIN, "1.csv")
    written(tmp_path, table("time,flow,pressure,x", lambda i: f"{stamp(i)},{flow(i)},{i},0"), "2.csv")

    assert ("flow", "pressure") == read_history([tmp_path], ignore=["x"]).channels


def test_overlapping_files_are_noticed(tmp_path: Path) -> None:
    """The same rows in two files would count twice."""
    written(tmp_path, PLAIN, "1.csv")
    written(tmp_path, PLAIN, "copy.csv")

    assert any("1.csv and copy.csv overlap in time" in one for one in read_history([tmp_path]).notices)


def test_somewhat_slower_file_is_noticed(tmp_path: Path) -> None:
    """Twice the period still goes together, but not in silence."""
    written(tmp_path, PLAIN, "1.csv")
    written(
        tmp_path, table("time,flow,pressure", lambda i: f"{stamp(3 * i + 900)},{flow(i)},{i}", 20), "2.csv"
    )

    assert "2.csv has a row every 3 s, the history one every 1 s" in read_history([tmp_path]).notices


# ------------------------------------------------------------------------------------------------- time order


def test_rows_that_are_not_later_are_left_out_and_counted(tmp_path: Path) -> None:
    """The first row of a time stays; nothing is sorted, as on the device."""
    order = [*range(30), 29, 29, 20, 25, 29, *range(30, 80)]
    content = table("time,flow", lambda i: f"{stamp(order[i])},{i}", len(order))

    history = read_history([written(tmp_path, content)])

    assert [*range(30), *range(35, 85)] == history.segments[0].values[:, 0].tolist()
    facts = history.files[0]
    assert (85, 3, 2) == (facts.rows, facts.duplicate, facts.backward)


def test_long_silence_cuts_a_segment(tmp_path: Path) -> None:
    """More than ten periods without a row; exactly ten do not cut."""
    content = table("time,flow", lambda i: f"{stamp(i + 9 * (i >= 20) + 10 * (i >= 50))},{flow(i)}")

    assert [50, 30] == [len(one.time_ns) for one in read_history([written(tmp_path, content)]).segments]
    many = read_history([written(tmp_path, content)], gap_factor=5).segments
    assert [20, 30, 30] == [len(one.time_ns) for one in many]


def test_seconds_that_could_be_days_are_read_when_said(tmp_path: Path) -> None:
    """A counter with a step under a second looks like the days of a spreadsheet; whole seconds do not."""
    half = written(tmp_path, table("time,flow", lambda i: f"{46054 + i / 2},{i % 7}", ROWS))
    assert 0.5 == read_history([half], time_format="s").period_s

    whole = written(tmp_path, table("time,flow", lambda i: f"{46054 + i},{i % 7}", ROWS))
    assert 1.0 == read_history([whole]).period_s


def test_machine_that_no_topic_can_name_is_told(tmp_path: Path) -> None:
    """Training would learn it, and the daemon could never hear of it."""
    content = table("time,pump,flow", lambda i: f"{stamp(i // 3)},{['a/b', '#', 'ok'][i % 3]},{i}", 3 * ROWS)

    said = [
        one
        for one in read_history([written(tmp_path, content)], asset_column="pump").notices
        if "topic" in one
    ]

    assert ["machine '#'", "machine 'a/b'"] == sorted(one.partition(" cannot")[0] for one in said)


def test_each_machine_has_its_own_segments_and_order(tmp_path: Path) -> None:
    """Machines one under the other or row by row do not disturb each other."""
    content = table("time,pump,flow", lambda i: f"{stamp(i // 2)},{['p10', 'p9'][i % 2]},{i}", 2 * ROWS)

    history = read_history([written(tmp_path, content)], asset_column="pump")

    assert {"p9", "p10"} == {one.asset for one in history.segments}
    assert ["p9", "p10"] == [one.asset for one in history.files]
    for one in history.segments:
        first = 1 if one.asset == "p9" else 0
        assert [float(i) for i in range(first, 2 * ROWS, 2)] == one.values[:, 0].tolist()
        assert [START + i * S for i in range(ROWS)] == one.time_ns.tolist()


def test_numbers_may_name_machines(tmp_path: Path) -> None:
    """Engine 1 is the machine '1', in Parquet too."""
    pl.DataFrame({"time": [0, 0, 1, 1] * 20, "unit": [1, 2] * 40, "a": range(80)}).with_columns(
        pl.col("time") + pl.int_range(80) // 4 * 2
    ).write_parquet(tmp_path / "e.parquet")

    history = read_history([tmp_path], asset_column="unit")

    assert ["1", "2"] == sorted(one.asset for one in history.segments)


@pytest.mark.parametrize(
    ("name", "step", "period_s"),
    [
        ("time", 1, 1.0),
        ("time_s", 2, 2.0),
        ("time_ms", 500, 0.5),
        ("t [us]", 1000, 0.001),
        ("elapsed.ms", 40, 0.04),
    ],
)
def test_unit_in_the_name_of_the_time_column_counts(
    name: str, step: int, period_s: float, tmp_path: Path
) -> None:
    """Small numbers in a column called time are seconds unless the name says otherwise."""
    content = table(f"{name},flow", lambda i: f"{i * step},{flow(i)}")
    named = name if name.startswith("elapsed") else None

    history = read_history([written(tmp_path, content)], time_column=named)

    assert math.isclose(period_s, history.period_s)


# ------------------------------------------------------------------------------------------------------- long


def test_long_values_at_their_own_times_gather_to_frames(tmp_path: Path) -> None:
    """One value per topic, never at the same moment, is one row a period."""
    content = table(
        "time,channel,value", lambda i: f"{START // S + i // 2 + 0.4 * (i % 2)},{'ab'[i % 2]},{i}", 2 * ROWS
    )

    history = read_history([written(tmp_path, content)])

    assert math.isclose(1.0, history.period_s, rel_tol=1e-6)
    assert [[float(2 * i), float(2 * i + 1)] for i in range(ROWS)] == history.segments[0].values.tolist()


def test_long_table_with_machines(tmp_path: Path) -> None:
    """Frames are made of one machine's values only."""
    content = table(
        "time,machine,tag,value", lambda i: f"{stamp(i // 4)},{'xy'[i % 2]},{'ab'[i // 2 % 2]},{i}", 4 * ROWS
    )

    x, y = read_history([written(tmp_path, content)], asset_column="machine").segments

    assert ("x", [[4.0 * i, 4.0 * i + 2] for i in range(ROWS)]) == (x.asset, x.values.tolist())
    assert ("y", [[4.0 * i + 1, 4.0 * i + 3] for i in range(ROWS)]) == (y.asset, y.values.tolist())


def test_long_duplicates_keep_the_first_value(tmp_path: Path) -> None:
    """The same channel twice at one time is one value, and is counted."""
    rows = [f"{stamp(i)},{c},{i}" for i in range(ROWS) for c in "ab"]
    content = "\n".join(["time,channel,value", *rows, f"{stamp(3)},a,999"])

    history = read_history([written(tmp_path, content)])

    assert 3.0 == history.segments[0].values[3, 0]
    assert 1 == history.files[0].duplicate


def test_states_among_long_channels_are_left_out(tmp_path: Path) -> None:
    """A tag of texts beside tags of numbers is a category."""
    rows = [
        f"{stamp(i)},{c},{'RUN' if c == 'mode' else flow(i)}"
        for i in range(ROWS)
        for c in ("flow", "mode", "z")
    ]
    content = "\n".join(["time,tag,value", *rows])

    history = read_history([written(tmp_path, content)], ignore=["z"])

    assert (("flow",), ("mode",)) == (history.channels, history.categorical)


def test_machines_are_not_taken_for_channels(tmp_path: Path) -> None:
    """Time, machine and value with machines one under the other is a wide table of machines."""
    content = table("time,machine,value", lambda i: f"{stamp(i // 2)},{'xy'[i % 2]},{i}", 2 * ROWS)

    history = read_history([written(tmp_path, content)], asset_column="machine")

    assert (("value",), 2) == (history.channels, len(history.segments))


def test_long_table_read_as_wide_when_said(tmp_path: Path) -> None:
    """The layout can be overridden either way."""
    content = table("time,channel,value", lambda i: f"{stamp(i)},mode{i % 2},{flow(i)}")

    history = read_history([written(tmp_path, content)], layout="wide")

    assert (("value",), ("channel",)) == (history.channels, history.categorical)


# --------------------------------------------------------------------------------------------------- channels


def test_columns_of_text_are_left_out_with_a_notice(tmp_path: Path) -> None:
    """Operating modes are no measurements; what is left out is named."""
    content = table("time,mode,flow", lambda i: f"{stamp(i)},{['run', 'idle', ''][i % 3]},{flow(i)}")

    history = read_history([written(tmp_path, content)])

    assert (("flow",), ("mode",)) == (history.channels, history.categorical)
    assert "left out column 'mode': text, 2 different values" in history.notices


def test_second_column_of_times_is_left_out_with_a_notice(tmp_path: Path) -> None:
    """A time of storage beside the time of measurement is neither channel nor category."""
    stored = [datetime(2026, 3, 2, tzinfo=UTC)] * ROWS
    pl.DataFrame({"time": range(ROWS), "stored": stored, "a": range(ROWS)}).write_parquet(
        tmp_path / "a.parquet"
    )

    history = read_history([tmp_path])

    assert ("a",) == history.channels
    assert ("left out column 'stored': neither numbers nor text",) == history.notices


def test_labels_are_pointed_out(tmp_path: Path) -> None:
    """A label among the channels would teach the model the answer."""
    content = table("time,flow,Anomaly", lambda i: f"{stamp(i)},{flow(i)},{i % 2}")

    notices = read_history([written(tmp_path, content)]).notices

    assert any("'Anomaly' looks like a label" in one and "--ignore Anomaly" in one for one in notices)


def test_constant_tags_of_a_wide_export_are_watched_and_empty_ones_dropped(tmp_path: Path) -> None:
    """From twelve channels on, constant and empty ones are expected; what moves later is a sign."""
    head = ",".join(["time", *(f"c{i}" for i in range(12))])
    content = table(head, lambda i: ",".join([stamp(i), "5", "", *(f"{flow(i + c)}" for c in range(10))]))

    history = read_history([written(tmp_path, content)])

    assert ("c0", *(f"c{i}" for i in range(2, 12))) == history.channels
    assert ("c1",) == history.constant
    assert "left out channels that never change or have no value (1): 'c1'" in history.notices
    assert any("are watched (1)" in notice and notice.endswith(": 'c0'") for notice in history.notices)


def test_dead_channel_of_a_narrow_table_is_dropped_when_asked(tmp_path: Path) -> None:
    """``constant="drop"`` is for those who know."""
    content = table("time,flow,dead", lambda i: f"{stamp(i)},{flow(i)},7")

    assert ("flow",) == read_history([written(tmp_path, content)], constant="drop").channels


def test_channel_that_is_empty_in_one_short_file_is_missing_there(tmp_path: Path) -> None:
    """A column without a value in one file is still the same channel."""
    written(tmp_path, PLAIN, "1.csv")
    written(tmp_path, table("time,flow,pressure", lambda i: f"{stamp(i + 900)},{flow(i)},", 9), "2.csv")

    one, two = read_history([tmp_path]).segments

    assert (0, 9) == (int(np.isnan(one.values).sum()), int(np.isnan(two.values).sum()))


def test_short_holes_are_fine(tmp_path: Path) -> None:
    """The device holds the last value over a few missing ones."""
    content = table("time,flow,b", lambda i: f"{stamp(i)},{'' if i % 10 < 3 else flow(i)},{flow(i)}")

    assert 24 == int(np.isnan(read_history([written(tmp_path, content)]).segments[0].values).sum())


def test_replay_takes_what_training_refuses(tmp_path: Path) -> None:
    """Few rows, constant and missing channels, disorder: the device must cope, so a replay shows how."""
    content = "time,a,b,c,note\n2,1,,5,x\n1,2,,5,hello\n3,3,,5,-"

    history = read_history([written(tmp_path, content)], channels=("c", "a", "b"), strict=False)

    assert ("c", "a", "b") == history.channels
    np.testing.assert_array_equal([[5, 1, np.nan], [5, 3, np.nan]], history.segments[0].values)
    assert 1 == history.files[0].backward


def test_replay_of_one_row_has_no_period(tmp_path: Path) -> None:
    """One reading is a recording, if a short one."""
    history = read_history([written(tmp_path, "time,a\n1,2\n")], channels=("a",), strict=False)

    assert (0.0, 1) == (history.period_s, history.rows)


def test_replay_of_a_long_table_gathers_at_the_pace_of_the_bundle(tmp_path: Path) -> None:
    """The device's period decides which values are one frame, not the recording's."""
    content = "time,channel,value\n0,a,1\n3,b,2\n6,a,3\n9,b,4"
    path = written(tmp_path, content)

    apart = read_history([path], channels=("a", "b"), strict=False, period_s=1.0)
    together = read_history([path], channels=("a", "b"), strict=False, period_s=6.0)

    assert (4, 2) == (apart.rows, together.rows)


def test_times_without_a_zone_are_noticed(tmp_path: Path) -> None:
    """Local time taken as UTC moves every alert by hours, so it is said."""
    notices = read_history([written(tmp_path, PLAIN.replace("Z", ""))]).notices

    assert ("times without a time zone are taken as UTC ('pump.csv')",) == notices


# -------------------------------------------------------------------------------------------- real recordings


def digest(history: History) -> int:
    """A number that changes when any value, time or channel does."""
    parts = [part for one in history.segments for part in (one.time_ns.tobytes(), one.values.tobytes())]
    return zlib.crc32(b"".join([repr(history.channels).encode(), *parts]))


@pytest.mark.parametrize(
    ("paths", "options", "channels", "rows", "segments", "period_s", "constant"),
    [
        (("skab",), {"ignore": LABELS}, 8, 46_806, 44, 1.0, 0),
        (("skab/anomaly-free",), {}, 8, 9_405, 1, 1.0, 0),
        (("skab/valve1/2.csv",), {"ignore": LABELS}, 8, 1_075, 2, 1.0, 0),
        (("smd/1-3_train.parquet",), {}, 38, 23_702, 1, 60.0, 0),
        (("smd/2-4_test.parquet",), {"ignore": ("label",)}, 38, 23_689, 1, 60.0, 0),
        (("asd/1_train.parquet", "asd/8_train.parquet"), {}, 19, 17_280, 2, 300.0, 0),
        (("asd/10_train.parquet",), {}, 19, 8_640, 1, 300.0, 0),
        (("nab/machine_temperature_system_failure.csv",), {}, 1, 22_683, 1, 300.0, 0),
        (("nab/ambient_temperature_system_failure.csv",), {}, 1, 7_267, 9, 3600.0, 0),
        (("nab/rogue_agent_key_hold.csv",), {}, 1, 1_882, 23, 300.0, 0),
        (("ims_bearing/test_1.csv",), {}, 8, 2_156, 20, 600.0, 0),
        (("ims_bearing/test_2.csv",), {}, 4, 984, 1, 600.0, 0),
        (
            ("cmapss",),
            {"time_column": "cycle", "time_format": "s", "asset_column": "unit"},
            24,
            9_909,
            50,
            1.0,
            0,
        ),
    ],
)
def test_real_recordings_are_read_whole(
    paths: tuple[str, ...],
    options: dict[str, Any],
    channels: int,
    rows: int,
    segments: int,
    period_s: float,
    constant: int,
    shared_data: Path,
) -> None:
    """Every published set reads as it is, with the counts that its files have."""
    history = read_history([shared_data / path for path in paths], **options)

    found = (
        len(history.channels),
        history.rows,
        len(history.segments),
        history.period_s,
        len(history.constant),
    )
    assert (channels, rows, segments, period_s, constant) == found
    assert all(bool((np.diff(one.time_ns) > 0).all()) for one in history.segments)
    assert digest(history) == digest(read_history([shared_data / path for path in paths], **options))


def test_real_recording_keeps_every_digit(shared_data: Path) -> None:
    """The first rows of SKAB, as they stand in the file."""
    history = read_history([shared_data / "skab/valve1/0.csv"], ignore=LABELS)

    assert "Volume Flow RateRMS" == history.channels[-1]
    assert parse_time("2020-03-09 10:14:33") == history.segments[0].time_ns[0]
    expected = [0.0265878, 0.0401113, 1.3302, 0.054711, 79.3366, 26.0199, 233.062, 32.0]
    assert expected == history.segments[0].values[0].tolist()
