"""Every way in which history is not fit to learn from ends in one line: file, row, column, what to do."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edge_lstm.errors import HistoryError
from trainer.data import MIN_ROWS, read_history

S = 1_700_000_000
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def lines(count: int = 80) -> list[str]:
    """A good table: header, then a row a second."""
    stamps = (f"2026-03-01T00:{i // 60:02d}:{i % 60:02d}Z" for i in range(count))
    return ["time,flow,pressure", *(f"{t},{math.sin(i):.4f},{math.cos(i):.4f}" for i, t in enumerate(stamps))]


def table(head: str, row: Callable[[int], str], count: int = 80) -> bytes:
    """Any table: the header, then a row for each number from 0."""
    return "\n".join([head, *map(row, range(count))]).encode()


def with_row(number: int, row: str) -> bytes:
    """The good table with one row of data (counted from 1) replaced."""
    table = lines()
    table[number] = row
    return "\n".join(table).encode()


def with_column(name: str, cell: Callable[[int], str]) -> bytes:
    """The good table with one more column."""
    head, *rows = lines()
    return "\n".join([f"{head},{name}", *(f"{row},{cell(i)}" for i, row in enumerate(rows))]).encode()


def wide(channels: int, cell: Callable[[int, int], str]) -> bytes:
    """A table of so many channels; the cell is a function of row and channel."""
    head = ",".join(["time", *(f"c{i}" for i in range(channels))])
    rows = [",".join([str(S + r), *(cell(r, c) for c in range(channels))]) for r in range(80)]
    return "\n".join([head, *rows]).encode()


def parquet(tmp: Path, **columns: object) -> bytes:
    """A Parquet file's bytes."""
    path = tmp / "made"
    pl.DataFrame(columns).write_parquet(path)
    return path.read_bytes()


GOOD = "\n".join(lines()).encode()


@dataclass(frozen=True)
class Bad:
    """One bad input and what the message must say."""

    content: bytes
    says: tuple[str, ...]
    row: int | None = None
    column: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    name: str = "pump.csv"


