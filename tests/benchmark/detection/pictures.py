"""The two pictures of the page, as SVG without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_lstm.times import NS
from tests.benchmark.detection.results import Watch
from tests.benchmark.detection.summary import Summary
from trainer.pages.markup import Markup, tag

__all__ = ["bar_chart", "watch_chart"]

INK, GRID, PAPER = "#333333", "#dddddd", "#ffffff"
COLOURS = ("#1b5fa7", "#76aede", "#d9822b", "#4d4d4d", "#8c8c8c", "#c4c4c4")
LEFT, TOP, WIDTH, HEIGHT = 56, 44, 900, 330
BAR, GAP = 16, 26


def bar_chart(summary: Summary, methods: Sequence[str]) -> str:
    """VUS-PR of each method on each set: the mean over seeds, and a line from lowest to highest."""
    sets = list(summary.rows)
    group = BAR * len(methods) + GAP
    width = max(LEFT + group * len(sets) + GAP, round(_places(methods)[-1][1]) + 160)
    bottom = TOP + HEIGHT - 90
    marks = [_level(share / 4, f"{share / 4:g}", width, bottom) for share in range(5)]
    for i, which in enumerate(sets):
        left = LEFT + GAP / 2 + i * group
        marks.append(_text(left + group / 2 - GAP / 2, bottom + 18, which, anchor="middle"))
        for j, method in enumerate(methods):
            values = summary.values(which, method, "vus_pr")
            if values:
                marks += _bar(left + j * BAR, bottom, values, COLOURS[j % len(COLOURS)])
    names = [
        Markup(
            tag("rect", x=x, y=12, width=12, height=12, fill=COLOURS[i % len(COLOURS)])
            + _text(x + 17, 22, method)
        )
        for i, (method, x) in enumerate(_places(methods))
    ]
    return _page(width, bottom + 34, "VUS-PR a set and method", [*marks, *names])


def _places(names: Sequence[str]) -> list[tuple[str, float]]:
    """Where the names of the key begin."""
    places, x = [], float(LEFT)
    for name in names:
        places.append((name, x))
        x += 34 + 7.2 * len(name)
    return places


def _bar(left: float, bottom: float, values: Sequence[float], colour: str) -> list[Markup]:
    top = bottom - _up(sum(values) / len(values), bottom)
    marks = [tag("rect", x=left, y=_r(top), width=BAR - 3, height=_r(bottom - top), fill=colour)]
    if max(values) - min(values) > 0.002:
        x = left + (BAR - 3) / 2
        ends = [_r(bottom - _up(value, bottom)) for value in (min(values), max(values))]
        marks.append(tag("line", x1=x, x2=x, y1=ends[0], y2=ends[1], stroke="#000000"))
    return marks


def _up(value: float, bottom: float) -> float:
    return value * (bottom - TOP)


def _level(value: float, text: str, width: float, bottom: float) -> Markup:
    y = _r(bottom - _up(value, bottom))
    rule = tag("line", x1=LEFT, x2=width - GAP / 2, y1=y, y2=y, stroke=GRID)
    return Markup(rule + _text(LEFT - 8, y + 4, text, anchor="end"))


def watch_chart(seen: Watch, *, learned: int, title: str) -> str:
    """Scores of a recording in operation, the threshold, and when alarms opened.

    Args:
        seen: The recording.
        learned: How many readings at its start were the history.
        title: What a screen reader says.
    """
    start, end = seen.time_ns[0], seen.time_ns[-1]
    high = max([*seen.score, seen.level]) * 1.05
    bottom, right = TOP + HEIGHT - 60, WIDTH - 16

    def across(time_ns: int) -> float:
        return _r(LEFT + (right - LEFT) * (time_ns - start) / (end - start))

    def up(score: float) -> float:
        """The score is a logarithm already (log1p), so the axis is not."""
        return _r(bottom - score / high * (bottom - TOP))

    taught = tag(
        "rect", x=LEFT, y=TOP, width=across(seen.time_ns[learned - 1]) - LEFT, height=bottom - TOP,
        fill="#eef3f8",
    )  # fmt: skip
    marks = [taught, _text(LEFT + 6, TOP + 16, "learned from")]
    for day in range(math.floor((end - start) / (86_400 * NS)) + 1):
        x = across(start + day * 86_400 * NS)
        marks.append(tag("line", x1=x, x2=x, y1=TOP, y2=bottom, stroke=GRID))
        marks.append(_text(x, bottom + 18, f"day {day + 1}"))
    ticks = range(math.floor(high) + 1)
    marks += [_text(LEFT - 8, up(tick) + 4, f"{tick}", anchor="end") for tick in ticks]
    points = zip(seen.time_ns, seen.score, strict=True)
    path = "L".join(f"{across(time_ns)} {up(score)}" for time_ns, score in points)
    marks += [
        tag("path", d=f"M{path}", fill="none", stroke=COLOURS[0], stroke_width="1.2"),
        tag("line", x1=LEFT, x2=right, y1=up(seen.level), y2=up(seen.level), stroke="#b03030"),
        _text(LEFT + 6, up(seen.level) - 6, "threshold", colour="#b03030"),
        _text(LEFT, 22, "score"),
    ]
    for time_ns in seen.opened:
        x = across(time_ns)
        marks.append(tag("line", x1=x, x2=x, y1=TOP, y2=bottom, stroke="#b03030", stroke_dasharray="4 3"))
    if seen.opened:
        hours = (end - seen.opened[0]) / (3600 * NS)
        words = f"first alarm, {hours:.0f} h before the end"
        marks.append(_text(across(seen.opened[0]) + 6, TOP + 16, words, colour="#b03030"))
    return _page(WIDTH, bottom + 34, title, marks)


def _r(value: float) -> float:
    return round(value, 1)


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK) -> Markup:
    return tag("text", words, x=_r(x), y=_r(y), text_anchor=anchor, fill=colour)


def _page(width: float, height: float, title: str, marks: Sequence[Markup]) -> str:
    drawing = tag(
        "svg", tag("title", title), tag("rect", width="100%", height="100%", fill=PAPER), *marks,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:.0f} {height:.0f}", role="img",
        font_family="sans-serif", font_size="13",
    )  # fmt: skip
    # `tag` writes attributes with hyphens; this one name has a capital letter that SVG insists on.
    return f"{drawing}\n"
