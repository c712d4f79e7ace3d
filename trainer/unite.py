"""Several files as one history: the same channels in each, or a line that names the difference."""

from __future__ import annotations

from collections.abc import Sequence

from edge_lstm.errors import HistoryError
from trainer.columns import ReadOptions
from trainer.parts import Sheet, text_among_numbers
from trainer.wording import did_you_mean, ignore_advice, listed, place

__all__ = ["unite"]


def unite(sheets: Sequence[Sheet], options: ReadOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Channels of the whole history, and columns of text that are left out.

    Raises:
        HistoryError: Files differ in their columns, a column holds text in one file and
            numbers in another, or there is no column of numbers.
    """
    _check_ignored(sheets, options)
    _check_kinds(sheets, options)
    if options.channels is not None:
        return options.channels, ()
    categorical = tuple(dict.fromkeys(n for s in sheets for n, one in s.kinds.items() if one.kind == "text"))
    candidates = [
        [name for name, one in sheet.kinds.items() if one.kind in ("number", "empty")] for sheet in sheets
    ]
    for sheet, names in zip(sheets[1:], candidates[1:], strict=True):
        _check_same(sheets[0], candidates[0], sheet, names)
    channels = tuple(candidates[0])
    if not any(sheet.channels for sheet in sheets):
        raise HistoryError(
            "no numeric column",
            path=place([sheet.path for sheet in sheets]),
            expected="a column of numbers beside the time",
            got=listed(sheets[0].columns),
            do="give a file with measured values, or set --delimiter if the columns were cut wrongly",
        )
    return channels, categorical


def _check_ignored(sheets: Sequence[Sheet], options: ReadOptions) -> None:
    known = list(dict.fromkeys(name for sheet in sheets for name in sheet.columns))
    for name in sorted(options.ignore):
        if name not in known and options.strict:
            do = did_you_mean(name, known)
            raise HistoryError(
                "there is no such column to ignore",
                path=place([sheet.path for sheet in sheets]),
                column=name,
                do=do,
            )


def _check_kinds(sheets: Sequence[Sheet], options: ReadOptions) -> None:
    """A sensor that said ERROR for a whole day is a fault of that file, not a category."""
    numeric = {name: sheet for sheet in sheets for name in sheet.channels}
    for sheet in sheets:
        for name, one in sheet.kinds.items():
            if one.kind in ("text", "other") and (options.channels or name in numeric):
                raise text_among_numbers(sheet.path, one, name, options)


def _check_same(first: Sheet, expected: Sequence[str], sheet: Sheet, names: Sequence[str]) -> None:
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if not missing and not extra:
        return
    got = [f"no {listed(missing)}"] if missing else []
    got += [f"{listed(extra)} as well"] if extra else []
    if len(missing) < len(expected):
        do = f"make the files equal, or leave out what is not in all: {ignore_advice([*missing, *extra])}"
    else:
        do = "train a model for each kind of file"
    raise HistoryError(
        f"other channels than {first.source}",
        path=sheet.path,
        expected=listed(expected),
        got=" and ".join(got),
        do=do,
    )
