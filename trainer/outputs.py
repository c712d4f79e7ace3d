"""Results never go where the work came from, nor onto anything that is not a plain file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from edge_lstm.errors import OperatorError

__all__ = ["need_folder", "refuse_overwriting"]

_READ = (".csv", ".csv.gz", ".parquet")
"""Endings of what is read from a folder, as in `trainer.tables`, which is not loaded for this."""


def need_folder(out: Path) -> None:
    """Find out before any work is done that there is a place for the result.

    Raises:
        OperatorError: The folder is not there, or nothing can be written to it.
    """
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise OperatorError(f"cannot write to the folder {out.parent}", do="make it, or choose another --out")


def refuse_overwriting(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Find out before any work is done.

    Args:
        outputs: Files to be written; ``None`` is none.
        inputs: Files that are read.

    Raises:
        OperatorError: An output is an input or would be read as one, is given twice, or is a
            device or a pipe.
    """
    taken = {path.resolve(): "an input" for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise OperatorError(f"{path} is {taken[place]} already", do="choose another file to write to")
        if place.exists() and not place.is_file():
            raise OperatorError(f"{path} is not a plain file", do="choose another file to write to")
        if place.name.lower().endswith(_READ) and "an input" in map(taken.get, place.parents):
            raise OperatorError(
                f"{path} would stand among the inputs", do="choose another folder to write to"
            )
        taken[place] = "an output"
