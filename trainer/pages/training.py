"""The training page: no script at all, so that it prints, mails and never changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trainer.pages.contest import contest_parts
from trainer.pages.contested import Contested
from trainer.pages.decimate import envelope
from trainer.pages.document import document
from trainer.pages.figures import Axis, bars, chart, dots, line, mark_x, mark_y, steps
from trainer.pages.markup import DASH, MINUS, Markup, clock, figure, join, legend, scroll, section, tag
from trainer.pages.records import (
    Calibration,
    ChannelFit,
    Fit,
    Floats,
    Folds,
    HeldOut,
    LossCurve,
    Parity,
    RateCurve,
    TrainingReport,
)

__all__ = ["render_training"]

_COLUMNS = 900
_DOTS = 1500
_BINS = 60
_CURVE = 300


def render_training(report: TrainingReport) -> str:
    """What a training found, as one HTML file; the same report gives the same bytes."""
    parts = [
        _list("Limits", report.limits, "limits"),
        None if report.contest is None else _contest(report.contest),
        None if report.folds is None else _folds(report.folds),
        _profile(report.profile, report.warnings),
        None if report.loss is None else _loss(report.loss),
        _fits(report.fits),
        None if report.held_out is None else _held_out(report.held_out),
        None if report.calibration is None else _calibration(report.calibration),
        None if report.parity is None else _parity(report.parity),
    ]
    body = join(_header(report), tag("main", *(part for part in parts if part is not None)))
    return document(title=report.title, body=body, styles=("style.css", "training.css"))


def _header(report: TrainingReport) -> Markup:
    pairs = [tag("div", tag("dt", name), tag("dd", text)) for name, text in report.facts.items()]
    over = tag("p", "Edge LSTM training report", class_="over")
    return tag("header", over, tag("h1", report.title), tag("dl", *pairs, class_="facts"))


def _list(title: str, sentences: Sequence[str], kind: str) -> Markup | None:
    if not sentences:
        return None
    return section(title, tag("ul", *(tag("li", one) for one in sentences), class_=kind))


def _contest(one: Contested) -> Markup:
    return section("Contest", *contest_parts(one), lead=one.lead)


def _folds(one: Folds) -> Markup:
    head, *body = one.rows
    heads = [tag("th", name, scope="col", class_="num" if i else None) for i, name in enumerate(head)]
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row", class_="name"),
            *(tag("td", cell, class_="num") for cell in cells),
        )
        for name, *cells in body
    ]
    table = scroll(tag("thead", tag("tr", *heads)), tag("tbody", *rows), label="Cross-validation")
    return section("Cross-validation", table, lead=one.lead)


def _profile(rows: Sequence[Mapping[str, object]], warnings: Sequence[str]) -> Markup | None:
    if not rows and not warnings:
        return None
    found = tag("ul", *(tag("li", one) for one in warnings), class_="warnings") if warnings else Markup()
    return section("Data", found, _table(rows) if rows else Markup())


def _table(rows: Sequence[Mapping[str, object]]) -> Markup:
    """Any rows: the columns are the keys in the order in which they first appear."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    numeric = {key for key in keys if all(_is_number(row.get(key)) for row in rows)}
    heads = [tag("th", key, scope="col", class_="num" if key in numeric else None) for key in keys]
    body = [
        tag("tr", *(tag("td", _text(row.get(key)), class_="num" if key in numeric else None) for key in keys))
        for row in rows
    ]
    return scroll(tag("thead", tag("tr", *heads)), tag("tbody", *body), label="Data profile")


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: object) -> str:
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    return figure(value) if isinstance(value, float) else str(value)


def _loss(loss: LossCurve) -> Markup:
    every = np.concatenate([np.asarray(loss.train, dtype=float), np.asarray(loss.held_out, dtype=float)])
    known = every[np.isfinite(every) & (every > 0)]
    log = len(known) > 0 and float(known.max() / known.min()) > 20
    x = Axis.around(loss.steps, title=loss.step_name)
    y = Axis.around(every, log=log, title="loss, logarithmic" if log else "loss")
    at = np.asarray(loss.steps, dtype=float)
    drawn = line if len(at) > 1 else dots
    marks = [
        drawn(x, y, (at, np.asarray(loss.train, dtype=float)), "plain"),
        drawn(x, y, (at, np.asarray(loss.held_out, dtype=float)), "blue"),
    ]
    if loss.best is not None:
        kept = f"kept, {figure(float(loss.held_out[loss.best]))}"
        marks.append(mark_x(x, float(loss.steps[loss.best]), kept, "muted"))
    keys = legend(("plain", "training part"), ("blue", "later history"))
    return section("Loss", keys, chart(x, y, *marks, label="Loss while training"))


