"""The evaluation page: figures, then the recording with its labels to look at what is behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge_lstm.contracts.manifest import Channel
from trainer.evaluate_text import calibration_sentence, number, span_text
from trainer.evaluation import Calibration, Errors, Evaluation, Events
from trainer.pages.blocks import blocks_section
from trainer.pages.document import document, fill, template
from trainer.pages.figures import Axis, chart, line, mark_x, mark_y
from trainer.pages.markup import DASH, Markup, figure, legend, scroll, section, tag
from trainer.pages.records import AssetRecording, Floats
from trainer.pages.replay import (
    MAX_VALUES,
    SCRIPTS,
    curves,
    episode_table,
    fact_list,
    pack_asset,
    thinning_note,
)

__all__ = ["EvaluationPage", "Span", "render_evaluation"]

Span = tuple[int, int]
"""First and last time of a labelled event, nanoseconds since 1970-01-01 UTC."""

_LEGEND = {
    "actual": "score; residual of a channel, reading minus reconstruction",
    "threshold": "threshold",
    "episode": "alarm episode",
    "label": "labelled event",
    "warm": "warm-up, no alert can open",
}
_MOST_RECORDINGS = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationPage:
    """What the page shows.

    Attributes:
        title: Heading of the page.
        found: The figures.
        channels: The model's channels, in order.
        assets: One entry a machine.
        labels: Machine to its labelled events, in order of time.
        gap_after_s: Silence that breaks the lines, seconds.
    """

    title: str
    found: Evaluation
    channels: tuple[Channel, ...]
    assets: tuple[AssetRecording, ...]
    labels: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    gap_after_s: float | None = None


def render_evaluation(page: EvaluationPage, *, max_values: int = MAX_VALUES) -> str:
    """Figures, score, threshold, labels, episodes, residuals and calibration as one HTML file.

    Args:
        page: What to show.
        max_values: Numbers to embed at most; longer recordings are thinned, and the page says so.
    """
    found = page.found
    total = sum(len(one.time_ns) for one in page.assets)
    share = min(1.0, max_values / max(1, total * (len(page.channels) + 1)))
    packed = []
    kept = 0
    for one in page.assets:
        asset, rows = pack_asset(_residual(one), gap_after_s=page.gap_after_s, share=share)
        origin = int(one.time_ns[0])
        spans = [[(a - origin) / 1e6, (b - origin) / 1e6] for a, b in page.labels.get(one.asset, ())]
        packed.append(asset | {"labels": spans})
        kept += len(rows)
    judged = found.data.labels is not None
    body = fill(
        template("evaluation.html"),
        {
            "title": tag("h1", page.title),
            "summary": _summary(found),
            "facts": fact_list(_facts(found)),
            "notes": _notes(found.notes),
            "thinned": thinning_note(total, kept),
            "figures": _figures(found),
            "episodes": episode_table(page.assets),
            "curves": curves({k: v for k, v in _LEGEND.items() if judged or k != "label"}),
            "calibration": _calibration(found.calibration),
            "reconstruction": _reconstruction(found, page.channels),
            "recordings": _recordings(found),
            "folds": Markup() if found.folds is None else blocks_section(found.folds),
        },
    )
    return document(
        title=page.title,
        body=body,
        styles=("style.css", "training.css", "replay.css", "evaluation.css"),
        scripts=SCRIPTS,
        data={
            "channels": [{"name": one.name, "unit": one.unit} for one in page.channels],
            "assets": packed,
            "residual": True,
        },
    )


def _residual(one: AssetRecording) -> AssetRecording:
    """The residual where the replay page has the reading, with zero as what is expected."""
    with np.errstate(over="ignore", invalid="ignore"):  # readings near the largest float
        residual = one.actual - one.expected
    return replace(one, actual=residual, expected=np.zeros_like(residual))


def _summary(found: Evaluation) -> Markup:
    data, events = found.data, found.events
    span = span_text(data.watched_s)
    if events.labelled is None:
        text = (
            f"{events.episodes} alarm episodes in {data.scored:,} readings ({span}). Without labels "
            "nothing can be said of quality."
        )
    else:
        text = (
            f"{events.found} of {events.labelled} labelled events found, {events.false_episodes} false "
            f"alarm episodes in {data.scored:,} readings ({span})."
        )
    return tag("p", text, class_="lead")


def _facts(found: Evaluation) -> dict[str, str]:
    data = found.data
    return {
        "model": f"{found.bundle.id} {found.bundle.version}",
        "sha256": found.bundle.sha256[:16],
        "labels": data.labels or "none",
        "from": data.start,
        "to": data.end,
        "recordings": str(data.recordings),
    }


def _notes(notes: Sequence[str]) -> Markup:
    return tag("ul", *(tag("li", one) for one in notes), class_="warnings") if notes else Markup()


def _figures(found: Evaluation) -> Markup:
    """One row a figure, with what it means."""
    events = found.events
    rows: list[tuple[str, str, str]] = []
    if found.ranking is not None:
        ranking = found.ranking
        base = f"a score by chance has about {number(ranking.base_rate)}"
        rows += [
            ("VUS-PR", number(ranking.vus_pr), f"ranking by the score, window {ranking.window}; {base}"),
            ("AUC-PR", number(ranking.auc_pr), f"the same without tolerance in time; {base}"),
        ]
    if events.labelled is not None:
        rows += [
            ("Event recall", number(events.recall), f"{events.found} of {events.labelled} events found"),
            (
                "Event precision",
                number(events.precision),
                f"{events.true_episodes} of {events.episodes} alarm episodes touch an event",
            ),
            ("Event F1", number(events.f1), "harmonic mean of both"),
            ("Median delay", *_delay(events)),
            (
                "False episodes",
                str(events.false_episodes),
                (
                    f"{number(events.false_episodes_per_1000_readings)} per 1,000 readings and "
                    f"{number(events.false_episodes_per_day)} a day that are not labelled"
                ),
            ),
        ]
    else:
        rate = (
            f"{number(events.episodes_per_1000_readings)} per 1,000 readings, "
            f"{number(events.episodes_per_day)} a day"
        )
        rows.append(("Alarm episodes", str(events.episodes), rate))
    if found.readings is not None:
        one = found.readings
        rows += [
            (
                "By reading",
                f"F1 {number(one.f1)}",
                f"precision {number(one.precision)}, recall {number(one.recall)}; not point-adjusted",
            ),
            (
                "False alarm rate",
                number(one.false_alarm_rate),
                "readings with an alarm of those not labelled",
            ),
            (
                "Missed alarm rate",
                number(one.missed_alarm_rate),
                "readings without an alarm of those labelled",
            ),
        ]
    cells = [
        tag(
            "tr", tag("th", name, scope="row", class_="name"), tag("td", value, class_="num"), tag("td", text)
        )
        for name, value, text in rows
    ]
    return section("Figures", scroll(tag("tbody", *cells), label="Figures"))


def _delay(events: Events) -> tuple[str, str]:
    """A number and what it means."""
    if events.median_delay_readings is None or events.median_delay_s is None:
        return DASH, "no event was found"
    meaning = f"{span_text(events.median_delay_s)} from the start of an event to the first alarm in it"
    return f"{events.median_delay_readings:g} readings", meaning


def _calibration(one: Calibration | None) -> Markup:
    if one is None or not one.months:
        return Markup()
    levels = np.array(one.levels)
    counted = _positive(one.counted_at_levels)
    expected = _positive(one.expected_at_levels)
    x = Axis.around(levels, [one.level], title="threshold")
    y = Axis.around(counted, expected, [one.budget_per_month], log=True, title="a month, logarithmic")
    marks = [
        line(x, y, (levels, counted), "plain"),
        line(x, y, (levels, expected), "blue"),
        mark_y(y, one.budget_per_month, f"budget {figure(one.budget_per_month)}", "muted", side="start"),
        mark_x(x, one.level, f"level {figure(one.level)}", "alarm"),
    ]
    keys = legend(("plain", "counted here"), ("blue", "expected by the bundle"))
    drawing = chart(x, y, *marks, label="False alarms a month over the threshold", kind="wide", count=(6, 5))
    lead = (
        f"Threshold {calibration_sentence(one)}. The curves say the same for other thresholds: clusters of "
        "scores above them that touch no label, before the debounce of the alarm. A curve ends where none "
        "is left to count."
    )
    return section("Calibration", drawing, keys, lead=lead)


def _positive(rates: Sequence[float | None]) -> Floats:
    """Rates for a logarithmic axis: what is 0 or unknown breaks the line."""
    return np.array([rate or np.nan for rate in rates], dtype=np.float64)


def _reconstruction(found: Evaluation, channels: Sequence[Channel]) -> Markup:
    parts: list[tuple[str, Errors]] = [("All readings", found.reconstruction.all)]
    if found.reconstruction.normal is not None and found.reconstruction.anomalous is not None:
        parts = [
            ("Not labelled", found.reconstruction.normal),
            ("Labelled anomalous", found.reconstruction.anomalous),
        ]
    groups = [tag("th", name, colspan=4, scope="colgroup", class_="group") for name, _ in parts]
    names = ("MSE", "RMSE", "MAE", "R²") * len(parts)
    heads = [tag("th", name, scope="col", class_="num") for name in names]
    rows = []
    for channel in channels:
        unit = tag("small", f" {channel.unit}") if channel.unit else Markup()
        values = [errors[channel.name][key] for _, errors in parts for key in ("mse", "rmse", "mae", "r2")]
        cells = [tag("td", DASH if v is None else figure(v), class_="num") for v in values]
        rows.append(tag("tr", tag("th", channel.name, unit, scope="row", class_="name"), *cells))
    head = tag(
        "thead", tag("tr", tag("th", ""), *groups), tag("tr", tag("th", "Channel", scope="col"), *heads)
    )
    lead = "Errors are in the channel's unit, MSE in its square."
    return section(
        "Reconstruction", scroll(head, tag("tbody", *rows), label="Reconstruction a channel"), lead=lead
    )


def _recordings(found: Evaluation) -> Markup:
    if len(found.recordings) < 2:
        return Markup()
    names = ("Asset", "File", "Readings", "VUS-PR", "AUC-PR", "Events found", "Episodes", "False")
    heads = [tag("th", name, scope="col", class_="num" if i > 1 else None) for i, name in enumerate(names)]
    rows = []
    for one in found.recordings[:_MOST_RECORDINGS]:
        events = DASH if one.labelled is None else f"{one.found} of {one.labelled}"
        false = DASH if one.false_episodes is None else str(one.false_episodes)
        figures = (
            f"{one.readings:,}",
            number(one.vus_pr),
            number(one.auc_pr),
            events,
            str(one.episodes),
            false,
        )
        cells = [tag("td", one.asset), tag("td", one.source), *(tag("td", v, class_="num") for v in figures)]
        rows.append(tag("tr", *cells))
    table = scroll(tag("thead", tag("tr", *heads)), tag("tbody", *rows), label="Recordings")
    more = len(found.recordings) - _MOST_RECORDINGS
    lead = "VUS-PR and AUC-PR above are means over these, counts are sums."
    return section("Recordings", table, lead=lead + (f" {more} more are not listed." if more > 0 else ""))
