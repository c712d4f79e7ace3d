"""Frames that were scored, as arrays whose first axis is the frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.frame import Frame
from edge_lstm.contracts.score import StreamStatus
from edge_lstm.core.stream import Stream

__all__ = ["Job", "Page", "Scored", "join"]

Floats = NDArray[np.float64]

Job = tuple[int, int, Stream, Frame]
"""A frame to be scored: number of the reading that made it, its number within that reading, whose it is."""


class Scored(NamedTuple):
    """What is known of some frames once the model is advanced; the first axis is the frame.

    Attributes:
        rows: Their streams' rows.
        values: Channel units, (frames, channels).
        expected: Model units, (frames, heads, channels).
        residual: The same.
        skip: See `Scorer.update`.
        smoothed: Smoothed squares, (frames, heads, channels).
        levels: Each head's part of the score, (frames, heads).
        scores: (frames,).
    """

    rows: NDArray[np.intp]
    values: Floats
    expected: Floats
    residual: Floats
    skip: NDArray[np.bool_] | None
    smoothed: Floats
    levels: Floats
    scores: Floats


class Page(NamedTuple):
    """Frames whose scores somebody wants: jobs, their numbers, and where their streams stand."""

    jobs: Sequence[Job]
    done: Scored
    statuses: Sequence[StreamStatus]

    def pick(self, some: list[int]) -> Page:
        """Some of the frames, by their numbers."""
        if len(some) == len(self.jobs):
            return self
        which = np.array(some, np.intp)
        rows, values, expected, residual, skip, *others = self.done
        if skip is not None and skip.ndim == residual.ndim:
            skip = skip[which]
        smoothed, levels, scores = (array[which] for array in others)
        done = Scored(
            rows[which], values[which], expected[which], residual[which], skip, smoothed, levels, scores
        )
        return Page([self.jobs[i] for i in some], done, [self.statuses[i] for i in some])


def join(pages: Sequence[Page], silent: NDArray[np.bool_]) -> Page:
    """Pages as one.

    Args:
        pages: At least one.
        silent: Stands for ``skip`` where that is ``None``, (heads, channels).
    """
    if len(pages) == 1:
        return pages[0]
    done = [page.done for page in pages]
    skips = [np.broadcast_to(silent if d.skip is None else d.skip, d.residual.shape) for d in done]
    return Page(
        [job for page in pages for job in page.jobs],
        Scored(
            np.concatenate([d.rows for d in done]),
            np.concatenate([d.values for d in done]),
            np.concatenate([d.expected for d in done]),
            np.concatenate([d.residual for d in done]),
            np.concatenate(skips),
            np.concatenate([d.smoothed for d in done]),
            np.concatenate([d.levels for d in done]),
            np.concatenate([d.scores for d in done]),
        ),
        [status for page in pages for status in page.statuses],
    )
