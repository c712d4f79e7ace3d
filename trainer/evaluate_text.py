"""An evaluation in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainer.evaluation import Blocks, Calibration, Errors, Evaluation, Events, RecordingFigures

__all__ = [
    "blocks_sentence",
    "blocks_table",
    "calibration_sentence",
    "evaluation_lines",
    "number",
    "span_text",
]

_MOST = 40
"""Recordings listed at most; JSON has all."""


def evaluation_lines(found: Evaluation) -> list[str]:
    """Figures first, then a table a channel, then what to keep in mind."""
    lines = [_data_line(found)]
    if found.ranking is not None:
        ranking = found.ranking
        mean = f", means over {ranking.recordings} recordings" if ranking.recordings > 1 else ""
        lines.append(
            f"score       VUS-PR {number(ranking.vus_pr)} (window {ranking.window}), AUC-PR "
            f"{number(ranking.auc_pr)}; a score by chance has about {number(ranking.base_rate)}{mean}"
        )
    lines += _event_lines(found.events)
    if found.readings is not None:
        one = found.readings
        lines.append(
            f"readings    precision {number(one.precision)}, recall {number(one.recall)}, "
            f"F1 {number(one.f1)}, false alarm rate {_percent(one.false_alarm_rate)}, "
            f"missed alarm rate {_percent(one.missed_alarm_rate)}"
        )
    if found.calibration is not None:
        lines.append(f"threshold   {calibration_sentence(found.calibration)}")
    if len(found.recordings) > 1:
        lines += _recordings(found.recordings)
    lines += _errors(found)
    if found.folds is not None:
        lines += [f"{blocks_sentence(found.folds)}:", *_table(blocks_table(found.folds), left=1)]
    return lines + [f"note: {sentence}" for sentence in found.notes]


def number(value: float | None) -> str:
    """Three significant digits; a dash where nothing is defined."""
    return "-" if value is None else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"


def span_text(seconds: float) -> str:
    """A span in the unit that suits it."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _delay_text(events: Events) -> str:
    """The median delay, from the start of an event to the first alarm in it."""
    if events.median_delay_readings is None or events.median_delay_s is None:
        return "no event was found"
    delay = f"{events.median_delay_readings:g} readings ({span_text(events.median_delay_s)})"
    return f"{delay} from the start of an event to the first alarm in it, median"


def calibration_sentence(one: Calibration) -> str:
    """What the threshold promised, and what was counted."""
    promised = "" if one.expected_per_month is None else f"{number(one.expected_per_month)} expected, "
    counted = "nothing to count on"
    if one.counted_per_month is not None:
        span = span_text(one.months * 30 * 86400)
        counted = f"{number(one.counted_per_month)} counted ({one.counted} in {span})"
        if one.counted == 0:
            # 95 % bound of a Poisson rate without an event (Hanley & Lippman-Hand, JAMA 249, 1983).
            counted += f", which cannot rule out {number(3 / one.months)}"
    return f"{one.level:.4g}; false alarms a month: {promised}{counted}"


def _data_line(found: Evaluation) -> str:
    data = found.data
    recordings = f"{data.recordings} recording{'s' if data.recordings != 1 else ''}"
    text = f"data        {data.scored} readings in {recordings}, {span_text(data.watched_s)}"
    if data.anomalous is None or data.normal_s is None:
        return text
    events = "1 event" if found.events.labelled == 1 else f"{found.events.labelled} events"
    return f"{text}; {data.anomalous} labelled in {events}, {span_text(data.normal_s)} not labelled"


def _event_lines(events: Events) -> list[str]:
    if events.labelled is None:
        return [
            (
                f"episodes    {events.episodes}: {number(events.episodes_per_1000_readings)} per 1,000 "
                f"readings, {number(events.episodes_per_day)} a day"
            )
        ]
    return [
        (
            f"events      {events.found} of {events.labelled} found (recall {number(events.recall)}), "
            f"{events.true_episodes} of {events.episodes} alarm episodes true "
            f"(precision {number(events.precision)}), F1 {number(events.f1)}"
        ),
        (
            f"false       {events.false_episodes} episodes: "
            f"{number(events.false_episodes_per_1000_readings)} per 1,000 readings not labelled, "
            f"{number(events.false_episodes_per_day)} a day of them"
        ),
        f"delay       {_delay_text(events)}",
    ]


def _recordings(every: Sequence[RecordingFigures]) -> Iterator[str]:
    head = ["asset", "file", "readings", "VUS-PR", "AUC-PR", "found", "episodes", "false"]
    rows = [
        [
            one.asset,
            one.source,
            str(one.readings),
            number(one.vus_pr),
            number(one.auc_pr),
            "-" if one.labelled is None else f"{one.found}/{one.labelled}",
            str(one.episodes),
            "-" if one.false_episodes is None else str(one.false_episodes),
        ]
        for one in every[:_MOST]
    ]
    yield from _table([head, *rows], left=2)
    if len(every) > _MOST:
        yield f"  and {len(every) - _MOST} more, in --json"


def _errors(found: Evaluation) -> Iterator[str]:
    parts: list[tuple[str, Errors]] = [("all", found.reconstruction.all)]
    if found.reconstruction.normal is not None and found.reconstruction.anomalous is not None:
        parts = [("normal", found.reconstruction.normal), ("labelled", found.reconstruction.anomalous)]
    names = (("mse", "MSE"), ("rmse", "RMSE"), ("mae", "MAE"), ("r2", "R2"))
    head = ["channel"] + [f"{part} {title}" for part, _ in parts for _, title in names]
    rows = [
        [channel] + [number(errors[channel][key]) for _, errors in parts for key, _ in names]
        for channel in found.reconstruction.all
    ]
    yield "reconstruction error, channel units:"
    yield from _table([head, *rows], left=1)


def blocks_sentence(over: Blocks) -> str:
    """What the blocks are."""
    text = (
        f"the same over {len(over.each)} blocks in time of about as many readings; nothing was trained anew"
    )
    without = sum(1 for one in over.each if one.labelled == 0)
    few = f"; {without} without a labelled event count for false alarms only" if without else ""
    return f"{text}{few}"


def blocks_table(over: Blocks) -> list[list[str]]:
    """A row a figure over the blocks, the heading first."""
    named = {name.replace("_", " "): one for name, one in over.figures.items()}
    named |= {
        f"{channel} {key.upper()}": errors[key]
        for channel, errors in over.reconstruction.items()
        for key in ("rmse", "r2")
    }
    rows = [[name, number(one.mean), number(one.spread), str(one.blocks)] for name, one in named.items()]
    return [["figure", "mean", "spread", "blocks"], *rows]


def _table(rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            f"{cell:<{w}}" if i < left else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()
