"""The contest on the training page: verdict, table and a small picture."""

from __future__ import annotations

import numpy as np

from trainer.pages.contested import Contested
from trainer.pages.figures import Axis, chart, dots, line
from trainer.pages.markup import DASH, Markup, join, tag

__all__ = ["contest_parts"]

_KINDS = ("blue", "plain")


def contest_parts(one: Contested) -> tuple[Markup, ...]:
    """What stands below the heading."""
    verdict = tag("ul", *(tag("li", sentence) for sentence in one.sentences), class_="limits")
    return verdict, _table(one), *([_picture(one)] if one.curves else [])


def _table(one: Contested) -> Markup:
    heads = [tag("th", name, scope="col", class_="num" if i else None) for i, name in enumerate(one.head)]
    rows = [
        tag("tr", tag("th", name, scope="row"), _found(found, share), *(_cell(text) for text in rest))
        for (name, found, *rest), share in zip(one.rows, one.shares, strict=True)
    ]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Contest")


def _found(text: str, share: float) -> Markup:
    bar = tag("i", class_="r2", style=f"--share:{100 * share:.0f}%", aria_hidden="true")
    return tag("td", DASH if text == "-" else text, bar, class_="num")


def _cell(text: str) -> Markup:
    return tag("td", DASH if text == "-" else text, class_="num")


def _picture(one: Contested) -> Markup:
    """Share found over strength; as far apart as factors are, so the axis is logarithmic."""
    x = Axis.around(*(c.strength for c in one.curves), log=True, title="strength, spreads of the channel")
    y = Axis(0.0, 1.0, title="share found")
    marks = []
    for curve, kind in zip(one.curves, _KINDS, strict=False):
        points = np.asarray(curve.strength, dtype=float), np.asarray(curve.found, dtype=float)
        marks += [line(x, y, points, kind), dots(x, y, points, kind)]
    keys = [
        tag("span", tag("i", class_=f"key {kind}"), curve.name)
        for curve, kind in zip(one.curves, _KINDS, strict=False)
    ]
    caption = tag("figcaption", "Spikes, shifts, drifts and noise by their strength")
    drawing = chart(x, y, *marks, label="Share of faults found over their strength", count=(5, 5))
    return tag("figure", caption, join(drawing, tag("p", *keys, class_="legend")))
