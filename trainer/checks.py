"""What makes a history unfit for training, found before an hour of it is spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_lstm.errors import HistoryError
from edge_lstm.times import NS, format_time
from trainer.columns import ReadOptions
from trainer.parts import Part
from trainer.runs import longest_run
from trainer.wording import ignore_advice, listed, place

__all__ = [
    "MIN_ROWS",
    "check_missing",
    "check_order",
    "check_rows",
    "check_span",
    "check_steps",
    "dead_channels",
    "drop_channels",
    "typical_period_ns",
]

MIN_ROWS = 60
"""Rows below which nothing can be learned, held out and calibrated."""
WIDE = 12
"""From this many channels on, constant ones are kept with a notice and not refused."""

_NOTHING = "no value at all"
_LEFT_OUT = 0.2
_SHORT_RUN = 10
"""Rows: shorter holes are bridged by holding the last value, whatever their share."""


def _where(parts: Iterable[Part]) -> str:
    return place([part.path for part in parts])


def check_rows(parts: Sequence[Part]) -> None:
    """Refuse a history that is too short.

    Raises:
        HistoryError: Fewer than `MIN_ROWS` rows.
    """
    rows = sum(part.read for part in parts)
    if rows < MIN_ROWS:
        what = "only one row of data" if rows == 1 else "too few rows to train on"
        do = "give a longer history: days that show all the machine does, not minutes"
        raise HistoryError(what, path=_where(parts), expected=f"at least {MIN_ROWS}", got=str(rows), do=do)


def check_span(parts: Sequence[Part]) -> None:
    """Refuse times so far apart that their difference does not fit in 64 bits of nanoseconds.

    Raises:
        HistoryError: The first and the last time are more than 292 years apart.
    """
    filled = [part for part in parts if len(part.time_ns)]
    if not filled:
        return
    first = min(filled, key=lambda part: int(part.time_ns[0]))
    last = max(filled, key=lambda part: int(part.time_ns[-1]))
    low, high = int(first.time_ns[0]), int(last.time_ns[-1])
    if high - low >= 2**63:
        raise HistoryError(
            "times reach over more than 292 years",
            path=first.path,
            row=int(first.rows[0]),
            got=f"{format_time(low)} here, and {format_time(high)} in row {int(last.rows[-1])} "
            f"of {last.source}",
            do="correct whichever of the two cannot be, or remove its row",
        )


def check_order(parts: Sequence[Part], hints: Sequence[str]) -> None:
    """Refuse a file whose times do not run on.

    Args:
        parts: What was read.
        hints: Columns that may name the machine.

    Raises:
        HistoryError: More than a fifth of the rows come no later than the rows before.
    """
    for part in parts:
        left_out = part.duplicate + part.backward
        if left_out > _LEFT_OUT * part.read:
            machine = (
                f"name the machine's column with --asset-column {hints[0]}"
                if hints
                else ("name the machine's column with --asset-column if several machines are in one file")
            )
            raise HistoryError(
                f"{left_out} of {part.read} rows{_of(part.asset)} are not later than the row before; "
                "this is the first of them",
                path=part.path,
                row=part.first_left_out,
                expected="times that run on",
                do=f"{machine}, say --layout long if a row holds the value of one channel, "
                "or name another --time-column",
            )


def check_steps(parts: Sequence[Part], period_ns: float, gap_factor: float) -> None:
    """Refuse a file that was recorded at quite another pace than the rest.

    Raises:
        HistoryError: Its typical step would be a gap, or the rest's steps would be.
    """
    for part in parts:
        step = typical_period_ns([part])
        if len(part.time_ns) > 2 and not period_ns / gap_factor <= step <= period_ns * gap_factor:
            raise HistoryError(
                f"recorded at another pace than the rest{_of(part.asset)}",
                path=part.path,
                expected=f"a row every {period_ns / NS:g} s",
                got=f"one every {step / NS:g} s",
                do="train a model of its own for this pace, or bring the files to one pace",
            )


def typical_period_ns(parts: Iterable[Part]) -> float:
    """Median time between rows, nanoseconds; 0 when no part has two."""
    steps = [np.diff(part.time_ns) for part in parts]
    joined = np.concatenate([*steps, np.empty(0, np.int64)])
    return float(np.median(joined)) if len(joined) else 0.0


# ------------------------------------------------------------------------------------------------- channels


@dataclass(frozen=True, slots=True)
class DeadChannels:
    """Channels that a history says nothing of.

    Attributes:
        dropped: Left out.
        watched: Constant, and kept: any change will count against the machine.
    """

    dropped: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()


def dead_channels(parts: Sequence[Part], channels: Sequence[str], options: ReadOptions) -> DeadChannels:
    """Channels that never change or never have a value, and what becomes of them.

    Raises:
        HistoryError: They may neither be dropped nor kept, or all channels are such.
    """
    low = np.min([_extreme(np.fmin, part.values) for part in parts], axis=0)
    high = np.max([_extreme(np.fmax, part.values) for part in parts], axis=0)
    dead = {
        name: _NOTHING if lowest > highest else f"always {lowest:g}"
        for name, lowest, highest in zip(channels, low.tolist(), high.tolist(), strict=True)
        if lowest >= highest
    }
    narrow = options.constant == "auto" and len(channels) < WIDE
    if dead and (options.constant == "error" or narrow or len(dead) == len(channels)):
        raise _dead(parts, dead)
    dropped = [name for name, said in dead.items() if said == _NOTHING or options.constant == "drop"]
    return DeadChannels(tuple(dropped), tuple(name for name in dead if name not in dropped))


def _extreme(least_or_most: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least or most of each channel past NaN, (channels,); infinite the wrong way when all is NaN."""
    start = np.inf if least_or_most is np.fmin else -np.inf
    found: NDArray[np.float64] = least_or_most.reduce(values, axis=0, initial=start)
    return found