def _fits(fits: Sequence[ChannelFit]) -> Markup | None:
    if not fits:
        return None
    groups = tag(
        "tr", tag("th", ""), tag("th", "Training part", colspan=4, scope="colgroup", class_="group"),
        tag("th", "Held-out part", colspan=4, scope="colgroup", class_="group"),
    )  # fmt: skip
    names = ("MSE", "RMSE", "MAE", "R²") * 2
    heads = tag(
        "tr", tag("th", "Channel", scope="col"), *(tag("th", n, scope="col", class_="num") for n in names)
    )
    rows = [tag("tr", _channel(one), *_fit(one.train), *_fit(one.held_out)) for one in fits]
    table = scroll(tag("thead", groups, heads), tag("tbody", *rows), label="Errors a channel")
    lead = (
        "Of the reconstruction, or of the forecast in a model without one; in the channel's unit, "
        "MSE in its square. "
        "R² is 1 for a model that is always right and 0 for one no better than the mean."
    )
    return section("Errors", table, lead=lead)


def _channel(one: ChannelFit) -> Markup:
    unit = tag("small", f" {one.unit}") if one.unit else Markup()
    return tag("th", one.channel, unit, scope="row", class_="name")


def _fit(fit: Fit) -> list[Markup]:
    cells = [tag("td", figure(value), class_="num") for value in (fit.mse, fit.rmse, fit.mae)]
    share = min(1.0, max(0.0, fit.r2)) if np.isfinite(fit.r2) else 0.0
    bar = tag("i", class_="r2", style=f"--share:{share * 100:.0f}%", aria_hidden="true")
    number = f"{fit.r2:.3f}".replace("-", MINUS) if np.isfinite(fit.r2) else DASH
    return [*cells, tag("td", number, bar, class_="num")]


def _held_out(held: HeldOut) -> Markup:
    score = np.asarray(held.score, dtype=np.float64)
    x = Axis(0, max(1, len(score) - 1), title="frame")
    y = Axis.around(score, [0.0, held.threshold * 1.1], title="score")
    rows, values = envelope(score, _COLUMNS) if len(score) else (np.zeros(0), score)
    marks = [
        *(mark_x(x, float(start), "", "segment") for start in held.starts if 0 < start < len(score)),
        line(x, y, (np.asarray(rows, dtype=float), values), "plain thin"),
        mark_y(y, held.threshold, f"threshold {figure(held.threshold)}", "alarm"),
    ]
    return section(
        "Score on the history",
        chart(x, y, *marks, label="Score on the history", kind="wide"),
        lead=_range(held),
    )


def _range(held: HeldOut) -> str:
    if not len(held.time_ns):
        return ""
    above = int(np.count_nonzero(np.asarray(held.score) > held.threshold))
    count = len(held.time_ns)
    parts = len([start for start in held.starts if 0 < start < count]) + 1
    stretch = f" in {parts} segments, parted by upright lines" if parts > 1 else ""
    first, last = clock(int(held.time_ns.min())), clock(int(held.time_ns.max()))
    frames = "1 frame is" if above == 1 else f"{above:,} frames are"
    return f"{count:,} frames{stretch}, {first} to {last} UTC. {frames} above the threshold."


def _calibration(one: Calibration) -> Markup:
    charts = [_histogram(one), *([_tail(one)] if _has_curve(one) else [])]
    basis = (
        "The history is too short to prove the budget, so the level is seven deviations above the mean score."
        if one.extrapolated
        else "The history is long enough to prove the budget, so the level is where the fitted tail keeps it."
    )
    lead = (
        f"Budget: {figure(one.budget_per_month)} false alarms in 30 days. At the level {figure(one.level)}, "
        f"{figure(one.expected_per_month)} are to be expected. {basis}"
    )
    return section("Threshold", tag("div", *charts, class_="pair"), lead=lead)


def _has_curve(one: Calibration) -> bool:
    return any(curve is not None and len(curve.level) for curve in (one.counted, one.fitted))


