"""Labels of a recording: which readings somebody knows to be anomalous, 0 or 1 a row.

They are read apart from the channels, so that nothing of them can reach the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_lstm.errors import HistoryError
from edge_lstm.times import NS, format_time
from trainer.columns import CHANNEL_NAMES, LABELS, ReadOptions, simple_name
from trainer.parts import Part, Sheet
from trainer.sheets import read_sheet
from trainer.tables import Table, find_files, read_table
from trainer.wording import did_you_mean, ignore_advice

__all__ = ["Labels", "read_labels"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of every machine.

    Attributes:
        column: Where they were read.
        marks: Machine (empty when no column names it) to times, (rows,), in order, and
            labels, (rows,), True where anomalous.
        others: Columns that look like labels as well and are not used.
    """

    column: str
    marks: Mapping[str, tuple[Ints, Bools]]
    others: tuple[str, ...] = ()

    def at(self, asset: str, time_ns: Ints, *, period_s: float) -> Bools:
        """The label of each time, (rows,): that of the row itself, or in a long table the last one.

        Args:
            asset: The machine, as in ``marks``.
            time_ns: (rows,).
            period_s: How old a label may be.

        Raises:
            HistoryError: No label that is new enough.
        """
        known, marks = self.marks.get(asset, (np.zeros(0, np.int64), np.zeros(0, np.bool_)))
        place = np.searchsorted(known, time_ns, side="right") - 1
        age = time_ns - np.r_[known, 0][place]
        absent = (place < 0) | (age > period_s * NS)
        if absent.any():
            first = format_time(int(time_ns[absent.argmax()]))
            raise HistoryError(
                "no label for a reading",
                column=self.column,
                expected=f"one at {first}, or up to {period_s:g} s older",
                do="label every row of the table with 0 or 1",
            )
        return marks[place]


def read_labels(
    paths: Sequence[Path], column: str, *, channels: Sequence[str], options: ReadOptions
) -> Labels:
    """Read a column of labels from the files of a recording.

    Args:
        paths: Files and folders, as for `trainer.data.read_history`.
        column: Name of the column; in a long table it may be a channel.
        channels: The bundle's channels.
        options: How to read the files, as for the channels.

    Raises:
        HistoryError: There is no such column, a label is missing or neither 0 nor 1, no row
            is labelled 1, or the model has seen the labels.
    """
    if column in channels:
        raise HistoryError(
            "this column is a channel of the bundle: a model that was shown the labels proves nothing",
            column=column,
            do=f"train it anew with {ignore_advice([column])}",
        )
    said = replace(options, channels=(column,), ignore=options.ignore - {column}, strict=False)
    found: dict[str, list[tuple[Ints, Bools]]] = {}
    others: dict[str, None] = {}
    for path, source in find_files(paths).items():
        sheet = _sheet(read_table(path, source=source, delimiter=said.delimiter), column, said)
        used = {column, said.asset_column, *channels, *said.ignore}
        others |= dict.fromkeys(n for n in sheet.columns if simple_name(n) in LABELS and n not in used)
        for part in sheet.parts:
            found.setdefault(part.asset, []).append((part.time_ns, _marks(sheet, part, column)))
    marks = {asset: _joined(pieces) for asset, pieces in found.items()}
    if not any(values.any() for _, values in marks.values()):
        raise HistoryError(
            "no row is labelled 1, so there is nothing to find",
            path=", ".join(str(path) for path in paths),
            column=column,
            do="give a recording with labelled anomalies, or leave out --labels to see rates only",
        )
    return Labels(column, marks, tuple(others))


def _sheet(table: Table, column: str, options: ReadOptions) -> Sheet:
    columns = table.frame.columns
    if column in columns:  # beside the values in a long table, too
        return read_sheet(table, replace(options, layout="wide"))
    long = options.layout == "long" or options.channel_column is not None
    if not long and not any(simple_name(name) in CHANNEL_NAMES for name in columns):
        do = f"{did_you_mean(column, columns)} (--labels)"
        raise HistoryError("there is no such column", path=table.path, column=column, do=do)
    return read_sheet(table, options)


def _marks(sheet: Sheet, part: Part, column: str) -> Bools:
    one = sheet.kinds[column]
    expected = "0 or 1 (or false and true)"
    if one.kind in ("text", "mixed", "other"):
        raise HistoryError(
            "not a label", path=part.path, row=one.bad_row, column=column, expected=expected, got=one.bad[:60]
        )
    values = part.values[:, 0] if part.values.shape[1] else np.full(len(part.rows), np.nan)
    wrong = ~np.isin(values, (0.0, 1.0))
    if wrong.any():
        row = int(wrong.argmax())
        empty = bool(np.isnan(values[row]))
        raise HistoryError(
            "no label here" if empty else "not a label",
            path=part.path,
            row=int(part.rows[row]),
            column=column,
            expected=expected,
            got=None if empty else f"{values[row]:g}",
            do="label the row, or remove it" if empty else None,
        )
    return np.equal(values, 1.0)


def _joined(pieces: Sequence[tuple[Ints, Bools]]) -> tuple[Ints, Bools]:
    """All files of one machine in order of time; where two have the same time, the first one is last."""
    times = np.concatenate([times for times, _ in reversed(pieces)])
    marks = np.concatenate([marks for _, marks in reversed(pieces)])
    order = np.argsort(times, kind="stable")
    return times[order], marks[order]
