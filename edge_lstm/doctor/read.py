"""Small files of /proc and /sys, below any root, which may be missing or hold anything."""

from __future__ import annotations

from pathlib import Path

__all__ = ["below", "read_number", "read_text"]

_MOST = 2**20


def below(root: Path, path: str | Path) -> Path:
    """An absolute path of the board, as seen under ``root``."""
    return root / str(path).lstrip("/")


def read_text(path: Path) -> str | None:
    """The content without blanks and NULs around it; ``None`` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST).decode(errors="replace").strip("\0 \t\r\n")
    except OSError:
        return None


def read_number(path: Path, base: int = 10) -> int | None:
    """A file that holds one whole number; ``None`` when it does not."""
    try:
        return int(read_text(path) or "", base)
    except ValueError:
        return None
