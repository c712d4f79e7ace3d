"""What a history looks like before anything is learned from it: gaps, holes, flat and odd channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_lstm.times import NS, format_time
from trainer.data import History, Segment
from trainer.profile_records import ChannelProfile, Gap, Profile, count
from trainer.runs import flat_run, longest_run
from trainer.tables import natural
from trainer.wording import listed

__all__ = ["ChannelProfile", "Gap", "Profile", "profile"]

OUTLIER_SIGMAS = 6.0

_MAD = 1.4826  # median absolute deviation to standard deviation, for a normal distribution
_MEAN_AD = 1.2533  # mean absolute deviation, likewise
_CATEGORIES = 10
_MANY = 100
_FEW = 0.01


def profile(history: History) -> Profile:
    """Measure a history.

    Args:
        history: At least one row.
    """
    segments = history.segments
    gaps = _gaps(segments)
    found = Profile(
        row_count=history.rows,
        segments=len(segments),
        start=format_time(min(int(one.time_ns[0]) for one in segments)),
        end=format_time(max(int(one.time_ns[-1]) for one in segments)),
        period_s=history.period_s,
        jitter=_jitter(segments, history.period_s * NS),
        duplicate=sum(one.duplicate for one in history.files),
        backward=sum(one.backward for one in history.files),
        gaps=len(gaps),
        longest_gap=max(gaps, key=lambda gap: gap.seconds, default=None),
        assets=_assets(segments),
        channels=tuple(_channel(name, i, segments) for i, name in enumerate(history.channels)),
        notices=history.notices,
    )
    return replace(found, warnings=(*_order_warnings(found, history), *_channel_warnings(found, history)))


# -------------------------------------------------------------------------------------------------- measures


def _jitter(segments: Sequence[Segment], period_ns: float) -> float:
    steps = np.concatenate([np.diff(one.time_ns) for one in segments])
    return float((np.abs(steps - period_ns) > period_ns / 2).mean()) if len(steps) else 0.0


def _gaps(segments: Sequence[Segment]) -> list[Gap]:
    """Silences between neighbours of the same file and machine, in order of time."""
    ordered = sorted(segments, key=lambda one: (one.asset, one.source, int(one.time_ns[0])))
    gaps = [
        Gap(
            format_time(int(before.time_ns[-1])),
            int(after.time_ns[0] - before.time_ns[-1]) / NS,
            before.source,
            before.asset,
        )
        for before, after in pairwise(ordered)
        if (before.asset, before.source) == (after.asset, after.source)
    ]
    return sorted(gaps, key=lambda gap: gap.start)


def _assets(segments: Sequence[Segment]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for one in segments:
        if one.asset:
            rows[one.asset] = rows.get(one.asset, 0) + len(one.time_ns)
    return dict(sorted(rows.items(), key=lambda item: natural(item[0])))


def _channel(name: str, index: int, segments: Sequence[Segment]) -> ChannelProfile:
    columns = [one.values[:, index] for one in segments]
    holes = [np.isnan(column) for column in columns]
    values = np.concatenate([column[~hole] for column, hole in zip(columns, holes, strict=True)])
    rows, missing = sum(map(len, columns)), int(sum(hole.sum() for hole in holes))
    flat = max(flat_run(column[~hole])[0] for column, hole in zip(columns, holes, strict=True))
    distinct = len(np.unique(values))
    some = len(values) > 0
    median = float(np.median(values)) if some else None
    return ChannelProfile(
        channel=name,
        values=len(values),
        missing=missing,
        missing_share=missing / rows,
        missing_run=max(longest_run(hole)[0] for hole in holes),
        flat_run=flat,
        flat_share=flat / len(values) if some else 0.0,
        distinct=distinct,
        categorical=0 < distinct <= _CATEGORIES and len(values) >= _MANY,
        outliers=0 if median is None else _outliers(values, median),
        minimum=float(values.min()) if some else None,
        median=median,
        maximum=float(values.max()) if some else None,
        std=float(values.std()) if some else None,
    )


def _outliers(values: NDArray[np.float64], median: float) -> int:
    distance = np.abs(values - median)
    # Where more than half of the values are the same, their median distance is nothing at all.
    sigma = _MAD * float(np.median(distance)) or _MEAN_AD * float(distance.mean())
    return int((distance > OUTLIER_SIGMAS * sigma).sum()) if sigma else 0


# -------------------------------------------------------------------------------------------------- warnings


def _order_warnings(found: Profile, history: History) -> Iterable[str]:
    left_out = found.duplicate + found.backward
    if left_out:
        worst = max(history.files, key=lambda one: one.duplicate + one.backward)
        yield (
            f"{count(left_out, 'row')} left out because a row of the same or a later time came before "
            f"({found.duplicate} duplicate, {found.backward} backward; most in {worst.source})"
        )
    if found.longest_gap is not None:
        gap = found.longest_gap
        yield (
            f"{count(found.gaps, 'gap')} in the recording; the longest lasts {gap.seconds:g} s from "
            f"{gap.start} on ({gap.source})"
        )
    if found.jitter > 0.1:
        yield (
            f"{found.jitter:.0%} of the steps are off by more than half a period of {found.period_s:g} s: "
            "the model takes rows as evenly spaced"
        )


_WORDS: tuple[tuple[str, Callable[[ChannelProfile], bool]], ...] = (
    ("values are missing", lambda one: one.missing_share > _FEW),
    (
        "few different values over many rows (a state, or a coarse sensor)",
        lambda one: one.categorical and one.flat_share <= 0.5,
    ),
    ("stood still for a long stretch", lambda one: one.flat_run >= _MANY and one.flat_share > 0.05),
    (
        "single values far off (beyond 6 robust standard deviations): sensor spikes?",
        lambda one: not one.categorical and 0 < one.outliers <= _FEW * one.values,
    ),
    (
        "many values far off (beyond 6 robust standard deviations): several operating modes, or bursts",
        lambda one: not one.categorical and one.outliers > _FEW * one.values,
    ),
)


def _channel_warnings(found: Profile, history: History) -> Iterable[str]:
    for words, applies in _WORDS:
        names = [one.channel for one in found.channels if applies(one)]
        if names:
            yield f"{words}: {listed(names)}"
    yield from _still(history, found.assets)


def _still(history: History, assets: Iterable[str]) -> Iterable[str]:
    """Channels that change on some machines and never on others."""
    still: dict[str, list[str]] = {}
    for asset in assets:
        own = np.concatenate([one.values for one in history.segments if one.asset == asset])
        same = np.fmin.reduce(own, axis=0) == np.fmax.reduce(own, axis=0)
        for index in np.flatnonzero(same).tolist():
            still.setdefault(history.channels[index], []).append(asset)
    for channel, names in still.items():
        yield f"'{channel}' never changes on {count(len(names), 'machine')}: {listed(names)}"
