"""One page of several benchmarks."""

from __future__ import annotations

from pathlib import Path

from tests.benchmark.sections import blocks_of, put


def test_block_replaces_its_own_and_leaves_the_rest(tmp_path: Path) -> None:
    """Twice the same is once; words around stay where they are."""
    page = tmp_path / "page.md"
    page.write_text("# Benchmarks\n\nwords\n", encoding="utf-8")
    put(page, "one", "first")
    put(page, "two", "second")
    put(page, "one", "first again")

    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n\nwords\n")
    assert list(blocks_of(text)) == ["one", "two"]
    assert "first again\n<!-- end one -->" in text
    assert text.count("first") == 1
    once = text
    put(page, "two", "second")
    assert page.read_text(encoding="utf-8") == once
