"""The tuning page: quality against size, and what was tried. No script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trainer.pages.document import document
from trainer.pages.figures import Axis, chart, dots, line
from trainer.pages.markup import Markup, join, legend, scroll, section, tag

__all__ = ["Point", "TuningPage", "render_tuning"]

_TEXT_COLUMN = "settings that differ"


@dataclass(frozen=True, slots=True)
class Point:
    """One trial: size of the model in bytes, share of the faults found, 0 to 1."""

    size: float
    found: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPage:
    """What the page shows.

    Attributes:
        title: Heading.
        summary: What was chosen, and why.
        facts: Label to value.
        trials: Trials within the limits.
        over: Trials over a limit.
        front: Those that no other beats in both, smallest first.
        named: Name to the point that bears it.
        best: Table of the front, the heading first.
        every: Table of all trials, the heading first.
        notes: Sentences.
    """

    title: str
    summary: str
    facts: Mapping[str, str]
    trials: Sequence[Point]
    over: Sequence[Point]
    front: Sequence[Point]
    named: Mapping[str, Point]
    best: Sequence[Sequence[str]]
    every: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


def render_tuning(page: TuningPage) -> str:
    """One HTML file that opens offline; the same page gives the same bytes."""
    pairs = [tag("div", tag("dt", name), tag("dd", text)) for name, text in page.facts.items()]
    header = tag(
        "header",
        tag("p", "Edge LSTM tuning", class_="over"),
        tag("h1", page.title),
        tag("p", page.summary, class_="lead"),
        tag("dl", *pairs, class_="facts"),
    )
    notes = tag("ul", *(tag("li", one) for one in page.notes), class_="warnings") if page.notes else Markup()
    main = tag(
        "main",
        _picture(page),
        section(
            "The front",
            _table(page.best, "The front"),
            lead="A larger model is here only if it finds more than every smaller one; the default is here "
            "in any case. * is the chosen one.",
        ),
        section("All trials", notes, _table(page.every, "All trials")),
    )
    return document(
        title=page.title, body=join(header, main), styles=("style.css", "training.css", "tuning.css")
    )


def _picture(page: TuningPage) -> Markup:
    every = [*page.trials, *page.over]
    sizes, found = _sizes(every), _found(every)
    log = bool(len(sizes)) and float(sizes.max() / max(sizes.min(), 1.0)) > 4
    x = Axis.around(sizes, log=log, title="bytes of int8 model" + (", logarithmic" if log else ""))
    y = Axis.around(found, title="faults found, %")
    marks = [
        line(x, y, _staircase(page.front), "blue"),
        dots(x, y, (_sizes(page.trials), _found(page.trials)), "plain"),
        dots(x, y, (_sizes(page.over), _found(page.over)), "over"),
        dots(x, y, (_sizes(page.front), _found(page.front)), "front"),
        *(_name(x, y, point, name) for name, point in page.named.items()),
    ]
    keys = legend(("blue", "the front: no trial finds more with as few bytes"))
    points = tag(
        "p",
        *(
            tag("span", tag("i", class_=f"spot {kind}"), text)
            for kind, text in (("front", "on the front"), ("plain", "beaten"), ("over", "over a limit"))
        ),
        class_="legend",
    )
    drawing = chart(x, y, *marks, label="Faults found over bytes of the model", kind="tall", count=(6, 6))
    lead = (
        "Each dot is a whole training. Up is better, left is smaller: share of the faults, injected into "
        "held-out history, that the members to be shipped find at the alarm budget."
    )
    return section("Quality against size", keys, points, drawing, lead=lead)


def _sizes(points: Sequence[Point]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([one.size for one in points], dtype=np.float64)


def _found(points: Sequence[Point]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([100 * one.found for one in points], dtype=np.float64)


def _staircase(
    front: Sequence[Point],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """What can be had up to each size: level to the next larger model, then up."""
    sizes, found = np.repeat(_sizes(front), 2)[1:], np.repeat(_found(front), 2)[:-1]
    return sizes, found


def _name(x: Axis, y: Axis, point: Point, name: str) -> Markup:
    across, up = float(x.share(point.size)), float(y.share(100 * point.found))
    left = across < 0.7
    return tag(
        "text", name, x=f"{across * 100:.2f}%", y=f"{(1 - up) * 100:.2f}%", dx=9 if left else -9,
        dy=-7 if up < 0.9 else 16, text_anchor="start" if left else "end", class_="name",
    )  # fmt: skip


def _table(rows: Sequence[Sequence[str]], label: str) -> Markup:
    head, *body = rows
    kinds = [None if name == _TEXT_COLUMN else "num" for name in head]
    heads = [tag("th", name, scope="col", class_=kind) for name, kind in zip(head, kinds, strict=True)]
    lines = [
        tag("tr", *(tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in body
    ]
    return scroll(tag("thead", tag("tr", *heads)), tag("tbody", *lines), label=label)
