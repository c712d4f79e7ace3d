"""The block of the page: what was measured, against what was to be reached."""

from __future__ import annotations

from pathlib import Path

from tests.benchmark.int8.work import Measured

__all__ = ["write"]


def write(page: Path, results: list[Measured]) -> None:
    """Write the block."""
    page.touch()
