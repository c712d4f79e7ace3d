"""CSV bytes to a table of text cells, or one line that says why not.

Every cell stays text here: what is a number is decided column by column later, where
row and column of a bad cell can be named.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from edge_lstm.errors import HistoryError

__all__ = ["DELIMITERS", "decompress", "read_csv"]

DELIMITERS = ",;\t|"

_HEAD = 1 << 20  # bytes; the header of a plant with thousands of tags must fit
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}[-/]\d\d[-/]\d\d([Tt ].*)?")
_AS_CSV = "give a CSV file with a header row, or export the data as one"
# What people name .csv by mistake, by its first bytes.
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "a Parquet file", "rename it to end in .parquet"),
    (b"\x1f\x8b", "compressed with gzip", "rename it to end in .csv.gz"),
    (b"PK\x03\x04", "a zip file or an Excel workbook", _AS_CSV),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", _AS_CSV),
    (b"\x89PNG", "a PNG picture", _AS_CSV),
    (b"\xff\xd8\xff", "a JPEG picture", _AS_CSV),
    (b"%PDF", "a PDF document", _AS_CSV),
    (b"SQLite format 3", "an SQLite database", _AS_CSV),
    (b"\x89HDF", "an HDF5 file", _AS_CSV),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
)
_FOREIGN_TEXT = ((b"{", "JSON"), (b"[", "JSON"), (b"<", "HTML or XML"))


def decompress(path: Path, data: bytes) -> bytes:
    """What a gzip file holds.

    Raises:
        HistoryError: It is not one, or not a whole one.
    """
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise HistoryError(
            "not a whole gzip file", path=path, got=str(error), do="compress or copy it anew"
        ) from error


def read_csv(path: Path, data: bytes, *, delimiter: str | None = None) -> tuple[pl.DataFrame, str]:
    """Read a table with a header row.

    Args:
        path: Where the bytes are from, for messages.
        data: The file.
        delimiter: One character; found in the header unless it is given.

    Returns:
        The cells as text, null where a cell is empty, one row a row of data (empty lines
        count as rows); and the delimiter.

    Raises:
        HistoryError: It is not a CSV table.
    """
    _refuse_foreign(path, data)
    head = data[:_HEAD].decode("utf-8-sig", errors="replace")
    mark = delimiter or _sniff(head)
    if mark is None or mark not in _first_line(head):
        raise _one_column(path, _first_line(head), delimiter)
    names = _header(path, data, head, mark)
    try:
        frame = pl.read_csv(data, separator=mark, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _diagnosed(path, data, mark, str(error)) from error
    if frame.width != len(names):
        raise _diagnosed(path, data, mark, f"{frame.width} columns under {len(names)} names")
    if data.count(mark.encode()) != (len(names) - 1) * (frame.height + 1):
        _look_closer(path, data, mark, rows=frame.height)
    return frame.rename(dict(zip(frame.columns, names, strict=True))), mark


def _refuse_foreign(path: Path, data: bytes) -> None:
    blanks = b"\xef\xbb\xbf \t\r\n"
    if not data[:_HEAD].strip(blanks) and not data.strip(blanks):
        raise HistoryError("the file is empty", path=path, do="give a CSV file with a header row and data")
    for magic, what, do in _FOREIGN:
        if data.startswith(magic):
            raise HistoryError(f"this is not CSV but {what}", path=path, do=do)
    start = data[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, what in _FOREIGN_TEXT:
        if start.startswith(mark):
            raise HistoryError(f"this is not CSV but {what}", path=path, do=_AS_CSV)
    nul = data.find(b"\0")
    if nul >= 0:
        what = "binary data, or a file damaged by a power loss"
        raise HistoryError(f"not text: {what}", path=path, row=_row_at(data, nul), do=_AS_CSV)


def _row_at(data: bytes, offset: int) -> int | None:
    """Row of data that holds a byte; ``None`` for the header."""
    return data.count(b"\n", 0, offset) or None


def _first_line(head: str) -> str:
    return next((line for line in head.splitlines() if line.strip()), "")


def _sniff(head: str) -> str | None:
    """The delimiter that cuts most lines into as many fields as the header has."""
    lines = [re.sub(r'"[^"]*"', "", line) for line in head.splitlines()[:51] if line.strip()]
    lines = lines[:-1] or lines  # the last one may be cut off by the end of the head
    scored = [
        (sum(line.count(mark) == lines[0].count(mark) for line in lines), lines[0].count(mark), mark)
        for mark in DELIMITERS
        if mark in lines[0]
    ]
    return max(scored)[2] if scored else None


def _one_column(path: Path, line: str, delimiter: str | None) -> HistoryError:
    marks = f"'{delimiter}'" if delimiter else "comma, semicolon, tab or |"
    return HistoryError(
        "not a CSV table",
        path=path,
        expected=f"a header row with a time column and channels, parted by {marks}",
        got=f"'{line[:60]}'",
        do="name the delimiter with --delimiter" if delimiter is None else "check --delimiter",
    )


def _header(path: Path, data: bytes, head: str, mark: str) -> list[str]:
    try:
        row = next(row for row in csv.reader(io.StringIO(head, newline=""), delimiter=mark) if row)
    except csv.Error as error:
        raise HistoryError("the header cannot be read", path=path, got=str(error), do=_AS_CSV) from error
    names = [name.strip() for name in row]
    if "\ufffd" in "".join(names):
        _refuse_other_encoding(path, data)
    if all(_NUMBER.fullmatch(name) or _DATE.fullmatch(name) for name in names):
        got = f"'{mark.join(names)[:60]}'"
        raise HistoryError(
            "no header row", path=path, expected="names of columns in the first line", got=got, do="add one"
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        what = f"{names.count(twice[0])} columns have this name"
        raise HistoryError(what, path=path, column=twice[0], do="rename them in the header")
    return _unnamed_apart(names)


def _unnamed_apart(names: list[str]) -> list[str]:
    """Tables may have several columns without a name (a trailing delimiter, an index): keep them apart."""
    blanks = iter(range(1, len(names) + 1))
    return [name or " " * (next(blanks) - 1) for name in names]


def _diagnosed(path: Path, data: bytes, mark: str, said: str) -> HistoryError:
    """The reason behind a table that polars cannot read."""
    _refuse_other_encoding(path, data)
    _refuse_ragged(path, data, mark)
    return HistoryError("not a CSV table", path=path, got=said.splitlines()[0], do=_AS_CSV)


def _refuse_other_encoding(path: Path, data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        do = f"convert it: iconv -f LATIN1 -t UTF-8 {path.name}"
        raise HistoryError(
            "not UTF-8 text",
            path=path,
            row=_row_at(data, error.start),
            got=f"byte {data[error.start]:#04x}",
            do=do,
        ) from error


def _look_closer(path: Path, data: bytes, mark: str, *, rows: int) -> None:
    """Find what polars passes over in silence: short rows, and rows swallowed by a stray quote.

    Only needed where the delimiters do not add up, which may be as harmless as a quoted comma.
    """
    found = _refuse_ragged(path, data, mark)
    if found != rows:
        do = "look for a quotation mark without its partner"
        raise HistoryError("rows run into each other", path=path, expected=f"{found}", got=f"{rows}", do=do)


def _refuse_ragged(path: Path, data: bytes, mark: str) -> int:
    """Count the rows of data, each as wide as the header."""
    rows = _rows(path, data, mark)
    width, number = len(next(rows)), 0
    for number, row in enumerate(rows, 1):
        if row and len(row) != width:
            raise HistoryError(
                "this row has another number of fields than the header",
                path=path,
                row=number,
                expected=str(width),
                got=str(len(row)),
                do="mend or remove the row, or name the delimiter with --delimiter",
            )
    return number


def _rows(path: Path, data: bytes, mark: str) -> Iterator[list[str]]:
    """The header and every line after it, empty ones as empty lists."""
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "replace", newline=""), delimiter=mark
    )
    started = False
    try:
        for row in reader:
            started = started or bool(row)
            if started:
                yield row
    except csv.Error as error:
        raise HistoryError("not a CSV table", path=path, got=str(error), do=_AS_CSV) from error
