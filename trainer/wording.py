"""Pieces of messages: names in a row, the nearest name, options to paste."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

__all__ = ["did_you_mean", "ignore_advice", "listed", "place"]


def listed(names: Iterable[str], most: int = 10) -> str:
    """Names for a message: the first ones, and how many more."""
    every = [f"'{name}'" for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Advice for a name that does not exist."""
    candidates = {other.casefold(): other for other in known}
    near = get_close_matches(name.casefold(), candidates, n=1)
    return f"did you mean '{candidates[near[0]]}'?" if near else f"there are {listed(candidates.values())}"


def place(paths: Iterable[Path]) -> str:
    """Where the fault of a whole history is: the file, or the first one and how many more."""
    every = list(dict.fromkeys(paths))
    more = f" and {len(every) - 1} more" if len(every) > 1 else ""
    return f"{every[0]}{more}"


def ignore_advice(names: Sequence[str]) -> str:
    """Options to paste, one a column."""
    return " ".join(f"--ignore {shlex.quote(name)}" for name in names)
