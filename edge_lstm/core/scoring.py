"""Residual to score: standardise, smooth, fuse.

Each head's residual is exponentially smoothed (EWMA, Roberts 1959), standardised channel by
channel with statistics of held-out normal data, squared and smoothed again. A head's score
is the mean over channels; the frame's score is the mean over heads of
log1p(head / head's own 99 % quantile), which puts heads of different size on one scale.
The same code runs in the trainer and on the device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Scoring

__all__ = ["Scorer"]

Floats = NDArray[np.float64]
SMOOTHED_LIMIT = 1e6
"""A smoothed square cannot exceed this: one wild reading must not mute the rest for hours."""


class Scorer:
    """Scores frames of streams whose smoothing memory lives elsewhere.

    Args:
        scoring: Heads and their statistics.
        scored: True for channels that are scored, (channels,); ``None`` is all. The others are
            inputs of the model only.
    """

    def __init__(self, scoring: Scoring, scored: NDArray[np.bool_] | None = None) -> None:
        self.heads = scoring.heads
        self._forecast = np.array([head.kind == "forecast" for head in scoring.heads])
        kinds = [head.kind for head in scoring.heads]
        self.reconstruction = kinds.index("reconstruction") if "reconstruction" in kinds else 0
        self._pre_alpha = np.array([[head.pre_alpha] for head in scoring.heads])  # (heads, 1)
        self._alpha = np.array([[head.alpha] for head in scoring.heads])  # (heads, 1)
        self._mean = np.array([head.mean for head in scoring.heads])  # (heads, channels)
        self._std = np.array([head.std for head in scoring.heads])  # (heads, channels)
        self._scored = np.ones(self._mean.shape[1], bool) if scored is None else scored  # (channels,)
        self._scale = np.array([head.scale for head in scoring.heads])  # (heads,)

    def expectation(self, said: Floats, z: Floats, previous: Floats) -> Floats:
        """What each head expected of this frame, model units, (heads, channels).

        Args:
            said: What the heads said at this frame, (heads, channels).
            z: This frame, (channels,): a forecast says the change from here on.
            previous: What the forecasts said one frame ago, (heads, channels); replaced
                in place by what they say of the next frame.
        """
        expected = np.where(self._forecast[:, None], previous, said)
        previous[:] = np.where(self._forecast[:, None], z + said, 0.0)
        return expected

    def update(self, bias: Floats, smoothed: Floats, residual: Floats, *, skip: NDArray[np.bool_]) -> None:
        """Take one frame's residuals into the smoothing memory, in place.

        Args:
            bias: Smoothed residuals, model units, (heads, channels).
            smoothed: Smoothed squares, (heads, channels).
            residual: This frame's residuals, model units, (heads, channels).
            skip: True where this frame says nothing, (heads, channels).
        """
        bias += np.where(skip, 0.0, self._pre_alpha * (residual - bias))
        square = np.minimum(np.square((bias - self._mean) / self._std), SMOOTHED_LIMIT)
        smoothed += np.where(skip, 0.0, self._alpha * (square - smoothed))

    def most_surprised(self, residual: Floats, *, skip: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The head that this frame surprised most, one a channel, (channels,).

        Its expectation is the one to show beside the reading: another head may have
        followed the fault by now and expect what is read.

        Args:
            residual: This frame's residuals, model units, (heads, channels).
            skip: True where this frame says nothing, (heads, channels).
        """
        surprise = np.abs(residual - self._mean) / self._std
        heads: NDArray[np.intp] = np.where(skip, -1.0, surprise).argmax(axis=0)
        return heads

    def fuse(self, smoothed: Floats) -> tuple[float, Floats]:
        """The score, and each head's and channel's part of it, (heads, channels), sum = score."""
        smoothed = np.where(self._scored, smoothed, 0.0)
        levels = np.log1p(self.mean(smoothed) / self._scale)  # (heads,)
        score = float(levels.mean())
        total = smoothed.sum(axis=1, keepdims=True)
        parts = smoothed / np.where(total > 0, total, 1.0) * (levels[:, None] / len(levels))
        return score, parts

    def mean(self, smoothed: Floats) -> Floats:
        """Mean over the scored channels; (..., channels) to (...)."""
        mean: Floats = np.where(self._scored, smoothed, 0.0).sum(axis=-1) / self._scored.sum()
        return mean

    def silent(self, *, first: bool) -> NDArray[np.bool_]:
        """Where nothing is ever said: unscored channels, and forecasts at a state's first frame.

        Returns:
            (heads, channels).
        """
        return (self._forecast & first)[:, None] | ~self._scored