BAD = {
    "empty file": Bad(b"", ("the file is empty", "give a CSV file")),
    "blank file": Bad(b"\n \n\n", ("the file is empty",)),
    "header only": Bad(b"time,flow\n", ("no rows", "give a file with data")),
    "header and empty lines": Bad(b"time,flow\n\n\n", ("no rows",)),
    "no header": Bad("\n".join(lines()[1:]).encode(), ("no header row", "add one")),
    "one row": Bad("\n".join(lines(1)).encode(), ("only one row", f"at least {MIN_ROWS}", "longer history")),
    "too few rows": Bad("\n".join(lines(59)).encode(), ("too few rows", f"at least {MIN_ROWS}", "got 59")),
    "no numeric column": Bad(
        table("time,state", lambda i: f"{S + i},{'on' if i % 2 else 'off'}"),
        ("no numeric column", "'time', 'state'", "--delimiter"),
    ),
    "constant channel": Bad(
        with_column("valve", lambda _: "3.5"),
        ("never changes", "got always 3.5", "check the sensor", "--ignore valve"),
        column="valve",
    ),
    "several constant channels": Bad(
        wide(6, lambda r, c: str(math.sin(r + c)) if c < 3 else ("" if c == 3 else f"{c}")),
        ("3 channels", "'c3' (no value at all)", "'c4' (always 4)", "--ignore c3 --ignore c4 --ignore c5"),
    ),
    "constant channel of a wide table when asked": Bad(
        wide(14, lambda r, c: str(math.sin(r + c)) if c else "1"),
        ("never changes", "--ignore c0"),
        column="c0",
        options={"constant": "error"},
    ),
    "nothing but constant channels": Bad(wide(20, lambda _, c: f"{c}"), ("20 channels", "--ignore c19")),
    "all-missing channel": Bad(
        with_column("valve", lambda _: ""),
        ("no value at all", "check the sensor", "--ignore valve"),
        column="valve",
    ),
    "all-NaN channel": Bad(
        with_column("valve", lambda _: "NaN"), ("no value at all", "--ignore valve"), column="valve"
    ),
    "text in a number column": Bad(
        with_row(7, "2026-03-01T00:00:06Z,1.5,broken"),
        ("text in a column of numbers", "got 'broken'", "correct the cell", "--ignore pressure"),
        row=7,
        column="pressure",
    ),
    "text after an empty line": Bad(
        with_row(3, "\n2026-03-01T00:00:02Z,oops,1"), ("got 'oops'",), row=4, column="flow"
    ),
    "time after empty lines": Bad(with_row(3, "\n\nnever,1,1"), ("got 'never'",), row=5, column="time"),
    "nothing but text in a long table": Bad(
        table("time,channel,value", lambda i: f"{S + i // 2},{'ab'[i % 2]},{'on' if i % 3 else 'off'}", 200),
        ("no values", "got empty cells and text"),
        column="value",
    ),
    "units in every cell": Bad(
        with_column("valve", lambda i: f"{i * 0.7:.1f} bar"),
        ("text in a column of numbers", "got '0.0 bar'", "--ignore valve"),
        row=1,
        column="valve",
    ),
    "column name that a shell would cut": Bad(
        with_column("valve 1", lambda i: "x" if i == 4 else str(i)),
        ("--ignore 'valve 1'",),
        row=5,
        column="valve 1",
    ),
    "decimal commas among decimal points": Bad(
        table("time;flow", lambda i: f"{S + i};{'1.234' if i == 9 else '1,5'}"),
        ("text in a column of numbers", "got '1.234'"),
        row=10,
        column="flow",
    ),
    "named time column that does not exist": Bad(
        GOOD,
        ("no such column", "did you mean 'time'?", "--time-column"),
        column="tme",
        options={"time_column": "tme"},
    ),
    "time column with nothing near it": Bad(
        GOOD,
        ("there are 'time', 'flow', 'pressure'",),
        column="xyzzy",
        options={"time_column": "xyzzy"},
    ),
    "named time column that is not the time": Bad(
        with_column("state", lambda _: "ok"),
        ("not a time", "got 'ok'", "--time-column", "--time-format"),
        row=1,
        column="state",
        options={"time_column": "state"},
    ),
    "one cell that is not a time": Bad(
        with_row(5, "yesterday,1,2"),
        ("not a time", "got 'yesterday'", "--time-format"),
        row=5,
        column="time",
    ),
    "a time is missing": Bad(with_row(5, ",1,2"), ("no time", "empty cell"), row=5, column="time"),
    "numbers where the format says dates": Bad(
        table("time,flow", lambda i: f"{S + i},{i}"),
        ("not a time", "2026-03-01T12:00:00Z", "got '1700000000'"),
        row=1,
        column="time",
        options={"time_format": "rfc3339"},
    ),
    "cell that does not fit the pattern": Bad(
        table("time,flow", lambda i: f"01.{i % 12 + 1:02d}.{2000 + i // 12},{i}") + b"\nx,1",
        ("not a time", "the pattern '%d.%m.%Y'", "got 'x'"),
        row=81,
        column="time",
        options={"time_format": "%d.%m.%Y"},
    ),
    "unknown time format": Bad(
        GOOD,
        ("unknown time format", "auto, s, ms, us, ns, rfc3339", "got 'seconds'"),
        options={"time_format": "seconds"},
        name="",
    ),
    "unit of the times changes": Bad(
        table("time,flow", lambda i: f"{(S + i) * (1 if i == 40 else 1000)},{i}"),
        ("the unit of the times changes", "Unix time in ms", "got '1700000040'"),
        row=41,
        column="time",
    ),
    "no time column": Bad(
        table("cycle,flow", lambda i: f"{i},{math.sin(i)}"),
        ("no time column", "'cycle', 'flow'", "--time-column", "--time-format"),
    ),
    "counter without a unit": Bad(
        table("cycle,flow", lambda i: f"{i},{math.sin(i)}"),
        ("counts something", "numbers up to 79", "--time-format s"),
        column="cycle",
        options={"time_column": "cycle"},
    ),
    "times that do not run on": Bad(
        table("time,flow", lambda i: f"{S + i % 40},{math.sin(i)}"),
        ("40 of 80 rows", "not later", "--asset-column", "--layout long", "--time-column"),
        row=41,
    ),
    "several machines and no asset column": Bad(
        table("time,machine,flow", lambda i: f"{S + i // 2},{'ab'[i % 2]},{math.sin(i)}"),
        ("40 of 80 rows", "--asset-column machine"),
        row=2,
    ),
    "run of missing values": Bad(
        with_column("valve", lambda i: "" if 20 <= i < 40 else str(math.sin(i))),
        ("no value for 20 rows", "--ignore valve"),
        row=21,
        column="valve",
    ),
    "mostly missing": Bad(
        with_column("valve", lambda i: "" if i % 3 else str(i)),
        ("53 of 80 rows (66%)", "--ignore valve"),
        row=2,
        column="valve",
    ),
    "naive time beside an offset": Bad(
        with_row(9, "2026-03-01T00:00:08,1,2"),
        ("mixed time zones", "time zone Z", "no time zone", "--mixed-time-zones convert"),
        row=9,
        column="time",
    ),
    "different offsets": Bad(
        with_row(9, "2026-03-01T01:00:08+01:00,1,2"),
        ("mixed time zones", "+01:00", "--mixed-time-zones convert"),
        row=9,
        column="time",
    ),
    "picture named csv": Bad(PNG, ("not CSV but a PNG picture", "give a CSV file")),
    "workbook named csv": Bad(b"PK\x03\x04rest", ("Excel workbook", "export")),
    "Parquet named csv": Bad(b"PAR1rest", ("Parquet", "rename it")),
    "gzip named csv": Bad(gzip.compress(b"time,a\n1,2\n"), ("gzip", ".csv.gz")),
    "UTF-16 named csv": Bad("time,a\n1,2\n".encode("utf-16"), ("UTF-16", "save it as UTF-8")),
    "JSON named csv": Bad(b'{"time": 1}', ("not CSV but JSON", "give a CSV file")),
    "HTML named csv": Bad(b"\n<!DOCTYPE html><html>", ("not CSV but HTML",)),
    "Latin-1": Bad(
        with_row(7, "2026-03-01T00:00:06Z,1.5,n\xe4").decode("utf-8").encode("latin-1"),
        ("not UTF-8", "0xe4", "iconv -f LATIN1 -t UTF-8 pump.csv"),
        row=7,
    ),
    "Latin-1 in the header": Bad("time,temp °C\n1,2\n".encode("latin-1"), ("not UTF-8", "iconv")),
    "hole punched by a power loss": Bad(with_row(7, "\0\0\0\0\0\0"), ("power loss",), row=7),
    "prose": Bad(b"hello world\nhow are you\n", ("not a CSV table", "'hello world'", "--delimiter")),
    "wrong delimiter": Bad(GOOD, ("not a CSV table", "parted by ';'"), options={"delimiter": ";"}),
    "delimiter of two characters": Bad(
        GOOD, ("a delimiter is one character",), options={"delimiter": ";;"}, name=""
    ),
    "row too short": Bad(
        with_row(7, "2026-03-01T00:00:06Z,1.5"),
        ("another number of fields", "expected 3", "got 2", "mend or remove the row"),
        row=7,
    ),
    "row too long": Bad(
        with_row(7, "2026-03-01T00:00:06Z,1.5,2,3"),
        ("another number of fields", "expected 3", "got 4"),
        row=7,
    ),
    "quote that never ends": Bad(with_row(7, '2026-03-01T00:00:06Z,"1.5,2'), ("number of fields",), row=7),
    "column names twice": Bad(b"time,flow,flow\n1,2,3\n", ("2 columns", "rename them"), column="flow"),
    "ignored column that does not exist": Bad(
        GOOD,
        ("no such column to ignore", "did you mean 'pressure'?"),
        column="presure",
        options={"ignore": ["presure"]},
    ),
    "asset column that does not exist": Bad(
        GOOD,
        ("no such column", "--asset-column"),
        column="pump",
        options={"asset_column": "pump"},
    ),
    "machine not named in a row": Bad(
        with_column("pump", lambda i: "" if i == 5 else "p1"),
        ("no machine is named here",),
        row=6,
        column="pump",
        options={"asset_column": "pump"},
    ),
    "wanted channel that does not exist": Bad(
        GOOD,
        ("no column for 'Flow'", "did you mean 'flow'?"),
        options={"channels": ("Flow", "pressure")},
    ),
    "wanted channel that is text": Bad(
        with_column("valve", lambda _: "open"),
        ("text in a column of numbers", "got 'open'"),
        row=1,
        column="valve",
        options={"channels": ("flow", "valve"), "strict": False},
    ),
    "wide table said to be long": Bad(
        GOOD,
        ("cannot tell which column names the channel", "--channel-column", "--value-column"),
        options={"layout": "long"},
    ),
    "text among the values of a long table": Bad(
        table("time,channel,value", lambda i: f"{S + i // 2},{'ab'[i % 2]},{'bad' if i == 30 else i}", 200),
        ("numbers of channel 'a'", "got 'bad'", "--ignore a"),
        row=31,
        column="value",
    ),
    "channel not named in a long table": Bad(
        table("time,channel,value", lambda i: f"{S + i // 2},{'' if i == 9 else 'ab'[i % 2]},{i}", 200),
        ("no channel is named here",),
        row=10,
        column="channel",
    ),
    "days of a spreadsheet": Bad(
        table("time,flow,pressure", lambda i: f"{46054 + i / 86400:.9f},{i % 7},{i % 5}"),
        ("days of a spreadsheet", "--time-format s"),
        column="time",
    ),
    "torn gzip": Bad(gzip.compress(b"time,a\n1,2\n")[:-9], ("not a whole gzip file",), name="pump.csv.gz"),
    "CSV named gz": Bad(b"time,a\n1,2\n", ("not a whole gzip file",), name="pump.csv.gz"),
    "CSV named parquet": Bad(b"time,a\n1,2\n", ("not a whole Parquet file", "rename"), name="pump.parquet"),
    "empty Parquet": Bad(b"", ("the file is empty",), name="pump.parquet"),
    "unknown ending": Bad(
        b"time,a\n", ("unknown kind of file", ".csv, .csv.gz, .parquet", "got .xlsx"), name="pump.xlsx"
    ),
    "no ending": Bad(b"time,a\n", ("unknown kind of file", "no ending"), name="pump"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_history_is_refused_in_one_line(bad: Bad, tmp_path: Path) -> None:
    """The message names the file, the row and the column, and says what to do."""
    path = tmp_path / (bad.name or "pump.csv")
    path.write_bytes(bad.content)

    with pytest.raises(HistoryError) as caught:
        read_history([path], **bad.options)

    said = str(caught.value)
    assert "\n" not in said
    assert (bad.row, bad.column) == (caught.value.row, caught.value.column), said
    assert not bad.name or said.startswith(str(path)), said
    assert [] == [part for part in bad.says if part not in said], said


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A path that does not exist is told apart from one that cannot be read."""
    with pytest.raises(HistoryError, match=r"nowhere\.csv: no such file; check the spelling"):
        read_history([tmp_path / "nowhere.csv"])


def test_no_paths_at_all_are_refused() -> None:
    """An empty list of files is a mistake and not an empty history."""
    with pytest.raises(HistoryError, match="no history given"):
        read_history([])


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """What the operating system says reaches the reader."""
    path = tmp_path / "pump.csv"
    path.symlink_to("/proc/self/mem")  # there, and unreadable from its start, even for root

    with pytest.raises(HistoryError, match=r"pump\.csv: cannot be read: got Input/output error; check"):
        read_history([path])


def test_folder_without_history_is_named(tmp_path: Path) -> None:
    """Other files, and hidden ones, do not count."""
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.csv").write_text("time,a\n1,2\n")

    with pytest.raises(HistoryError, match=r"no history in this folder: expected files in \.csv"):
        read_history([tmp_path])


def test_files_that_differ_in_columns_are_told_apart(tmp_path: Path) -> None:
    """The message names both files and the columns that are not in both."""
    (tmp_path / "1.csv").write_text("\n".join(lines()))
    (tmp_path / "2.csv").write_text("\n".join(lines()).replace("pressure", "druck"))

    with pytest.raises(HistoryError) as caught:
        read_history([tmp_path])

    said = str(caught.value)
    assert said.startswith(f"{tmp_path / '2.csv'}: other channels than 1.csv")
    assert "got no 'pressure' and 'druck' as well" in said
    assert "--ignore pressure --ignore druck" in said


def test_files_without_a_common_channel_are_not_to_be_ignored_away(tmp_path: Path) -> None:
    """Advice to leave out every channel there is would be none."""
    (tmp_path / "1.csv").write_text("\n".join(lines()))
    (tmp_path / "2.csv").write_text("\n".join(lines()).replace("pressure", "c").replace("flow", "d"))

    with pytest.raises(HistoryError, match="train a model for each kind of file"):
        read_history([tmp_path])


def test_text_in_one_file_is_not_a_category(tmp_path: Path) -> None:
    """A sensor that said ERROR for a whole file is a fault of that file."""
    (tmp_path / "1.csv").write_text("\n".join(lines()))
    table = [row.rsplit(",", 1)[0] + ",ERROR" for row in lines()[1:]]
    (tmp_path / "2.csv").write_text("\n".join([lines()[0], *table]))

    with pytest.raises(HistoryError) as caught:
        read_history([tmp_path])

    assert str(caught.value).startswith(f"{tmp_path / '2.csv'}: row 1, column 'pressure'")
    assert "got 'ERROR'" in str(caught.value)


def test_file_of_another_pace_is_named(tmp_path: Path) -> None:
    """Hours beside seconds would be one gap after the other."""
    (tmp_path / "1.csv").write_text("\n".join(lines()))
    slow = [f"{S + 10**8 + 3600 * i},{math.sin(i)},{math.cos(i)}" for i in range(20)]
    (tmp_path / "2.csv").write_text("\n".join([lines()[0], *slow]))

    with pytest.raises(HistoryError) as caught:
        read_history([tmp_path])

    assert str(caught.value).startswith(f"{tmp_path / '2.csv'}: recorded at another pace")
    assert "expected a row every 1 s, got one every 3600 s" in str(caught.value)


def test_constant_channel_of_many_files_names_them(tmp_path: Path) -> None:
    """A fault of the whole history is not blamed on one file alone."""
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_bytes(with_column("valve", lambda _: "1"))

    with pytest.raises(HistoryError, match=r"1\.csv and 1 more: column 'valve': this channel never changes"):
        read_history([tmp_path])


def test_channel_missing_on_one_machine_is_named(tmp_path: Path) -> None:
    """Scaling is learned for each machine, so each must show every channel."""
    path = tmp_path / "pumps.csv"
    path.write_bytes(
        table("time,pump,a,b", lambda i: f"{S + i // 2},{'xy'[i % 2]},{i * i % 7},{'' if i % 2 else i}", 200)
    )

    with pytest.raises(HistoryError) as caught:
        read_history([path], asset_column="pump")

    assert "column 'b'" in str(caught.value)
    assert "100 of 100 rows (100%) (machine 'y')" in str(caught.value)


def test_channel_missing_in_short_files_of_a_machine_is_named(tmp_path: Path) -> None:
    """Holes that are too short to refuse in a file still must not add up to nothing."""
    (tmp_path / "1.csv").write_bytes(with_column("pump", lambda _: "a"))
    short = ["2026-03-02T00:00:00Z,1.0,,b", "2026-03-02T00:00:01Z,2.0,,b"]
    (tmp_path / "2.csv").write_text("\n".join([lines()[0] + ",pump", *short]))

    with pytest.raises(HistoryError, match=r"2\.csv: no value at all for 'pressure' \(machine 'b'\)"):
        read_history([tmp_path], asset_column="pump")


def test_parquet_with_text_names_row_and_column(tmp_path: Path) -> None:
    """Parquet is held to the same rules as CSV."""
    path = tmp_path / "pump.parquet"
    path.write_bytes(
        parquet(tmp_path, time=list(range(80)), flow=[*map(str, range(40)), "x", *map(str, range(39))])
    )

    with pytest.raises(HistoryError) as caught:
        read_history([path])

    assert (41, "flow") == (caught.value.row, caught.value.column)


def test_parquet_time_of_another_type_is_refused(tmp_path: Path) -> None:
    """A column of truth values is no time, whatever its name."""
    path = tmp_path / "pump.parquet"
    path.write_bytes(parquet(tmp_path, time=[True] * 80, flow=np.arange(80.0)))

    with pytest.raises(HistoryError, match=r"column 'time': this column holds no times: .*got type Boolean"):
        read_history([path])
