"""What a reader of the history should know: what was left out, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from edge_lstm.times import NS, format_time
from edge_lstm.topics import check_name
from trainer.checks import DeadChannels, typical_period_ns
from trainer.columns import LABELS, ReadOptions, simple_name
from trainer.parts import Part, Sheet
from trainer.wording import ignore_advice, listed

__all__ = ["notices"]

_PACE = 1.5


def notices(
    sheets: Sequence[Sheet],
    parts: Sequence[Part],
    channels: Sequence[str],
    *,
    dead: DeadChannels,
    categorical: Sequence[str],
    options: ReadOptions,
) -> tuple[str, ...]:
    """One sentence each, most important first."""
    said: list[str] = []
    if dead.dropped:
        listing = listed(dead.dropped, 50)
        said.append(f"left out channels that never change or have no value ({len(dead.dropped)}): {listing}")
    if dead.watched:
        listing = listed(dead.watched, 50)
        said.append(
            f"channels that never change in the history are watched ({len(dead.watched)}), and any change "
            f"will count against the machine (--constant drop leaves them out): {listing}"
        )
    if options.strict:
        said += _labels(channels)
    said += _left_out(sheets, categorical)
    said += _infinite(sheets)
    if any(sheet.naive for sheet in sheets):
        said.append(f"times without a time zone are taken as UTC{_in([s for s in sheets if s.naive])}")
    if options.strict:
        said += _names(parts)
        said += _paces(parts)
        said += _overlaps(parts)
    return tuple(said)


def _in(sheets: Sequence[Sheet]) -> str:
    names = listed((sheet.source for sheet in sheets), 3)
    return f" ({names})"


def _labels(channels: Sequence[str]) -> Iterator[str]:
    for name in channels:
        if simple_name(name) in LABELS:
            yield (
                f"channel '{name}' looks like a label, which a machine does not measure: "
                f"leave it out with {ignore_advice([name])}"
            )


def _left_out(sheets: Sequence[Sheet], categorical: Sequence[str]) -> Iterator[str]:
    for name in categorical:
        found = [sheet.kinds[name] for sheet in sheets if name in sheet.kinds]
        distinct = max(one.distinct for one in found)
        yield f"left out column '{name}': text, {distinct} different value{'s' if distinct != 1 else ''}"
    others = dict.fromkeys(n for s in sheets for n, one in s.kinds.items() if one.kind == "other")
    for name in others:
        yield f"left out column '{name}': neither numbers nor text"
    unused = dict.fromkeys(name for sheet in sheets for name in sheet.unused)
    for name in unused:
        yield f"left out column '{name}'" if name else "left out a column without a name"


def _infinite(sheets: Sequence[Sheet]) -> Iterator[str]:
    names = dict.fromkeys(n for s in sheets for n, one in s.kinds.items() if one.infinite)
    for name in names:
        count = sum(sheet.kinds[name].infinite for sheet in sheets if name in sheet.kinds)
        yield f"channel '{name}': {count} infinite value{'s' if count != 1 else ''} taken as missing"


def _names(parts: Sequence[Part]) -> Iterator[str]:
    """The device takes a machine's name from a topic and publishes under it."""
    for name in dict.fromkeys(part.asset for part in parts if part.asset):
        if why := check_name(name):
            yield (
                f"machine {name!r} cannot be watched by the daemon under this name, which is to be one "
                f"level of a topic: {why}"
            )


def _paces(parts: Sequence[Part]) -> Iterator[str]:
    period = typical_period_ns(parts)
    for part in parts:
        step = typical_period_ns([part])
        if len(part.time_ns) > 2 and not period / _PACE <= step <= period * _PACE:
            yield f"{part.source} has a row every {step / NS:g} s, the history one every {period / NS:g} s"


def _overlaps(parts: Sequence[Part]) -> Iterator[str]:
    """The same stretch twice counts twice; different machines in one folder want an asset column."""
    ordered = sorted(parts, key=lambda part: (part.asset, int(part.time_ns[0])))
    found = []
    for before, after in pairwise(ordered):
        if before.asset == after.asset and after.time_ns[0] <= before.time_ns[-1]:
            found.append((before, after))
    if found:
        before, after = found[0]
        more = f", and {len(found) - 1} more pairs of files" if len(found) > 1 else ""
        start = format_time(int(after.time_ns[0]))
        yield (
            f"{before.source} and {after.source} overlap in time, from {start} on{more}: fine for "
            "different machines of one kind, a mistake if the same rows are there twice"
        )
