"""Files from outside, read with a limit; a device such as ``/dev/zero`` has no size and no end."""

from __future__ import annotations

from pathlib import Path

__all__ = ["read_at_most"]


def read_at_most(path: Path, most: int) -> bytes:
    """A file's content, cut one byte after ``most``: longer than ``most`` says that it is too large.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(most + 1)
