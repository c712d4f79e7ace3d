"""Charts as SVG without a script: text in CSS pixels, lines stretched to the width there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainer.pages.markup import Markup, figure, join, tag
from trainer.pages.records import Floats

__all__ = ["Axis", "bars", "chart", "dots", "line", "mark_x", "mark_y", "steps"]

_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to a share of the width or height.

    Attributes:
        low: Value at the left or bottom.
        high: Value at the right or top.
        log: Logarithmic when True; ``low`` is above 0 then.
        title: What is on it, with its unit.
    """

    low: float
    high: float
    log: bool = False
    title: str = ""

    @classmethod
    def around(cls, *values: Floats | Sequence[float], log: bool = False, title: str = "") -> Axis:
        """An axis that holds all values, with some room; without values it is 0 to 1 (log: 0.1 to 1)."""
        every = np.concatenate([np.asarray(one, dtype=np.float64).ravel() for one in values])
        known = every[np.isfinite(every) & ((every > 0) | (not log))]
        if len(known) == 0:
            return cls(0.1 if log else 0.0, 1.0, log, title)
        low, high = float(known.min()), float(known.max())
        if log:
            return cls(low / 1.3, high * 1.3, log, title)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return cls(low if low in (0.0, 1.0) else low - room, high + room, log, title)

    def share(self, values: Floats | float) -> Floats:
        """Where values are: 0 at ``low``, 1 at ``high``."""
        array = np.asarray(values, dtype=np.float64)
        if self.log:
            array = np.log(np.maximum(array, self.low * 1e-3) / self.low)
            return np.asarray(array / math.log(self.high / self.low))
        return np.asarray((array - self.low) / (self.high - self.low))

    def ticks(self, count: int) -> list[float]:
        """Round values between the ends."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            many = [10.0**power for power in powers if 10.0**power >= self.low]
            if len(many) > 2:
                return many[:: -(-len(many) // count)]
            few = [head * 10.0**power for power in powers for head in (1, 2, 5)]
            inside = [value for value in few if self.low <= value <= self.high]
            if len(inside) > 1:
                return inside
        least = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(least))
        step = next(one * power for one in (1, 2, 5, 10) if one * power >= least * 0.999)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [i * step for i in range(first, last + 1)]


def _place(axis: Axis, values: Floats, *, upward: bool = False) -> list[str]:
    share = np.clip(axis.share(values), -1.0, 2.0)
    return [f"{place:.1f}".removesuffix(".0") for place in (1 - share if upward else share) * _SIZE]


def line(x: Axis, y: Axis, points: tuple[Floats, Floats], kind: str) -> Markup:
    """A line through points; NaN breaks it. ``kind`` is its CSS class."""
    known = np.isfinite(points[1])
    places = zip(_place(x, points[0]), _place(y, np.nan_to_num(points[1]), upward=True), known, strict=True)
    parts, down = [], False
    for left, top, there in places:
        if there:
            parts.append(f"{'L' if down else 'M'}{left} {top}")
        down = bool(there)
    return tag("path", d="".join(parts), class_=f"line {kind}")


def steps(x: Axis, y: Axis, points: tuple[Floats, Floats], kind: str) -> Markup:
    """A staircase: each value holds from the point before."""
    lefts, tops = _place(x, points[0]), _place(y, points[1], upward=True)
    path = f"M{lefts[0]} {tops[0]}" if lefts else ""
    path += "".join(f"V{top}H{left}" for left, top in zip(lefts[1:], tops[1:], strict=True))
    return tag("path", d=path, class_=f"line {kind}")


def dots(x: Axis, y: Axis, points: tuple[Floats, Floats], kind: str) -> Markup:
    """One dot a point; a stroke of no length with round ends stays round however it is stretched."""
    places = zip(_place(x, points[0]), _place(y, points[1], upward=True), strict=True)
    return tag("path", d="".join(f"M{left} {top}h0" for left, top in places), class_=f"dots {kind}")


def bars(x: Axis, y: Axis, edges: Floats, heights: Floats, kind: str) -> Markup:
    """Touching bars from the bottom."""
    lefts, tops = _place(x, edges), _place(y, heights, upward=True)
    path = "".join(
        f"M{left} {_SIZE}V{top}H{right}V{_SIZE}z"
        for left, right, top, height in zip(lefts, lefts[1:], tops, heights, strict=False)
        if height > 0
    )
    return tag("path", d=path, class_=f"bars {kind}")


def mark_x(x: Axis, value: float, text: str, kind: str) -> Markup:
    """An upright line with its name at the top, on the side that has room."""
    share = float(x.share(value))
    if not 0 <= share <= 1:
        return Markup()
    place = f"{share * 100:.2f}%"
    left = share < 0.6
    upright = tag("line", x1=place, x2=place, y1="0", y2="100%", class_=f"line {kind}")
    words = tag(
        "text", text, x=place, y=0, dx=6 if left else -6, dy=14, class_=kind,
        text_anchor="start" if left else "end",
    )  # fmt: skip
    return join(upright, words)


def mark_y(y: Axis, value: float, text: str, kind: str, *, side: Literal["start", "end"] = "end") -> Markup:
    """A level line with its name at one end, above it where there is room."""
    share = float(y.share(value))
    if not 0 <= share <= 1:
        return Markup()
    place = f"{(1 - share) * 100:.2f}%"
    level = tag("line", x1="0", x2="100%", y1=place, y2=place, class_=f"line {kind}")
    words = tag(
        "text", text, x="100%" if side == "end" else 0, dx=-6 if side == "end" else 6, y=place,
        dy=-6 if share < 0.85 else 16, text_anchor=side, class_=kind,
    )  # fmt: skip
    return join(level, words)


def chart(
    x: Axis, y: Axis, *marks: Markup, label: str, kind: str = "", count: tuple[int, int] = (6, 4)
) -> Markup:
    """A frame with axes around marks.

    Args:
        x: Axis along the bottom.
        y: Axis at the left.
        marks: What the functions above return, bottom layer first.
        label: What a screen reader says.
        kind: CSS class of the frame, for its shape.
        count: Ticks to aim at, across and up.
    """
    across = [_across(float(x.share(value)), figure(value)) for value in x.ticks(count[0])]
    up = [_up(float(y.share(value)), figure(value)) for value in y.ticks(count[1])]
    stretched = [one for one in marks if one.startswith("<path")]
    fixed = [one for one in marks if not one.startswith("<path")]
    inner = tag(
        "svg", *stretched, viewBox=f"0 0 {_SIZE} {_SIZE}", preserveAspectRatio="none",
        width="100%", height="100%",
    )  # fmt: skip
    drawing = tag("svg", *up, *across, inner, *fixed, class_="plot", role="img", aria_label=label)
    titles = [tag("span", y.title, class_="y-title"), drawing, tag("span", x.title, class_="x-title")]
    return tag("div", *titles, class_=f"chart {kind}".strip())


def _across(share: float, text: str) -> Markup:
    place = f"{share * 100:.2f}%"
    tick = tag("line", x1=place, x2=place, y1="100%", y2="100%", class_="tick")
    return join(tick, tag("text", text, x=place, y="100%", dy=18, text_anchor="middle"))


def _up(share: float, text: str) -> Markup:
    place = f"{(1 - share) * 100:.2f}%"
    grid = tag("line", x1="0", x2="100%", y1=place, y2=place, class_="grid")
    return join(grid, tag("text", text, x=0, dx=-8, y=place, dy=4, text_anchor="end"))
