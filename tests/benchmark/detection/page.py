"""The page: what was measured, in Markdown, and its pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template

from tests.benchmark.detection.baselines import BASELINES
from tests.benchmark.detection.digest import VERSIONS
from tests.benchmark.detection.pictures import bar_chart, watch_chart
from tests.benchmark.detection.results import LSTM, OURS, WINDOWED, Result
from tests.benchmark.detection.summary import Summary, spread, summarize, watched
from tests.benchmark.detection.targets import RANKED, targets
from tests.benchmark.detection.work import Plan
from tests.benchmark.sections import blocks_of
from trainer.settings import TrainSettings

__all__ = ["write_page"]

PICTURED = (OURS, LSTM, WINDOWED, *BASELINES)
PUBLISHED = (
    ("Conv-AE (published)", 0.78, 0.1355),
    ("MSET (published)", 0.78, 0.3978),
    ("T²+Q, PCA (published)", 0.76, 0.2662),
    ("LSTM-AE (published)", 0.74, 0.2996),
    ("smoothed VAR(5)", 0.81, 0.092),
)
"""F1 and false alarm rate on SKAB: its leaderboard, and what was known when the targets were set."""

Form = Callable[[float], str]
_COLUMNS: tuple[tuple[str, str, Form], ...] = (
    ("VUS-PR", "vus_pr", "{:.3f}".format),
    ("AUC-PR", "auc_pr", "{:.3f}".format),
    ("precision", "precision", "{:.2f}".format),
    ("recall", "recall", "{:.2f}".format),
    ("F1", "f1", "{:.2f}".format),
    ("false /1,000", "false_per_1000", "{:.2f}".format),
    ("delay", "delay", "{:.0f}".format),
)


def write_page(page: Path, plan: Plan, results: Sequence[Result]) -> None:
    """Write the page, and the pictures into ``img`` beside it.

    Args:
        page: Where to.
        plan: What was asked for.
        results: All of it.
    """
    summary = summarize(sorted(results, key=lambda one: _place(plan, one)))
    template = Template(Path(__file__).with_name("page.md").read_text(encoding="utf-8"))
    text = template.substitute(
        facts=_facts(plan, results),
        members=_members(plan),
        updates=f"{plan.settings.model.updates:,}",
        targets=_targets(summary, results),
        ranking=_ranking(summary),
        sets=_sets(summary),
        skab=_skab(summary),
        operation=_operation(results),
        costs=_costs(plan, results),
        jobs={1: "one", 2: "two"}.get(plan.processes, str(plan.processes)),
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    others = blocks_of(page.read_text(encoding="utf-8")) if page.is_file() else {}
    page.write_text("\n".join([text.rstrip(), "", *others.values()]), encoding="utf-8")
    _draw(page.parent / "img", summary, results)


def _place(plan: Plan, one: Result) -> tuple[int, int, int, str]:
    """Sets in the order asked for, ours before the others."""
    parts = ("members", "windowed", "baselines")
    return plan.sets.index(one.set), parts.index(one.part), one.seed, one.case


def _draw(folder: Path, summary: Summary, results: Sequence[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if summary.rows:
        chart = bar_chart(summary, PICTURED)
        (folder / "benchmark-vus.svg").write_text(chart, encoding="utf-8")
    for one in results:
        if one.watch is not None and one.seed == 0:
            title = "Score over IMS bearing test 2"
            chart = watch_chart(one.watch, learned=one.history_rows, title=title)
            (folder / "benchmark-ims.svg").write_text(chart, encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; numbers stand at the right, so all columns but the first do."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _facts(plan: Plan, results: Sequence[Result]) -> str:
    days = sorted({one.date for one in results})
    lines = [
        f"- Date: {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else ""),
        *(f"- Machine: {name}" for name in sorted({one.machine for one in results})),
        f"- Versions: {', '.join(f'{name} {number}' for name, number in VERSIONS.items())}",
        f"- Seeds: {', '.join(str(seed) for seed in plan.seeds)}",
    ]
    usual = TrainSettings().model.updates
    if plan.settings.model.updates != usual:
        lines.append(f"- A trial with {plan.settings.model.updates} weight updates instead of {usual}")
    return "\n".join(lines)


def _members(plan: Plan) -> str:
    chosen = plan.settings.members
    return "its contest is left out here" if chosen == "auto" else f"members: {', '.join(chosen)}"


def _targets(summary: Summary, results: Sequence[Result]) -> str:
    words = {True: "reached", False: "**missed**", None: "–"}
    rows = [(one.name, one.wanted, one.measured, words[one.reached]) for one in targets(summary, results)]
    return table(("what", "target", "measured", ""), rows)


def _methods(summary: Summary) -> list[str]:
    return list(dict.fromkeys(method for by_method in summary.rows.values() for method in by_method))


def _ranking(summary: Summary) -> str:
    sets, ranked = list(summary.rows), list(RANKED)
    rows = []
    for method in _methods(summary):
        seeds = zip(*(summary.values(which, method, "vus_pr") for which in ranked), strict=False)
        means = [sum(values) / len(ranked) for values in seeds]
        figures = [spread(summary.values(which, method, "vus_pr"), "{:.3f}".format) for which in sets]
        rows.append((method, *figures, spread(means, "{:.3f}".format)))
    return table(("method", *sets, "mean of the five"), rows)


def _sets(summary: Summary) -> str:
    parts = []
    for which, by_method in summary.rows.items():
        rows = [
            (method, *(spread(summary.values(which, method, name), form) for _, name, form in _COLUMNS))
            for method in by_method
        ]
        number = summary.recordings[which]
        title = f"### {which}, {number} recording{'s' if number > 1 else ''}"
        parts.append(f"{title}\n\n{table(('method', *(name for name, _, _ in _COLUMNS)), rows)}")
    return "\n\n".join(parts)


def _skab(summary: Summary) -> str:
    rows = [
        (
            method,
            spread(summary.values("skab", method, "reading_f1"), "{:.3f}".format),
            spread(summary.values("skab", method, "far"), "{:.1%}".format),
            spread(summary.values("skab", method, "mar"), "{:.1%}".format),
        )
        for method in summary.rows.get("skab", {})
    ]
    rows += [(name, f"{f1:.2f}", f"{far:.1%}", "–") for name, f1, far in PUBLISHED]
    return table(("method", "F1", "FAR", "MAR"), rows)


def _operation(results: Sequence[Result]) -> str:
    rows = []
    for one in sorted(results, key=lambda one: one.seed):
        seen = watched(one)
        if seen is not None:
            figures = (_hours(seen.first), _hours(seen.lead), str(seen.early), f"{seen.level:.2f}")
            rows.append((str(one.seed), *figures))
    header = (
        "seed",
        "first alarm, before the end",
        "first alert with most of it on bearing 1, before the end",
        "alarms on days 1 to 3",
        "threshold",
    )
    return table(header, rows)


def _hours(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.1f} h"


def _costs(plan: Plan, results: Sequence[Result]) -> str:
    rows = []
    for which in plan.sets:
        of_set = [one for one in results if one.set == which]
        ours = [one for one in of_set if one.part == "members"]
        other = [one for one in of_set if one.part == "windowed"]
        if ours:
            size = {one.history_rows for one in ours}
            rows.append(
                (
                    which,
                    f"{min(size):,}" + (f" to {max(size):,}" if len(size) > 1 else ""),
                    _counts([one.parameters for one in ours]),
                    spread([one.train_s for one in ours], "{:.0f} s".format),
                    _counts([one.parameters for one in other]),
                    spread([one.train_s for one in other], "{:.0f} s".format),
                )
            )
    header = (
        "set", "rows of history", "parameters, LSTM", "training, edge-lstm", f"parameters, {WINDOWED}",
        f"training, {WINDOWED}",
    )  # fmt: skip
    return table(header, rows)


def _counts(values: Sequence[int]) -> str:
    return spread([float(max(values))], "{:,.0f}".format) if values else "–"
