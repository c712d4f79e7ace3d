"""The replay page: what the template is filled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alert import Contributor
from edge_lstm.times import NS
from trainer.pages.decimate import keep_rows
from trainer.pages.document import document, fill, template
from trainer.pages.embed import Packed, pack_floats, pack_runs, pack_times
from trainer.pages.markup import TIMES, Markup, clock, duration, figure, join, tag, when
from trainer.pages.records import AssetRecording, Episode, Recording

__all__ = [
    "MAX_LISTED",
    "MAX_VALUES",
    "SCRIPTS",
    "curves",
    "episode_table",
    "fact_list",
    "pack_asset",
    "render_replay",
    "thinning_note",
]

MAX_VALUES = 4_000_000
"""Numbers embedded at most: 235,000 rows of 8 channels, a page of 21 MB."""
MAX_LISTED = 500
"""Episodes listed at most; all of them are drawn."""

SCRIPTS = ("replay-data.js", "replay-time.js", "replay-plot.js", "replay-view.js", "replay.js")
_LEVELS = ("warning", "minor", "major", "critical")
_NAMED = 3
_LEGEND = {
    "actual": "reading",
    "expected": "reconstruction",
    "threshold": "threshold",
    "episode": "episode",
    "warm": "warm-up, no alert can open",
}


def render_replay(recording: Recording, *, max_values: int = MAX_VALUES) -> str:
    """Readings, expectation, score, threshold and episodes as one HTML file.

    Args:
        recording: What to show.
        max_values: Numbers to embed at most; longer recordings are thinned so that every
            line keeps its extremes, and the page says so.
    """
    per_row = 2 * len(recording.channels) + 1
    total = sum(len(one.time_ns) for one in recording.assets)
    share = min(1.0, max_values / max(1, total * per_row))
    assets = [pack_asset(one, gap_after_s=recording.gap_after_s, share=share) for one in recording.assets]
    channels = [{"name": one.name, "unit": one.unit} for one in recording.channels]
    body = fill(
        template("replay.html"),
        {
            "title": tag("h1", recording.title),
            "summary": _summary(recording),
            "facts": fact_list(recording.meta),
            "curves": curves(_LEGEND),
            "note": thinning_note(total, sum(len(one[1]) for one in assets)),
            "episodes": episode_table(recording.assets),
        },
    )
    return document(
        title=recording.title,
        body=body,
        styles=("style.css", "replay.css"),
        scripts=SCRIPTS,
        data={"channels": channels, "assets": [packed for packed, _ in assets]},
    )


def curves(legend: Mapping[str, str]) -> Markup:
    """The part of the page that the scripts draw in; the legend is kind of mark to words."""
    keys = [tag("span", tag("i", class_=f"key {kind}"), words) for kind, words in legend.items()]
    gap = tag("span", tag("i", class_="key gap"), "gap", id="gap-key", hidden="")
    return fill(template("curves.html"), {"legend": tag("div", *keys, gap, class_="legend")})


def pack_asset(
    one: AssetRecording, *, gap_after_s: float | None, share: float
) -> tuple[Packed, NDArray[np.intp]]:
    """One asset as the script reads it, and the rows that were kept."""
    statuses = np.asarray(one.status, dtype=str)
    segment = _segments(one.time_ns, gap_after_s)
    turns = np.concatenate(([True], (statuses[1:] != statuses[:-1]) | (np.diff(segment) > 0)))[
        : len(statuses)
    ]
    always = turns | np.concatenate((turns[1:], [True]))[: len(turns)]
    series = [*one.actual.T, *one.expected.T, one.score]
    limit = max(2, int(len(one.time_ns) * share)) if share < 1 else len(one.time_ns)
    rows = keep_rows(series, limit=limit, always=always)
    origin = int(one.time_ns[0]) if len(one.time_ns) else 0
    packed: Packed = {
        "name": one.asset,
        "rows": len(rows),
        "time": pack_times(one.time_ns[rows]),
        "breaks": [int(row) for row in np.flatnonzero(np.diff(segment[rows])) + 1],
        "status": pack_runs(statuses[rows].tolist()),
        "score": pack_floats(one.score[rows]),
        "threshold": pack_floats(one.threshold[rows]),
        "actual": [pack_floats(column) for column in one.actual[rows].T],
        "expected": [pack_floats(column) for column in one.expected[rows].T],
        "episodes": [_span(episode, origin) for episode in one.episodes],
    }
    return packed, rows


def _segments(time_ns: NDArray[np.int64], gap_after_s: float | None) -> NDArray[np.int64]:
    """(rows,) how many gaps lie before each row."""
    if gap_after_s is None or len(time_ns) == 0:
        return np.zeros(len(time_ns), dtype=np.int64)
    gaps = np.diff(time_ns) > gap_after_s * NS
    return np.concatenate(([0], np.cumsum(gaps)))


def _span(episode: Episode, origin: int) -> list[float | None]:
    """Start and end, milliseconds after the asset's first row; no end while open."""
    end = None if episode.ended_ns is None else (episode.ended_ns - origin) / 1e6
    return [(episode.started_ns - origin) / 1e6, end]