def _dead(parts: Sequence[Part], dead: dict[str, str]) -> HistoryError:
    names = list(dead)
    where = _where(parts)
    do = f"check {'the sensor' if len(names) == 1 else 'the sensors'}, or leave out: {ignore_advice(names)}"
    if len(names) == 1 and dead[names[0]] == _NOTHING:
        return HistoryError("this channel has no value at all", path=where, column=names[0], do=do)
    if len(names) == 1:
        got = dead[names[0]]
        return HistoryError("this channel never changes", path=where, column=names[0], got=got, do=do)
    said = ", ".join(f"'{name}' ({value})" for name, value in dead.items())
    return HistoryError(
        f"{len(names)} channels never change or have no value",
        path=where,
        got=said,
        do=do,
    )


def drop_channels(
    parts: Sequence[Part], channels: Sequence[str], dead: Sequence[str]
) -> tuple[tuple[str, ...], list[Part]]:
    """The history without some channels."""
    if not dead:
        return tuple(channels), list(parts)
    keep = [i for i, name in enumerate(channels) if name not in dead]
    return tuple(channels[i] for i in keep), [replace(part, values=part.values[:, keep]) for part in parts]


def check_missing(parts: Sequence[Part], channels: Sequence[str], options: ReadOptions) -> None:
    """Refuse channels that are missing for most of a file or for a long stretch.

    Raises:
        HistoryError: More than ``max_missing_share`` of a channel is missing in one file, a
            stretch longer than ``max_missing_run`` of the machine's rows, or all of it.
    """
    rows: dict[str, int] = {}
    for part in parts:
        rows[part.asset] = rows.get(part.asset, 0) + len(part.values)
    for part in parts:
        missing = np.isnan(part.values)
        longest = max(options.max_missing_run * rows[part.asset], _SHORT_RUN)
        most = max(options.max_missing_share * len(part.values), _SHORT_RUN)
        for index in np.flatnonzero(missing.any(axis=0)).tolist():
            count = int(missing[:, index].sum())
            length, start = longest_run(missing[:, index])
            if count > most or length > longest:
                raise _missing(part, channels[index], count, length, start)
    _check_all_missing(parts, channels)


def _missing(part: Part, channel: str, count: int, length: int, start: int) -> HistoryError:
    share = count / len(part.values)
    return HistoryError(
        f"this channel has no value for {length} rows in a row from here, and in {count} of "
        f"{len(part.values)} rows ({share:.0%}){_of(part.asset)}",
        path=part.path,
        row=int(part.rows[start]),
        column=channel,
        do=f"leave the channel out with {ignore_advice([channel])}, or remove these rows",
    )


def _check_all_missing(parts: Sequence[Part], channels: Sequence[str]) -> None:
    """Short files of one machine may each pass; together they must show every channel."""
    seen: dict[str, NDArray[np.bool_]] = {}
    for part in parts:
        any_value = np.isfinite(part.values).any(axis=0)
        seen[part.asset] = seen.get(part.asset, np.zeros(len(channels), np.bool_)) | any_value
    for asset, found in seen.items():
        if not found.all():
            names = [name for name, has in zip(channels, found.tolist(), strict=True) if not has]
            own = [part for part in parts if part.asset == asset]
            raise HistoryError(
                f"no value at all for {listed(names)}{_of(asset)}",
                path=_where(own),
                do=f"leave the channels out with {ignore_advice(names)}, or the machine",
            )


def _of(asset: str) -> str:
    return f" (machine '{asset}')" if asset else ""
