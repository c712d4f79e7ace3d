"""The folder of an export: written as a whole, and never over what is not an export's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edge_lstm.errors import OperatorError
from edge_lstm.files import read_at_most

__all__ = ["MARK", "write_folder"]

MARK = "export.json"
_MOST_MARK = 1 << 20


class _Mark(msgspec.Struct):
    """What an export wrote, so that the next one knows its own files."""

    tool: str
    bundle: str
    files: list[str]

    def __post_init__(self) -> None:
        """Msgspec makes a ValidationError of it."""
        if any("\0" in name for name in self.files):
            raise ValueError("no path has a NUL in it")


def write_folder(out: Path, files: Mapping[str, str], *, bundle: str) -> None:
    """Write the files of an export.

    Args:
        out: The folder: a new one, an empty one, or that of an earlier export, whose files are replaced.
        files: Path within the folder to content.
        bundle: SHA-256 of the bundle.

    Raises:
        OperatorError: The folder holds something else, or cannot be written to.
    """
    try:
        own = _own(out)
        for name in sorted(own | {*files, MARK}):
            _refuse_links(out, name)
        for name in files:
            place = out / name
            if name not in own and (place.exists() or place.is_symlink()):
                raise OperatorError(f"{place} is not of an earlier export", do="choose another --out")
        for name in sorted(own - {*files}):
            (out / name).unlink(missing_ok=True)
        for name, text in files.items():
            place = out / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8", newline="\n")
        mark = _Mark("edge-lstm export c", bundle, sorted(files))
        text = msgspec.json.format(msgspec.json.encode(mark), indent=1).decode()
        (out / MARK).write_text(f"{text}\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise OperatorError(
            f"cannot write to the folder {out}: {error.strerror}", do="choose another --out"
        ) from error


def _refuse_links(out: Path, name: str) -> None:
    """No part of a path below the folder may lead out of it.

    Raises:
        OperatorError: One is a symbolic link.
    """
    place = out
    for part in Path(name).parts:
        place /= part
        if place.is_symlink():
            raise OperatorError(f"{place} is a symbolic link", do="remove it or choose another --out")


def _own(out: Path) -> set[str]:
    """Names of the files that an earlier export wrote there."""
    if not out.exists() and not out.is_symlink():
        return set()
    if not out.is_dir():
        raise OperatorError(f"{out} is not a folder", do="choose another --out")
    if not any(out.iterdir()):
        return set()
    try:
        mark = msgspec.json.decode(read_at_most(out / MARK, _MOST_MARK), type=_Mark)
    except (FileNotFoundError, ValueError, RecursionError):  # DecodeError and UnicodeError are ValueErrors
        mark = None
    if mark is None or any("\0" in name for name in mark.files):
        raise OperatorError(
            f"the folder {out} holds something that is not an export", do="choose another --out"
        )
    inside = [name for name in mark.files if not Path(name).is_absolute() and ".." not in Path(name).parts]
    return {*inside}
