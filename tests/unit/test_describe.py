"""The model card's text."""

from __future__ import annotations

from trainer.describe import markdown_table


def test_names_are_text_in_the_card() -> None:
    """A column's name comes from a file, and a card is read by people and rendered by web sites."""
    table = markdown_table(
        [["channel"], ["<script>alert(1)</script>"], ["a|b"], ["two\nlines\x1b[31m"], ["A & B"]]
    )

    assert table.splitlines() == [
        "| channel |",
        "|---|",
        "| &lt;script&gt;alert(1)&lt;/script&gt; |",
        "| a\\|b |",
        "| two lines [31m |",
        "| A &amp; B |",
    ]
