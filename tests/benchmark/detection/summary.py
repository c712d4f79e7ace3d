"""Results of single recordings to figures of a set: a row a method and seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_lstm.times import NS
from tests.benchmark.detection.results import Figures, Result
from trainer.events import EventCounts, ReadingCounts

__all__ = ["Row", "Summary", "Watched", "spread", "summarize", "watched"]

HOUR_NS = 3600 * NS


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one set with one seed; what is not defined is NaN.

    Attributes:
        vus_pr: Mean over recordings.
        auc_pr: Mean over recordings.
        precision: Of alarm episodes, all recordings together.
        recall: Of labelled events.
        f1: Harmonic mean of both.
        false_per_1000: False episodes per 1,000 readings that are not labelled.
        delay: Median over events that were found, readings.
        reading_f1: F1 reading by reading.
        far: False alarm rate reading by reading, 0 to 1.
        mar: Missed alarm rate reading by reading, 0 to 1.
    """

    vus_pr: float
    auc_pr: float
    precision: float
    recall: float
    f1: float
    false_per_1000: float
    delay: float
    reading_f1: float
    far: float
    mar: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run.

    Attributes:
        rows: Set to method to a row a seed.
        recordings: Set to number of recordings.
    """

    rows: dict[str, dict[str, list[Row]]]
    recordings: dict[str, int]

    def values(self, which: str, method: str, name: str) -> list[float]:
        """One figure of a method on a set, a value a seed; empty where there is none."""
        return [getattr(row, name) for row in self.rows.get(which, {}).get(method, [])]

    def mean(self, which: str, method: str, name: str) -> float:
        """The mean over seeds; NaN where there is none."""
        values = self.values(which, method, name)
        return sum(values) / len(values) if values else math.nan

    def sets_with(self, *methods: str) -> list[str]:
        """Sets on which all of these were run."""
        return [which for which, by_method in self.rows.items() if all(m in by_method for m in methods)]


def summarize(results: Sequence[Result]) -> Summary:
    """Pool the recordings of each set; sets and methods keep the order of the results."""
    pooled: dict[str, dict[str, dict[int, list[Figures]]]] = {}
    for one in results:
        for method, figures in one.figures.items():
            by_seed = pooled.setdefault(one.set, {}).setdefault(method, {})
            by_seed.setdefault(one.seed, []).extend(figures)
    rows = {
        which: {
            method: [_row(by_seed[seed]) for seed in sorted(by_seed)] for method, by_seed in methods.items()
        }
        for which, methods in pooled.items()
    }
    recordings = {
        which: max(len(figures) for by_seed in methods.values() for figures in by_seed.values())
        for which, methods in pooled.items()
    }
    return Summary(rows, recordings)


def _row(figures: Sequence[Figures]) -> Row:
    events = sum((one.events for one in figures), EventCounts())
    readings = sum((one.readings for one in figures), ReadingCounts())
    delay = events.median_delay
    return Row(
        vus_pr=sum(one.vus_pr for one in figures) / len(figures),
        auc_pr=sum(one.auc_pr for one in figures) / len(figures),
        precision=_number(events.precision),
        recall=_number(events.recall),
        f1=events.f1,
        false_per_1000=1000 * events.false / events.normal if events.normal else math.nan,
        delay=delay[0] if delay else math.nan,
        reading_f1=readings.f1,
        far=_number(readings.false_alarm_rate),
        mar=_number(readings.missed_alarm_rate),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Mean over seeds, and lowest to highest where they differ in print; a dash for nothing."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "–"
    low, high, mean = form(min(known)), form(max(known)), form(sum(known) / len(known))
    return mean if low == high else f"{mean} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Watched:
    """IMS test 2 in operation, with one seed.

    Attributes:
        early: Episodes that opened on days 1 to 3.
        first: First episode: hours before the end of the recording; NaN when none opened.
        lead: First alert whose largest part is bearing 1: hours before the end; NaN without.
        level: The threshold.
    """

    early: int
    first: float
    lead: float
    level: float


def watched(result: Result) -> Watched | None:
    """What an operator would have seen; None for a result of another set."""
    seen = result.watch
    if seen is None:
        return None
    start, end = seen.time_ns[0], seen.time_ns[-1]
    on_bearing = [time_ns for time_ns, channel in seen.alerts if channel == "Bearing 1"]
    return Watched(
        early=sum(time_ns < start + 72 * HOUR_NS for time_ns in seen.opened),
        first=(end - min(seen.opened)) / HOUR_NS if seen.opened else math.nan,
        lead=(end - min(on_bearing)) / HOUR_NS if on_bearing else math.nan,
        level=seen.level,
    )
