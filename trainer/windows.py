"""Histories of any length as parallel tracks for truncated backpropagation, without padding.

All segments are laid end to end and cut into `tracks` equal pieces that are read side by
side; a mark says where a segment begins, so that the carried state is zeroed there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Chunk", "Tracks", "lay_tracks"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One truncated stretch of every track.

    Attributes:
        x: Readings in model units, (tracks, steps, channels).
        ahead: The reading after each of them, same shape.
        keep: 0 where a segment begins, so the state starts anew, else 1; (tracks, steps).
        seen: 0 where a value was missing, else 1; same shape as x.
        seen_ahead: 0 where the change to the next reading is not known, else 1.
    """

    x: Floats
    ahead: Floats
    keep: Floats
    seen: Floats
    seen_ahead: Floats


@dataclass(frozen=True, slots=True)
class Tracks:
    """Parallel tracks, (tracks, length, ...)."""

    whole: Chunk
    steps: int

    def __len__(self) -> int:
        """Chunks in one pass."""
        return int(self.whole.x.shape[1]) // self.steps

    def __iter__(self) -> Iterator[Chunk]:
        for i in range(len(self)):
            part = slice(i * self.steps, (i + 1) * self.steps)
            w = self.whole
            yield Chunk(
                w.x[:, part], w.ahead[:, part], w.keep[:, part], w.seen[:, part], w.seen_ahead[:, part]
            )


def lay_tracks(segments: Sequence[tuple[Floats, Floats]], *, steps: int, most: int) -> Tracks:
    """Lay segments side by side.

    Args:
        segments: Readings in model units and their marks (1 = seen, 0 = missing), each
            (rows, channels).
        steps: Length of a chunk: how far gradients go back.
        most: Most tracks; short histories get fewer, so that a track is no shorter than
            two chunks where that is possible.
    """
    x = np.concatenate([values for values, _ in segments]).astype(np.float32)
    seen = np.concatenate([marks for _, marks in segments]).astype(np.float32)
    keep = np.ones(len(x), np.float32)
    keep[np.cumsum([0] + [len(values) for values, _ in segments[:-1]])] = 0
    ahead, seen_ahead = np.roll(x, -1, 0), np.roll(seen, -1, 0) * seen * np.roll(keep, -1)[:, None]
    tracks = int(np.clip(len(x) // (2 * steps), 1, most))
    length = max(len(x) // tracks // steps, 1) * steps
    if length > len(x):  # a history shorter than one chunk is read again from its start
        again = np.arange(length) % len(x)
        x, ahead, keep, seen, seen_ahead = (a[again] for a in (x, ahead, keep, seen, seen_ahead))

    def cut(a: Floats) -> Floats:
        # Tracks start at even distances over the history: none of it is dropped for long.
        starts = np.linspace(0, len(a) - length, tracks).astype(int)
        return np.stack([a[s : s + length] for s in starts])

    return Tracks(Chunk(cut(x), cut(ahead), cut(keep), cut(seen), cut(seen_ahead)), steps)