def _histogram(one: Calibration) -> Markup:
    score = np.asarray(one.score, dtype=np.float64)
    score = score[np.isfinite(score)]
    x = Axis.around(score, [0.0, one.level], title="score")
    counts, edges = np.histogram(score, bins=_BINS, range=(min(0.0, x.low), x.high))
    y = Axis(0.7, max(2.0, float(counts.max()) * 1.5), log=True, title="frames, logarithmic")
    marks = [bars(x, y, edges, counts, "soft"), mark_x(x, one.level, f"level {figure(one.level)}", "alarm")]
    drawing = chart(x, y, *marks, label="Histogram of normal scores", count=(5, 4))
    return tag("figure", tag("figcaption", "Normal scores"), drawing)


def _tail(one: Calibration) -> Markup:
    curves = [curve for curve in (one.counted, one.fitted) if curve is not None and len(curve.level)]
    x = Axis.around(*(curve.level for curve in curves), [one.level], title="threshold")
    rates = [curve.per_month for curve in curves]
    y = Axis.around(*rates, [one.budget_per_month], log=True, title="alarms in 30 days, logarithmic")
    marks = []
    if one.counted is not None and len(one.counted.level):
        marks.append(steps(x, y, _thin(one.counted), "plain"))
    if one.fitted is not None and len(one.fitted.level):
        marks.append(line(x, y, _thin(one.fitted), "blue"))
    marks += [
        mark_y(y, one.budget_per_month, f"budget {figure(one.budget_per_month)}", "muted", side="start"),
        mark_x(x, one.level, f"level {figure(one.level)}", "alarm"),
    ]
    keys = legend(("plain", "counted"), ("blue", "fitted tail"))
    drawing = chart(x, y, *marks, label="Alarms a month over the threshold", count=(5, 5))
    return tag("figure", tag("figcaption", "Alarms at other thresholds"), drawing, keys)


def _thin(curve: RateCurve) -> tuple[Floats, Floats]:
    """Evenly chosen points; both curves only fall, so nothing is hidden between them."""
    chosen = np.unique(np.linspace(0, len(curve.level) - 1, _CURVE).astype(int))
    return np.asarray(curve.level)[chosen], np.asarray(curve.per_month)[chosen]


def _parity(parity: Parity) -> Markup:
    total = len(parity.float_score)
    parts = tag("div", _agreement(parity), _pairs(parity.figures, "int8 against float"), class_="pair")
    farthest = tag("figcaption", "Distance of the outputs, the farthest channels")
    channels = tag("figure", farthest, _pairs(parity.by_channel, "Distance a channel"))
    beside = tag("div", _drift(parity), channels, class_="pair")
    lead = (
        f"Scores of the same {total:,} steps: held-out rows, then such with injected faults, over and over, "
        f"the state carried on from the first to the last; on the line both models agree. A channel's "
        f"distance is in standard deviations of its normal residual."
    )
    return section("int8 against float", parts, beside, lead=lead)


def _pairs(figures: Mapping[str, float], label: str) -> Markup:
    rows = [tag("tr", tag("th", name, scope="row", class_="name"), tag("td", _text(value), class_="num"))
            for name, value in figures.items()]  # fmt: skip
    return scroll(tag("tbody", *rows), label=label) if rows else Markup()


def _agreement(parity: Parity) -> Markup:
    total = len(parity.float_score)
    chosen = (
        np.unique(np.linspace(0, total - 1, min(_DOTS, total)).astype(int)) if total else np.zeros(0, int)
    )
    left, up = np.asarray(parity.float_score)[chosen], np.asarray(parity.int8_score)[chosen]
    known = np.isfinite(left) & np.isfinite(up)
    x = Axis.around(left, up, title="float score")
    y = Axis(x.low, x.high, title="int8 score")
    ends = np.array([x.low, x.high])
    marks = [line(x, y, (ends, ends), "muted"), dots(x, y, (left[known], up[known]), "blue")]
    return chart(x, y, *marks, label="int8 score over float score", kind="square", count=(5, 5))


def _drift(parity: Parity) -> Markup:
    step, error = np.asarray(parity.step, dtype=float), np.asarray(parity.error, dtype=float)
    x = Axis.around([0.0], step, title="step")
    y = Axis.around([0.0], error, title="distance of the outputs, model units")
    drawing = chart(x, y, line(x, y, (step, error), "blue"), label="Error over the steps", count=(5, 5))
    return tag("figure", tag("figcaption", "Error over the steps"), drawing)
