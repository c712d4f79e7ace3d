"""The page: what was measured, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmark.detection.results import Result
from tests.benchmark.detection.work import Plan

__all__ = ["write_page"]


def write_page(page: Path, plan: Plan, results: Sequence[Result]) -> None:
    """Write the page.

    Args:
        page: Where to.
        plan: What was asked for.
        results: All of it.
    """
    text = "\n".join(f"{one.set} {one.case} {one.seed} {one.part}" for one in results)
    page.write_text(f"{plan.sets}\n{text}\n", encoding="utf-8")
