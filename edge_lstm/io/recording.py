"""Simulated readings into a file of history, wide form: CSV or Parquet by the file's ending."""

from __future__ import annotations

import contextlib
import csv
import importlib
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from edge_lstm.errors import HistoryError, MissingExtraError
from edge_lstm.times import NS, format_time

__all__ = ["ENDINGS", "check_recording", "write_recording"]

ENDINGS = (".csv", ".parquet")

Row = tuple[object, ...]


def check_recording(path: Path) -> None:
    """Say what stands in the way of writing, before the work is done.

    Raises:
        HistoryError: Another ending, or no such folder.
        MissingExtraError: Parquet without polars.
    """
    if path.suffix.lower() not in ENDINGS:
        raise HistoryError(
            "cannot write this kind of file", path=path, expected=" or ".join(ENDINGS), got=path.name
        )
    if not path.parent.is_dir():
        raise HistoryError("no such folder", path=path.parent, do="make it first")
    if path.suffix.lower() == ".parquet":
        _polars()


def write_recording(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows to a file that is complete or not there at all.

    Args:
        path: The file.
        columns: Names of the columns; the first one is the time.
        rows: Values in column order, time as nanoseconds since 1970-01-01 UTC, ``None`` for no value.

    Raises:
        HistoryError: The file cannot be written.
        MissingExtraError: Parquet without polars.
    """
    check_recording(path)
    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_csv
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial, columns, rows)
        partial.replace(path)
    except OSError as error:
        raise HistoryError("cannot be written", path=path, got=str(error)) from error
    finally:
        with contextlib.suppress(OSError):  # a read-only place has said so above
            partial.unlink(missing_ok=True)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for time_ns, *values in rows:
            writer.writerow((format_time(_ns(time_ns)), *values))


def _write_parquet(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    polars = _polars()
    frame = polars.DataFrame(list(rows), schema=list(columns), orient="row", infer_schema_length=None)
    time = polars.col(columns[0])
    stamped = time.floordiv(NS // 1000).cast(polars.Datetime("ms", "UTC"))
    content = BytesIO()  # polars has errors of its own for a full disk
    frame.with_columns(stamped).write_parquet(content)
    path.write_bytes(content.getvalue())


def _ns(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("the first column is not a time in nanoseconds")
    return value


def _polars() -> Any:  # noqa: ANN401 - a module without types, on purpose
    # Not an import statement: the device must run without polars, and import-linter holds us to it.
    try:
        return importlib.import_module("polars")
    except ModuleNotFoundError as error:
        what = "writing Parquet needs the package 'polars'"
        raise MissingExtraError(what, do="pip install 'edge-lstm[history]', or write .csv") from error
