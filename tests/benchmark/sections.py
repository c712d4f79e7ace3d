"""One page, several benchmarks: each writes its own block and leaves the others alone."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["blocks_of", "put"]

_BLOCK = re.compile(r"<!-- begin (?P<name>\w+) -->\n.*?<!-- end (?P=name) -->\n", re.DOTALL)


def blocks_of(text: str) -> dict[str, str]:
    """Name to whole block, markers included."""
    return {found["name"]: found.group() for found in _BLOCK.finditer(text)}


def put(page: Path, name: str, text: str) -> None:
    """Write a block in place of the one of that name, or at the end."""
    old = page.read_text(encoding="utf-8") if page.is_file() else "# Benchmarks\n"
    block = f"<!-- begin {name} -->\n{text.strip()}\n<!-- end {name} -->\n"
    before = blocks_of(old).get(name)
    new = old.replace(before, block) if before else f"{old.rstrip()}\n\n{block}"
    page.write_text(new, encoding="utf-8")
