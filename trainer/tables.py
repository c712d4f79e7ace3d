"""Files and folders to tables, whatever they hold: CSV, compressed CSV or Parquet."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edge_lstm.errors import HistoryError
from trainer.csv_files import decompress, read_csv

__all__ = ["ENDINGS", "Table", "find_files", "natural", "read_table"]

ENDINGS = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True, slots=True)
class Table:
    """One file as it is; row i of the frame is row i + 1 of the data.

    Attributes:
        path: The file.
        source: Its name, short and unique among the files of one history.
        frame: Columns; those of a CSV file are text.
        decimal_comma: Whether a comma in a cell may stand for the decimal point.
    """

    path: Path
    source: str
    frame: pl.DataFrame
    decimal_comma: bool = False


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key that puts ``file10`` after ``file9``."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in parts if part)


def find_files(paths: Sequence[Path]) -> dict[Path, str]:
    """Every file of a history, and the name to call it by.

    Args:
        paths: Files, and folders that are searched through; files whose name starts with
            a point are passed over in folders.

    Raises:
        HistoryError: Nothing there, or nothing that can be read.
    """
    found: dict[Path, str] = {}
    for path in paths:
        try:
            found |= _in_folder(path) if path.is_dir() else {_checked(path): path.name}
        except OSError as error:
            raise _unreadable(path, error) from error
    if not found:
        raise HistoryError("no history given", expected="a file or a folder")
    once = {path.resolve(): path for path in reversed(found)}
    found = {path: name for path, name in found.items() if once[path.resolve()] == path}
    names = list(found.values())
    return {path: name if names.count(name) == 1 else path.as_posix() for path, name in found.items()}


def _checked(path: Path) -> Path:
    if not path.exists():
        do = "check the spelling, and the folder the command is run in"
        raise HistoryError("no such file", path=path, do=do)
    if not _known(path):
        got = path.suffix or "no ending"
        raise HistoryError("unknown kind of file", path=path, expected=", ".join(ENDINGS), got=got)
    return path


def _known(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS)


def _in_folder(folder: Path) -> dict[Path, str]:
    inside = [path for path in folder.rglob("*") if _known(path) and path.is_file()]
    named = {path: path.relative_to(folder).as_posix() for path in inside}
    named = {path: name for path, name in named.items() if not re.search(r"(^|/)\.", name)}
    if not named:
        raise HistoryError(
            "no history in this folder", path=folder, expected=f"files in {', '.join(ENDINGS)}"
        )
    return dict(sorted(named.items(), key=lambda item: natural(item[1])))


def read_table(path: Path, *, source: str, delimiter: str | None = None) -> Table:
    """Read one file.

    Raises:
        HistoryError: It cannot be read, is not what its ending says, or has no rows.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    name = path.name.lower()
    if name.endswith(".parquet"):
        table = Table(path, source, _read_parquet(path, data))
    else:
        text = decompress(path, data) if name.endswith(".gz") else data
        frame, mark = read_csv(path, text, delimiter=delimiter)
        table = Table(path, source, frame, decimal_comma=mark != ",")
    if table.frame.is_empty():
        raise HistoryError(
            "no rows: there is a header and nothing else", path=path, do="give a file with data"
        )
    return table


def _unreadable(path: Path, error: OSError) -> HistoryError:
    do = "check that it is whole and that you may read it"
    return HistoryError("cannot be read", path=path, got=error.strerror or str(error), do=do)


def _not_parquet(path: Path, said: str) -> HistoryError:
    do = "export it anew, or rename it if it is a CSV file"
    return HistoryError("not a whole Parquet file", path=path, got=said.partition("\n")[0], do=do)


def _read_parquet(path: Path, data: bytes) -> pl.DataFrame:
    if not data:
        raise HistoryError("the file is empty", path=path, do="export it anew")
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _not_parquet(path, str(error)) from error
    except pl.exceptions.PanicException as error:  # what a damaged file does to polars, and no Exception
        raise _not_parquet(path, "damaged data") from error
    plain = {
        name: pl.String if isinstance(dtype, pl.Categorical | pl.Enum) else pl.Float64
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Categorical | pl.Enum | pl.Decimal)
    }
    return frame.cast(plain)  # type: ignore[arg-type]
