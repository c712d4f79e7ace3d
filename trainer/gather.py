"""One value a row to frames: the rule of `edge_lstm.core.align`, on whole columns.

A frame takes readings until it has every channel, until a channel repeats, or until time
has moved on by a period. Training on frames made in any other way would train on something
the device never sees; a test holds this file against the device's aligner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["gather", "typical_step"]

Ints = NDArray[np.int64]


def typical_step(time_ns: Ints, channel: Ints) -> int:
    """Median over channels of the median time between two values of a channel, in nanoseconds.

    Args:
        time_ns: Times in order, (readings,).
        channel: Index of each reading's channel, (readings,).

    Returns:
        0 when no channel has two values.
    """
    order = np.argsort(channel, kind="stable")
    steps = np.diff(time_ns[order])
    within = (np.diff(channel[order]) == 0) & (steps > 0)
    owners = channel[order][1:][within]
    medians = [np.median(steps[within][owners == one]) for one in np.unique(owners)]
    return int(np.median(medians)) if medians else 0


def gather(
    time_ns: Ints, channel: Ints, values: NDArray[np.float64], *, channels: int, period_ns: int
) -> tuple[Ints, NDArray[np.float64], Ints]:
    """Make frames.

    Args:
        time_ns: Times in order, (readings,).
        channel: Index of each reading's channel, (readings,); no pair of time and channel twice.
        values: (readings,).
        channels: Number of channels.
        period_ns: Time after which a frame that is not whole is closed.

    Returns:
        Times of the frames (frames,), strictly increasing; values (frames, channels) with
        NaN where a channel is missing; index of each frame's first reading (frames,).
    """
    starts, ends = _cut(time_ns, channel, channels=channels, period_ns=period_ns)
    frame = np.repeat(np.arange(len(starts)), ends - starts)
    reading = np.arange(len(frame)) + np.repeat(
        starts - np.r_[0, np.cumsum(ends - starts)[:-1]], ends - starts
    )
    out = np.full((len(starts), channels), np.nan)
    out[frame, channel[reading]] = values[reading]
    return time_ns[ends - 1], out, starts


def _cut(time_ns: Ints, channel: Ints, *, channels: int, period_ns: int) -> tuple[Ints, Ints]:
    """First reading of every frame, and the one after its last."""
    count = len(time_ns)
    index = np.arange(count)
    # First repeat in a frame that starts at i: the least "next reading of the same channel" from i on.
    order = np.lexsort((index, channel))
    following = np.full(count, count)
    same = np.diff(channel[order]) == 0
    following[order[:-1][same]] = order[1:][same]
    repeat = np.minimum.accumulate(following[::-1])[::-1]
    late = np.searchsorted(time_ns, time_ns + max(period_ns, 1), side="left")
    end = np.minimum(np.minimum(repeat, late), np.minimum(index + channels, count)).tolist()
    # Readings of the very time of a closed frame are turned away by the device.
    onward = np.searchsorted(time_ns, time_ns, side="right").tolist()
    starts = []
    at = 0
    while at < count:
        starts.append(at)
        at = onward[end[at] - 1]
    found = np.array(starts, dtype=np.int64)
    return found, np.array(end, dtype=np.int64)[found]