def _summary(recording: Recording) -> Markup:
    episodes = sum(len(one.episodes) for one in recording.assets)
    times = [one.time_ns for one in recording.assets if len(one.time_ns)]
    rows = sum(len(one) for one in times)
    counts = [_count(rows, "frame"), _count(len(recording.channels), "channel")]
    if len(recording.assets) != 1:
        counts.append(_count(len(recording.assets), "asset"))
    text = join(tag("strong", _count(episodes, "episode")), f" in {', '.join(counts)}.")
    if not times:
        return tag("p", text, class_="lead")
    first, last = min(int(one[0]) for one in times), max(int(one[-1]) for one in times)
    span = join(" From ", when(first), " to ", when(last), f" UTC, {duration(last - first)}.")
    return tag("p", text, span, class_="lead")


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def fact_list(meta: Mapping[str, str]) -> Markup:
    """Names and values in a row."""
    pairs = [tag("div", tag("dt", name), tag("dd", text)) for name, text in meta.items()]
    return tag("dl", *pairs, class_="facts") if pairs else Markup()


def thinning_note(total: int, kept: int) -> Markup:
    """Says that rows are left out of the picture; nothing when all are there."""
    if kept == total:
        return Markup()
    text = (
        f"Thinned for this page: {kept:,} of {total:,} frames are drawn. Of every stretch the lowest and the "
        "highest value of each line are kept, so peaks are true; frames between them are left out."
    )
    return tag("p", text, class_="note")


def episode_table(assets: Sequence[AssetRecording]) -> Markup:
    """The table of episodes; the highest peaks when there are too many."""
    every = [
        (asset, number, episode)
        for asset, one in enumerate(assets)
        for number, episode in enumerate(one.episodes)
    ]
    if not every:
        return tag("p", "No episode: no score stayed above the threshold.", class_="quiet")
    listed = sorted(every, key=lambda row: -row[2].peak)[:MAX_LISTED]
    listed.sort(key=lambda row: (row[2].started_ns, row[0]))
    named = len(assets) > 1
    heads = ["No.", *(["Asset"] if named else []), "Started (UTC)", "Lasted", "Severity", "Peak", "Cause"]
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads)))
    rows = [_row(assets[asset], asset, number, one, named=named) for asset, number, one in listed]
    table = tag("table", head, tag("tbody", *rows), class_="episodes")
    scroller = tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Episodes")
    if len(listed) == len(every):
        return scroller
    note = f"The {len(listed):,} highest of {len(every):,} episodes are listed; all are drawn."
    return join(scroller, tag("p", note, class_="note"))


def _row(asset: AssetRecording, index: int, number: int, episode: Episode, *, named: bool) -> Markup:
    label = f"Show episode {number + 1}" + (f" of {asset.asset}" if named else "")
    button = tag("button", f"{number + 1}", type="button", class_="go", aria_label=label)
    cells = [
        tag("td", button, data_label="No."),
        *([tag("td", asset.asset, data_label="Asset")] if named else []),
        tag("td", when(episode.started_ns), data_label="Started", title=_until(episode), class_="num"),
        tag("td", _lasted(episode), data_label="Lasted", class_="num"),
        tag("td", _severity(episode.severity), data_label="Severity"),
        tag("td", _peak(episode), data_label="Peak", class_="num"),
        tag("td", _cause(episode), data_label="Cause", class_="cause"),
    ]
    return tag("tr", *cells, data_asset=index, data_episode=number)


def _until(episode: Episode) -> str:
    return "still open" if episode.ended_ns is None else f"until {clock(episode.ended_ns)} UTC"


def _lasted(episode: Episode) -> str:
    return "open" if episode.ended_ns is None else duration(episode.ended_ns - episode.started_ns)


def _severity(name: str) -> Markup:
    level = _LEVELS.index(name) + 1 if name in _LEVELS else 0
    bars = tag("span", *(tag("i", class_="on" if i < level else None) for i in range(4)), aria_hidden="true")
    return tag("span", bars, name, class_="severity")


def _peak(episode: Episode) -> Markup:
    if not episode.threshold or episode.threshold <= 0:
        return join(figure(episode.peak))
    ratio = f" {episode.peak / episode.threshold:.1f} {TIMES}"
    return join(figure(episode.peak), tag("small", ratio, tag("span", " threshold", class_="wide")))


def _cause(episode: Episode) -> Markup:
    parts = [_contributor(one) for one in _shares(episode.contributors)]
    text = tag("span", episode.text, class_="said") if episode.text else Markup()
    return join(tag("span", *parts, class_="parts") if parts else Markup(), text)


def _shares(contributors: Sequence[Contributor]) -> list[Contributor]:
    return [one for one in contributors[:_NAMED] if one.share >= 0.005]


def _contributor(one: Contributor) -> Markup:
    unit = f" {one.unit}" if one.unit else ""
    title = f"was {figure(one.actual)}{unit}, expected {figure(one.expected)}{unit}"
    return tag("span", f"{one.channel} ", tag("b", f"{one.share:.0%}"), class_="part", title=title)
