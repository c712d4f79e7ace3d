"""Residual to score: standardise, smooth, fuse.

Each head's residual is exponentially smoothed (EWMA, Roberts 1959), standardised channel by
channel with statistics of normal data, squared, capped and smoothed again. A head's score is
the mean over channels; log1p(head / head's own 95 % quantile) puts heads of different size
on one scale, and the frame's score is the mean over members of the mean over their heads.
The same code runs in the trainer and on the device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import MEMBER, Kind, Scoring

__all__ = ["Scorer"]

Floats = NDArray[np.float64]
_ERRORS_OF: tuple[Kind, ...] = ("reconstruction", "pca_q", "var", "forecast", "level")
"""Whose expectation the errors a channel are taken from: the first of these that there is."""


class Scorer:
    """Scores frames of streams whose smoothing memory lives elsewhere.

    Args:
        scoring: Heads and their statistics.
        scored: True for channels that are scored, (channels,); ``None`` is all. The others are
            inputs of the model only.
    """

    def __init__(self, scoring: Scoring, scored: NDArray[np.bool_] | None = None) -> None:
        self.heads = scoring.heads
        kinds = [head.kind for head in scoring.heads]
        self.primary = min(range(len(kinds)), key=lambda i: _rank(kinds[i]))
        self._cap = scoring.cap
        self._forecast = np.array([kind == "forecast" for kind in kinds])
        self._forecasts = [i for i, kind in enumerate(kinds) if kind == "forecast"]
        self._shown = np.array([[kind != "pca_t2"] for kind in kinds])  # (heads, 1)
        members = [MEMBER[kind] for kind in kinds]
        shares = [1 / members.count(member) / len(set(members)) for member in members]
        self.share = np.array(shares)  # (heads,), sum 1
        # One number a channel although all are the same: NumPy then works on whole rows.
        width = len(scoring.heads[0].mean)
        self._pre_alpha = np.array([[head.pre_alpha] * width for head in scoring.heads])  # (heads, channels)
        self._alpha = np.array([[head.alpha] * width for head in scoring.heads])  # (heads, channels)
        self._mean = np.array([head.mean for head in scoring.heads])  # (heads, channels)
        self._std = np.array([head.std for head in scoring.heads])  # (heads, channels)
        self._scored = np.ones(self._mean.shape[1], bool) if scored is None else scored  # (channels,)
        self._count = self._scored.sum()
        self._all = bool(self._scored.all())
        self._silent = np.array(
            [(self._forecast & first)[:, None] | ~self._scored for first in (False, True)]
        )
        self._silent.flags.writeable = False
        self._scale = np.array([head.scale for head in scoring.heads])  # (heads,)

    def expectation(self, said: Floats, z: Floats, previous: Floats) -> Floats:
        """What each head expected of this frame, model units, (..., heads, channels).

        Args:
            said: What the heads said at this frame, (..., heads, channels).
            z: This frame, (..., channels): a forecast says the change from here on.
            previous: What the forecasts said one frame ago, (..., heads, channels), 0 for
                other heads; replaced in place by what they say of the next frame.
        """
        expected = said.copy()
        for i in self._forecasts:
            expected[..., i, :] = previous[..., i, :]
            np.add(z, said[..., i, :], out=previous[..., i, :])
        return expected

    def update(
        self, bias: Floats, smoothed: Floats, residual: Floats, *, skip: NDArray[np.bool_] | None
    ) -> None:
        """Take one frame's residuals into the smoothing memory, in place.

        Args:
            bias: Smoothed residuals, model units, (..., heads, channels).
            smoothed: Smoothed squares, (..., heads, channels).
            residual: This frame's residuals, model units, (..., heads, channels).
            skip: True where this frame says nothing, (heads, channels) or as the others;
                ``None`` is nowhere.
        """
        step = residual - bias
        step *= self._pre_alpha
        if skip is not None:
            np.copyto(step, 0.0, where=skip)
        bias += step
        square = np.subtract(bias, self._mean, out=step)
        square /= self._std
        square *= square
        np.minimum(square, self._cap, out=square)
        square -= smoothed
        square *= self._alpha
        if skip is not None:
            np.copyto(square, 0.0, where=skip)
        smoothed += square

    def most_surprised(self, residual: Floats, *, skip: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The head that this frame surprised most, one a channel, (..., channels).

        Its expectation is the one to show beside the reading: another head may have
        followed the fault by now and expect what is read.

        Args:
            residual: This frame's residuals, model units, (..., heads, channels).
            skip: True where this frame says nothing, (heads, channels) or as ``residual``.
        """
        surprise = np.abs(residual - self._mean) / self._std
        heads: NDArray[np.intp] = np.where(skip | ~self._shown, -1.0, surprise).argmax(axis=-2)
        return heads

    def levels(self, smoothed: Floats) -> Floats:
        """Each head's part of the score, (..., heads), from smoothed squares (..., heads, channels)."""
        parts: Floats = np.log1p(self.mean(smoothed) / self._scale) * self.share
        return parts

    @staticmethod
    def fuse(levels: Floats) -> Floats:
        """The score, (...), from what `levels` gives."""
        score: Floats = np.add.reduce(levels, axis=-1)
        return score

    def parts(self, smoothed: Floats, levels: Floats) -> Floats:
        """Each channel's part of the score, (..., channels), sum = score.

        Args:
            smoothed: Smoothed squares, (..., heads, channels).
            levels: Each head's part, from `levels`.
        """
        smoothed = self._only_scored(smoothed)
        total = np.add.reduce(smoothed, axis=-1, keepdims=True)
        parts = smoothed / np.where(total > 0, total, 1.0)
        parts *= levels[..., None]
        summed: Floats = np.add.reduce(parts, axis=-2)
        return summed

    def mean(self, smoothed: Floats) -> Floats:
        """Mean over the scored channels; (..., channels) to (...)."""
        mean: Floats = np.add.reduce(self._only_scored(smoothed), axis=-1) / self._count
        return mean

    def _only_scored(self, smoothed: Floats) -> Floats:
        return smoothed if self._all else np.where(self._scored, smoothed, 0.0)

    def silent(self, *, first: bool) -> NDArray[np.bool_]:
        """Where nothing is ever said: unscored channels, and forecasts at a state's first frame.

        Returns:
            (heads, channels).
        """
        return self.silences(np.intp(first))

    def silences(self, first: NDArray[np.intp] | np.intp) -> NDArray[np.bool_]:
        """`silent` of some frames, (..., heads, channels), by 1 for a first frame and 0 for others, (...)."""
        silent: NDArray[np.bool_] = self._silent[first]
        return silent

    @property
    def whole(self) -> bool:
        """Whether every channel is scored: then nothing is silent but forecasts at first frames."""
        return self._all


def _rank(kind: Kind) -> int:
    return _ERRORS_OF.index(kind) if kind in _ERRORS_OF else len(_ERRORS_OF)
