"""Figures over blocks in time, on the evaluation page."""

from __future__ import annotations

from trainer.evaluate_text import blocks_sentence, blocks_table
from trainer.evaluation import Blocks
from trainer.pages.markup import DASH, Markup, scroll, section, tag

__all__ = ["blocks_section"]


def blocks_section(over: Blocks) -> Markup:
    """Mean and spread of every figure."""
    head, *body = blocks_table(over)
    heads = [tag("th", name, scope="col", class_="num" if i else None) for i, name in enumerate(head)]
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row", class_="name"),
            *(tag("td", DASH if one == "-" else one, class_="num") for one in some),
        )
        for name, *some in body
    ]
    sentence = blocks_sentence(over)
    lead = f"{sentence[0].upper()}{sentence[1:]}. Spread is the standard deviation over the blocks."
    table = scroll(tag("thead", tag("tr", *heads)), tag("tbody", *rows), label="Blocks in time")
    return section("Blocks in time", table, lead=lead)
