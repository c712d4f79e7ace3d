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
        past: The readings each lag before, lag by lag, (tracks, steps, lags * channels).
        keep: 0 where a segment begins, so the state starts anew, else 1; (tracks, steps).
        seen: 0 where a value was missing, else 1; same shape as x.
        seen_ahead: 0 where the change to the next reading is not known, else 1.
        seen_past: 0 where a value was missing or lies before the state began; same shape as past.
    """

    x: Floats
    ahead: Floats
    past: Floats
    keep: Floats
    seen: Floats
    seen_ahead: Floats
    seen_past: Floats


@dataclass(frozen=True, slots=True)
class Tracks:
    """Parallel tracks.

    Attributes:
        x, ahead, keep, seen, seen_ahead: As in `Chunk`, of the whole length.
        age: Rows since the state began, with its segment or with the track, (tracks, length).
        steps: Length of a chunk.
        lags: Ages of the readings in `Chunk.past`, steps.
    """

    x: Floats
    ahead: Floats
    keep: Floats
    seen: Floats
    seen_ahead: Floats
    age: NDArray[np.int64]
    steps: int
    lags: tuple[int, ...]

    def __len__(self) -> int:
        """Chunks in one pass."""
        return int(self.x.shape[1]) // self.steps

    def __iter__(self) -> Iterator[Chunk]:
        for i in range(len(self)):
            part = slice(i * self.steps, (i + 1) * self.steps)
            past, seen_past = self._past(part)
            x, ahead, keep = self.x[:, part], self.ahead[:, part], self.keep[:, part]
            yield Chunk(x, ahead, past, keep, self.seen[:, part], self.seen_ahead[:, part], seen_past)

    def _past(self, part: slice) -> tuple[Floats, Floats]:
        """Lagged readings and their marks; they reach into earlier chunks, never past a beginning."""
        past, seen = [self.x[:, part, :0]], [self.x[:, part, :0]]
        for lag in self.lags:
            before = np.maximum(np.arange(part.start, part.stop) - lag, 0)
            known = (self.age[:, part] >= lag)[..., None]
            past.append(self.x[:, before])
            seen.append(np.where(known, self.seen[:, before], np.float32(0)))
        return np.concatenate(past, axis=2), np.concatenate(seen, axis=2)


def _age(keep: Floats) -> NDArray[np.int64]:
    """Rows since the state began, with its segment or with the track, (tracks, length)."""
    rows = np.arange(keep.shape[1])
    began = np.maximum.accumulate(np.where(keep == 0, rows, 0), axis=1)
    return rows - began


def lay_tracks(
    segments: Sequence[tuple[Floats, Floats]], *, steps: int, most: int, lags: tuple[int, ...] = ()
) -> Tracks:
    """Lay segments side by side.

    Args:
        segments: Readings in model units and their marks (1 = seen, 0 = missing), each
            (rows, channels).
        steps: Length of a chunk: how far gradients go back.
        most: Most tracks; short histories get fewer, so that a track is no shorter than
            two chunks where that is possible.
        lags: Ages of the earlier readings to hand over beside each, steps.
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

    kept = cut(keep)
    return Tracks(cut(x), cut(ahead), kept, cut(seen), cut(seen_ahead), _age(kept), steps, lags)
