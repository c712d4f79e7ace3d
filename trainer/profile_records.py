"""A profile as plain records, and as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trainer.wording import listed

__all__ = ["ChannelProfile", "Gap", "Profile", "count"]


@dataclass(frozen=True, slots=True)
class ChannelProfile:
    """One channel over the whole history, in its own unit.

    Attributes:
        channel: Its name.
        values: Rows with a value.
        missing: Rows without one.
        missing_share: The same as a share of all rows, 0 to 1.
        missing_run: Longest stretch of rows without a value.
        flat_run: Longest stretch of rows with one repeated value.
        flat_share: The same as a share of the rows with a value, 0 to 1.
        distinct: Different values.
        categorical: Whether it takes few values over many rows: a state, or a coarse sensor.
        outliers: Values further than 6 robust standard deviations from the median.
        minimum: Least value; like the next ones ``None`` when there is no value at all.
        median: Middle value.
        maximum: Greatest value.
        std: Standard deviation.
    """

    channel: str
    values: int
    missing: int
    missing_share: float
    missing_run: int
    flat_run: int
    flat_share: float
    distinct: int
    categorical: bool
    outliers: int
    minimum: float | None
    median: float | None
    maximum: float | None
    std: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A silence within a file.

    Attributes:
        start: Time of the last row before it, RFC 3339.
        seconds: How long.
        source: The file.
        asset: The machine; empty when no column names it.
    """

    start: str
    seconds: float
    source: str
    asset: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A history in figures.

    Attributes:
        row_count: Rows used.
        segments: Unbroken stretches.
        start: First time, RFC 3339.
        end: Last time.
        period_s: Median time between rows, seconds.
        jitter: Share of steps that are off by more than half a period, 0 to 1.
        duplicate: Rows left out because their time was there already.
        backward: Rows left out because a later one came before them.
        gaps: Silences within files, long enough to cut a segment.
        longest_gap: The longest of them.
        assets: Machine to rows; empty when no column names the machine.
        channels: One entry a channel.
        warnings: What deserves a look, a sentence each.
        notices: What the reading left out or assumed, a sentence each.
    """

    row_count: int
    segments: int
    start: str
    end: str
    period_s: float
    jitter: float
    duplicate: int
    backward: int
    gaps: int
    longest_gap: Gap | None
    assets: dict[str, int]
    channels: tuple[ChannelProfile, ...]
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold."""
        plain = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    def rows(self) -> list[dict[str, object]]:
        """One mapping a channel, for a table; the keys are its headings."""
        return [_row(one) for one in self.channels]

    def lines(self) -> list[str]:
        """The profile for a terminal: two lines of totals, a table, warnings and notices."""
        size = (
            f"{self.row_count} rows in {count(self.segments, 'stretch', 'stretches')}, "
            f"{self.start} to {self.end}, one every {self.period_s:g} s"
        )
        order = (
            f"{self.jitter:.1%} of the steps are irregular; {count(self.gaps, 'gap')}; left out: "
            f"{count(self.duplicate, 'duplicate')} and {self.backward} backward in time"
        )
        totals = [size, order]
        if self.assets:
            totals.append(f"{count(len(self.assets), 'machine')}: {listed(self.assets)}")
        said = [f"warning: {one}" for one in self.warnings] + [f"note: {one}" for one in self.notices]
        return [*totals, *_table(self.rows()), *said]


def count(number: int, one: str, many: str | None = None) -> str:
    """A number and what it counts: ``1 gap``, ``2 gaps``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _row(one: ChannelProfile) -> dict[str, object]:
    return {
        "channel": one.channel,
        "missing": one.missing,
        "missing %": round(100 * one.missing_share, 2),
        "longest hole": one.missing_run,
        "longest flat": one.flat_run,
        "distinct": one.distinct,
        "outliers": one.outliers,
        "min": one.minimum,
        "median": one.median,
        "max": one.maximum,
        "std": one.std,
        "kind": "categorical" if one.categorical else "",
    }


def _table(rows: Sequence[dict[str, object]]) -> list[str]:
    """Columns lined up: names to the left, numbers to the right."""
    if not rows:
        return []
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    first, *widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join([f"{name:<{first}}", *map(str.rjust, rest, widths)]).rstrip() for name, *rest in cells]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
