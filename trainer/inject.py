"""Faults of known kind, strength and place, injected into normal history.

A history seldom has labels. How well a detector finds faults that were put into normal data
agrees with how well it finds real ones, better than its prediction error does (Goswami et
al. 2023, "Unsupervised model selection for time-series anomaly detection", ICLR, sections 3
and 5), though not perfectly: docs/explain-contest.md says what it cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.normal_runs import NormalRuns

__all__ = ["KINDS", "MEASURED_IN_SPREADS", "Injected", "inject"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KINDS = (
    "spike",
    "level_shift",
    "slow_drift",
    "noise_burst",
    "stuck_value",
    "lost_correlation",
    "changed_period",
)
MEASURED_IN_SPREADS = KINDS[:4]
"""Kinds whose strength is a number of the channel's own normal spreads."""

SPREADS = (1.0, 2.0, 4.0, 8.0)
"""Up to the clip of the device: what is more than 8 is 8 to every candidate."""
RATES = (1.25, 1.5, 2.0, 3.0)
"""How many times faster, and as many times slower, a channel of changed period runs."""
SPIKE_ROWS = 3
NOTHING = 0.05
"""Spreads, root mean square: what changes a channel by less is no fault and is left out."""
_DONORS = 128
_TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Injected:
    """Runs with one fault each, in one channel; everything before it is as in the twin.

    Attributes:
        runs: Readings in model units, (faults, rows, channels).
        twin: The normal run each was made from, (faults,).
        start: First row of the fault, (faults,).
        stop: Row after the last row of the fault, (faults,).
        kind: Index into `KINDS`, (faults,).
        channel: The channel it is in, (faults,).
        strength: Spreads of the channel, for a changed period the factor of its rate
            (below 1 is slower), NaN where a kind has no strength, (faults,).
        left_out: Kind to tries that changed nothing: a channel that stands still can
            neither get stuck nor change its period.
    """

    runs: Floats
    twin: Ints
    start: Ints
    stop: Ints
    kind: Ints
    channel: Ints
    strength: Floats
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Slots:
    """Faults of one kind to be made: what is asked for, and the stretches they go into.

    ``before`` and ``after`` are the one faulty channel, (faults, lead) and (faults, horizon).
    """

    normal: NormalRuns
    twin: Ints
    channel: Ints
    strength: Floats
    spread: Floats
    before: Floats
    after: Floats


