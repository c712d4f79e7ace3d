"""HTML that is escaped by construction, and numbers, times and durations as people read them."""

from __future__ import annotations

import html
import math

from edge_lstm.times import NS, format_time

__all__ = [
    "DASH",
    "MINUS",
    "TIMES",
    "Markup",
    "clock",
    "duration",
    "figure",
    "join",
    "legend",
    "scroll",
    "section",
    "tag",
    "when",
]

DASH = "\N{EN DASH}"
"""Stands where there is no number."""
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"


_VOID = frozenset({"br", "line", "path", "rect"})
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


class Markup(str):
    """Text that is HTML already; every other string is escaped by `tag`."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """One element.

    Args:
        name: The element's name.
        children: Text (escaped) or Markup (kept).
        attributes: ``class_`` is class, ``data_x`` is data-x; None leaves one out.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{words}/>")
    return Markup(f"<{name}{words}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Put parts one after the other; text is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part) for part in parts))


def section(title: str, *parts: str, lead: str = "") -> Markup:
    """A heading, a sentence and what follows."""
    return tag("section", tag("h2", title), tag("p", lead, class_="quiet") if lead else Markup(), *parts)


def scroll(*parts: str, label: str) -> Markup:
    """A table of these parts that scrolls where it does not fit."""
    return tag("div", tag("table", *parts), class_="scroll", tabindex=0, role="region", aria_label=label)


def legend(*entries: tuple[str, str]) -> Markup:
    """Kinds of line with their names."""
    keys = [tag("span", tag("i", class_=f"key {kind}"), text) for kind, text in entries]
    return tag("p", *keys, class_="legend")


def figure(value: float) -> str:
    """Four significant digits, a true minus, and a dash for what is not a number."""
    if not math.isfinite(value):
        return DASH
    size = abs(value)
    value = value if size else 0.0  # no minus before zero
    if size != 0 and not 1e-4 <= size < 1e7:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        decimals = 0 if size == 0 else max(0, min(6, 3 - math.floor(math.log10(size))))
        text = f"{value:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)


def when(time_ns: int) -> Markup:
    """A time of day with its date, UTC, as a ``time`` element."""
    return tag("time", clock(time_ns), datetime=format_time(time_ns))


def clock(time_ns: int) -> str:
    """``2026-03-01 12:00:00`` UTC, with milliseconds where there are any."""
    text = format_time(time_ns).removesuffix("Z").replace("T", " ")
    return text.removesuffix(".000")


def duration(length_ns: int) -> str:
    """The two largest units: ``2 min 10 s``, ``3 d 4 h``, ``0.25 s``."""
    seconds = length_ns / NS
    if seconds < 10:
        return f"{seconds:.3g} s"
    rest, parts = round(seconds), []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        parts.append((count, unit))
    first = next(i for i, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
