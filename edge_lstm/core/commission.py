"""Commissioning: an asset that the model never saw gets a scaling of its own from its first frames.

The model knows machines in units of their own spread. The bundle has centre and scale of the
machines it was trained on; for another one they are learned here from a baseline of N frames,
by the same estimate as in training (`edge_lstm.core.robust`), and then frozen. A baseline that
is itself unsteady would freeze a run-up or a fault as normal, so it is refused with the reason,
and the next N frames are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alert import AlertModel
from edge_lstm.contracts.commission import ChannelScaling, Commission, CommissionConfig
from edge_lstm.contracts.frame import Frame
from edge_lstm.contracts.manifest import AssetScaling, Manifest
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.contracts.state import CommissionMemory
from edge_lstm.core.robust import floored, moments, tame
from edge_lstm.core.when import scored_channels
from edge_lstm.errors import SnapshotError
from edge_lstm.times import format_time

__all__ = ["Commissioner", "scaling_of", "unsteady"]

Floats = NDArray[np.float64]

LEAST_SHARE = 0.1
"""Least scale of a scored channel, as a share of the usual one: noise of a machine that stood still
while it was learned is no anomaly later."""
JUDGED_SHARE = 0.5
"""What moves by less than this share of the usual scale is not judged as drift."""
_QUARTERS = 4
_MANY_VALUES = 10
"""A channel with more values than this is a measurement: it must not stand still for half a baseline."""


class Commissioner:
    """Learns any number of assets; all memory is in `CommissionMemory`.

    Args:
        manifest: The bundle's facts.
        config: What the site asks for.
        node: The device, said in messages.
        model: Says which model it is, and what runs it now.
    """

    def __init__(
        self, manifest: Manifest, config: CommissionConfig, *, node: str, model: Callable[[], AlertModel]
    ) -> None:
        self._config, self._known = config, manifest.assets
        self._channels = manifest.channels
        self._node, self._model = node, model
        self._usual = usual_scale(manifest)
        self._scored = scored_channels(manifest.channels)

    def fresh(self, asset: str) -> CommissionMemory | None:
        """Memory of an asset that is to be learned; ``None`` when it need not be."""
        return None if self._config.readings is None or asset in self._known else CommissionMemory()

    def resume(self, asset: str, saved: CommissionMemory | None) -> CommissionMemory | None:
        """What goes on of a saved memory under this configuration; what is done stays done.

        Raises:
            SnapshotError: It does not fit the model.
        """
        wanted = self.fresh(asset)
        if saved is None:
            return wanted
        learned = [one.channel for one in saved.told.channels] if saved.told else []
        fits = not self.is_done(saved) or learned == [channel.name for channel in self._channels]
        if not fits or len(saved.rows) % (8 * len(self._channels)):
            raise SnapshotError(f"what was learned of asset '{asset}' does not fit the model")
        return saved if wanted is not None or self.is_done(saved) else None

    @staticmethod
    def is_done(memory: CommissionMemory) -> bool:
        """Whether the scaling is learned and frozen."""
        return memory.told is not None and memory.told.status == "done"

    def unscored(
        self, memory: CommissionMemory, frame: Frame, status: StreamStatus, *, threshold: float
    ) -> Score:
        """What stands in place of the score of a frame that was only learned from."""
        nothing = (0.0,) * len(frame.values)
        share = 1.0 if self.is_done(memory) else self._count(memory) / (self._config.readings or 1)
        facts = (frame.asset, frame.tick, frame.time_ns, 0.0, threshold, status)
        return Score(*facts, shares=nothing, expected=frame.values, errors=nothing, progress=share)

    def take(self, memory: CommissionMemory, frame: Frame) -> Commission | None:
        """Take one frame into the baseline.

        Returns:
            What is to be told: the beginning, a refusal, or that it is done.
        """
        if not memory.rows:
            memory.began_ns = frame.time_ns
        memory.rows += np.where(frame.masked, np.nan, frame.values).astype("<f8").tobytes()
        if self._count(memory) >= (self._config.readings or 0):
            memory.told = self._judge(memory, frame)
            memory.rows = bytearray()
        elif memory.told is None:
            memory.told = self._tell(memory, frame, reason="")
        else:
            return None
        return memory.told

    def _count(self, memory: CommissionMemory) -> int:
        return len(memory.rows) // (8 * len(self._channels))

    def _judge(self, memory: CommissionMemory, frame: Frame) -> Commission:
        rows = np.frombuffer(memory.rows, "<f8").reshape(-1, len(self._channels))
        names = [channel.name for channel in self._channels]
        reason = next(
            unsteady(
                rows[:, self._scored], self._usual[self._scored], _picked(names, self._scored), self._config
            ),
            "",
        )
        if reason:
            memory.refused += 1
            return self._tell(memory, frame, reason=reason)
        return self._tell(memory, frame, reason="", rows=rows)

    def _tell(
        self, memory: CommissionMemory, frame: Frame, *, reason: str, rows: Floats | None = None
    ) -> Commission:
        return Commission(
            asset=frame.asset,
            status="commissioning" if rows is None else "done",
            time=format_time(frame.time_ns),
            began=format_time(memory.began_ns),
            readings=self._count(memory) if reason or rows is not None else 0,
            wanted=self._config.readings or 0,
            refused=memory.refused,
            reason=reason,
            channels=[] if rows is None else self._learned(rows),
            node=self._node,
            model=self._model(),
        )

    def _learned(self, rows: Floats) -> list[ChannelScaling]:
        """Centre and scale of each channel; a context channel never gets less than the usual scale.

        A set point that rests while the machine is learned will move later, and beyond the
        clip it would tell the model nothing.
        """
        centre, variance = moments(rows)
        centre = np.where(np.isfinite(centre), centre, 0.0)
        own = np.where(_moves(tame(rows)), np.sqrt(np.nan_to_num(variance)), 0.0)
        least = np.where(self._scored, LEAST_SHARE, 1.0) * self._usual
        scale = floored(np.maximum(own, least), centre)
        return [
            ChannelScaling(channel.name, channel.unit, float(c), float(s), still=bool(o == 0))
            for channel, c, s, o in zip(self._channels, centre, scale, own, strict=True)
        ]


def usual_scale(manifest: Manifest) -> Floats:
    """The scale to expect of one machine, (channels,).

    The median over the named assets; the common scaling of a fleet also holds how its
    machines differ, and stands in where none is named.
    """
    scales = [one.scale for one in manifest.assets.values()] or [manifest.scaling.scale]
    usual: Floats = np.median(np.array(scales), axis=0)
    return usual


def scaling_of(told: Commission) -> AssetScaling:
    """What was learned, as the bundle says it."""
    return AssetScaling(tuple(c.centre for c in told.channels), tuple(c.scale for c in told.channels))


def unsteady(rows: Floats, usual: Floats, names: list[str], config: CommissionConfig) -> Iterator[str]:
    """Why a baseline cannot be believed, a line each; nothing for a steady one.

    Args:
        rows: The scored channels, channel units, NaN where missing, (rows, channels).
        usual: The usual scale of each.
        names: The name of each.
        config: The limits.
    """
    missing = np.isnan(rows).mean(axis=0)
    for i in np.flatnonzero(missing > config.max_missing):
        yield f"{names[i]} is missing in {missing[i]:.0%} of the readings (commission.max_missing)"
    x = tame(rows)
    for column, name in zip(x.T, names, strict=True):
        if (still := _longest_run(column)) > len(x) / 2 and len(np.unique(column)) > _MANY_VALUES:
            yield f"{name} stands still for {still} of {len(x)} readings"
    if not _moves(x).any():
        yield "no channel moves"
    floor = floored(JUDGED_SHARE * usual, np.nan_to_num(_mean(x)))
    drift = _drift(x, floor)
    for i in np.argsort(-drift, kind="stable"):
        if drift[i] > config.max_drift:
            yield f"{names[i]} drifts by {drift[i]:.3g} spreads (commission.max_drift)"
    first, second = (np.maximum(_spread(half), floor) for half in np.array_split(x, 2))
    ratio = np.maximum(first / second, second / first)
    for i in np.argsort(-ratio, kind="stable"):
        if ratio[i] > config.max_ratio:
            yield f"the spread of {names[i]} changes by a factor of {ratio[i]:.3g} (commission.max_ratio)"


def _drift(x: Floats, floor: Floats) -> Floats:
    """Farthest that the centre moves, in units of the spread, (channels,).

    Half against half, in units of the spread within the halves: a lasting trend or step.
    Each quarter against the other three, in units of their spread: a run-up at the
    beginning, a fault that came and went.
    """
    first, second = np.array_split(x, 2)
    within = np.sqrt((_spread(first) ** 2 + _spread(second) ** 2) / 2)
    found = [np.abs(_mean(second) - _mean(first)) / np.maximum(within, floor)]
    quarters = np.array_split(x, _QUARTERS)
    for i, quarter in enumerate(quarters):
        rest = np.concatenate(quarters[:i] + quarters[i + 1 :])
        found.append(np.abs(_mean(quarter) - _mean(rest)) / np.maximum(_spread(rest), floor))
    farthest: Floats = np.nan_to_num(np.array(found)).max(axis=0)
    return farthest


def _mean(x: Floats) -> Floats:
    """NaN, without a warning, where a channel has no value."""
    known = np.isfinite(x)
    count = known.sum(axis=0)
    mean: Floats = np.where(known, x, 0.0).sum(axis=0) / np.where(count, count, np.nan)
    return mean


def _spread(x: Floats) -> Floats:
    """Standard deviation a channel; 0 where it has no value."""
    with np.errstate(over="ignore"):  # a sensor's 1e300 is refused as unsteady, or left out as wild
        spread: Floats = np.sqrt(np.nan_to_num(_mean((x - _mean(x)) ** 2)))
    return spread


def _moves(x: Floats) -> NDArray[np.bool_]:
    """Whether a channel has two values, (channels,); rounding gives a resting one a spread above 0."""
    first = np.where(np.isfinite(x), x, np.inf).min(axis=0)
    moves: NDArray[np.bool_] = np.where(np.isfinite(x), x, -np.inf).max(axis=0) > first
    return moves


def _longest_run(column: Floats) -> int:
    """Most readings in a row with the same value."""
    change = np.flatnonzero(column[1:] != column[:-1]) + 1  # NaN differs from itself
    return int(np.diff(np.r_[0, change, len(column)]).max())


def _picked(names: list[str], mask: NDArray[np.bool_]) -> list[str]:
    return [name for name, one in zip(names, mask, strict=True) if one]