def inject(normal: NormalRuns, *, most_rows: int, seed: int = 0) -> Injected:
    """Put faults of every kind into every scored channel, in stretches spread over the history.

    Channels and strengths take turns, so that each kind has the same number of faults in
    each channel but for one; a fault that would change nothing is tried in other stretches
    before it is left out.

    Args:
        normal: NormalRuns of normal data.
        most_rows: Rows of all faulty runs together.
        seed: Same seed, same faults.
    """
    count, rows, channels = normal.values.shape
    kinds = [i for i, name in enumerate(KINDS) if channels > 1 or name != "lost_correlation"]
    each = min(most_rows // (rows * len(kinds)), max(60, 24 * channels)) if count else 0
    rng = np.random.default_rng(seed)
    spread = channel_spread(normal.values)
    parts = [_of_kind(kind, each, normal, spread, rng) for kind in kinds]
    left_out = {KINDS[kind]: missed for kind, (_, missed) in zip(kinds, parts, strict=True) if missed}
    slots = [made for made, _ in parts]
    twin = _joined([one.twin for one in slots])
    channel = _joined([one.channel for one in slots])
    kind = np.repeat(np.array(kinds, dtype=np.int64), [len(one.twin) for one in slots])
    runs = normal.values[twin]
    runs[np.arange(len(twin)), normal.lead :, channel] = np.concatenate([one.after for one in slots])
    start = np.full(len(twin), normal.lead, dtype=np.int64)
    stop = np.where(kind == KINDS.index("spike"), np.minimum(start + SPIKE_ROWS, rows), rows)
    strength = np.concatenate([one.strength for one in slots])
    return Injected(runs, twin, start, stop, kind, channel, strength, left_out)


def channel_spread(values: Floats) -> Floats:
    """Normal spread of each channel, (channels,), from normal runs (runs, rows, channels).

    The standard deviation in these runs or, where it is greater, that of the learned history,
    which is 1 in model units: a fault inside what the channel was seen to do is none.
    """
    if not values.size:
        return np.ones(values.shape[2])
    spread: Floats = np.maximum(values.std(axis=(0, 1)), 1.0)
    return spread


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def _of_kind(
    kind: int, each: int, normal: NormalRuns, spread: Floats, rng: np.random.Generator
) -> tuple[_Slots, int]:
    """The faults of one kind, ``after`` already faulty, and how many tries were left out."""
    count, _, width = normal.values.shape
    places = np.arange(width) if normal.scored is None else normal.scored
    turn, channels = np.arange(each), len(places)
    channel, strength = places[turn % channels], _strengths(KINDS[kind], turn, channels)
    twin = np.resize(_shuffled(count, max(each, 1), rng), each)
    made = _slots(normal, twin, channel, strength, spread)
    faulty = _FAULTS[kind](made, rng)
    for _ in range(_TRIES):
        idle = np.flatnonzero(~_tells(made, faulty))
        if not len(idle):
            break
        twin[idle] = rng.integers(count, size=len(idle))
        made = _slots(normal, twin, channel, strength, spread)
        again = _slots(normal, twin[idle], channel[idle], strength[idle], spread)
        faulty[idle] = _FAULTS[kind](again, rng)
    keep = _tells(made, faulty)
    kept = _slots(normal, twin[keep], channel[keep], strength[keep], spread)
    kept.after[:] = faulty[keep]
    return kept, int(np.count_nonzero(~keep))


def _shuffled(count: int, wanted: int, rng: np.random.Generator) -> Ints:
    """Every run in turn, in a new order each round, so that no run keeps meeting one channel."""
    rounds = [rng.permutation(count) for _ in range(-(-wanted // max(count, 1)))]
    return np.concatenate(rounds).astype(np.int64)


def _strengths(kind: str, turn: Ints, channels: int) -> Floats:
    """Strengths in turn, moved on by one each round of channels, so that every channel meets all."""
    place = turn % channels + turn // channels
    steps: Floats = np.full(1, np.nan)
    if kind in MEASURED_IN_SPREADS:
        steps = np.array(SPREADS)
    elif kind == "changed_period":
        steps = np.array([rate for fast in RATES for rate in (fast, 1 / fast)])
    strengths: Floats = steps[place % len(steps)]
    return strengths


def _slots(normal: NormalRuns, twin: Ints, channel: Ints, strength: Floats, spread: Floats) -> _Slots:
    series = normal.values[twin, :, channel]
    before, after = series[:, : normal.lead], series[:, normal.lead :].copy()
    return _Slots(normal, twin, channel, strength, spread[channel], before, after)


def _tells(made: _Slots, faulty: Floats) -> NDArray[np.bool_]:
    """Whether the channel differs from what it would have been."""
    change = np.sqrt(np.mean((faulty - made.after) ** 2, axis=1))
    return np.asarray(change >= NOTHING * made.spread)


def _signed(made: _Slots, rng: np.random.Generator) -> Floats:
    """Strength in model units, up or down, (faults, 1)."""
    sign = rng.choice([-1.0, 1.0], size=len(made.twin))
    signed: Floats = (sign * made.strength * made.spread)[:, None]
    return signed


def _spike(made: _Slots, rng: np.random.Generator) -> Floats:
    """A few rows off by the strength."""
    faulty: Floats = made.after.copy()
    faulty[:, :SPIKE_ROWS] += _signed(made, rng)
    return faulty


def _level_shift(made: _Slots, rng: np.random.Generator) -> Floats:
    """Off by the strength from the first row on."""
    faulty: Floats = made.after + _signed(made, rng)
    return faulty


def _slow_drift(made: _Slots, rng: np.random.Generator) -> Floats:
    """A straight way from nothing to the strength at the last row."""
    horizon = made.after.shape[1]
    faulty: Floats = made.after + _signed(made, rng) * np.arange(1, horizon + 1) / horizon
    return faulty


def _noise_burst(made: _Slots, rng: np.random.Generator) -> Floats:
    """White Gaussian noise with the strength as its standard deviation."""
    size = (made.strength * made.spread)[:, None]
    faulty: Floats = made.after + size * rng.normal(size=made.after.shape)
    return faulty


def _stuck_value(made: _Slots, _rng: np.random.Generator) -> Floats:
    """The last value before, for ever."""
    return np.repeat(made.before[:, -1:], made.after.shape[1], axis=1)


def _lost_correlation(made: _Slots, rng: np.random.Generator) -> Floats:
    """The channel's own normal data of another time.

    Its values and its own dynamics stay normal; only what it had to do with the other
    channels is gone. Of 128 stretches at random, those are fit that differ from what would
    have come by at least half as much as is usual (a periodic channel in the same phase is
    not), and of these the one is taken that leaves the channel nearest to where it is and as
    fast as it is, so that the seam gives little away.
    """
    normal, horizon = made.normal, made.after.shape[1]
    shape = (len(made.twin), _DONORS)
    run = rng.integers(len(normal.values), size=shape)
    row = rng.integers(2, normal.values.shape[1] - horizon + 1, size=shape)
    span = row[:, :, None] + np.arange(-2, horizon)
    donors = normal.values[run[:, :, None], span, made.channel[:, None, None]]
    own = made.before[:, None, -2:]
    value, slope = donors[:, :, 1] - own[:, :, 1], np.diff(donors[:, :, :2] - own, axis=2)[:, :, 0]
    change = np.sqrt(np.mean((donors[:, :, 2:] - made.after[:, None]) ** 2, axis=2))
    least = np.maximum(np.median(change, axis=1) / 2, NOTHING * made.spread)
    here = (normal.first[made.twin] + normal.lead)[:, None]
    fit = (change >= least[:, None]) & (np.abs(normal.first[run] + row - here) >= horizon)
    best = np.argmin(np.where(fit, value**2 + slope**2, np.inf), axis=1)
    faulty: Floats = donors[np.arange(len(best)), best, 2:]
    return np.where(fit.any(axis=1)[:, None], faulty, made.after)


def _changed_period(made: _Slots, _rng: np.random.Generator) -> Floats:
    """The channel's coming rows at another rate, back and forth where they do not suffice."""
    horizon = made.after.shape[1]
    source = np.concatenate([made.before[:, -1:], made.after], axis=1)
    place = made.strength[:, None] * np.arange(1, horizon + 1)
    place = horizon - np.abs(horizon - place % (2 * horizon))
    low = np.minimum(place.astype(np.int64), horizon - 1)
    left = np.take_along_axis(source, low, axis=1)
    right = np.take_along_axis(source, low + 1, axis=1)
    faulty: Floats = left + (place - low) * (right - left)
    return faulty


_FAULTS: tuple[Callable[[_Slots, np.random.Generator], Floats], ...] = (
    _spike,
    _level_shift,
    _slow_drift,
    _noise_burst,
    _stuck_value,
    _lost_correlation,
    _changed_period,
)
