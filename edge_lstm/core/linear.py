"""Linear members: principal components and vector autoregression, one frame at a time.

On the device they are one thing: what is expected of a frame is a linear map of the frame
itself (PCA: Jackson & Mudholkar 1979 for Q, Hotelling 1947 for T2), or of the frames before
(vector autoregression: Luetkepohl 2005). An autoregression may also take moving averages of
the past at several speeds, which hold a long memory in few numbers (the heterogeneous
autoregression of Corsi 2009, with exponential averages instead of boxes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Head
from edge_lstm.errors import BundleError

__all__ = ["LinearMembers", "depth", "memory_alphas"]

Floats = NDArray[np.float64]


def depth(heads: Sequence[Head]) -> int:
    """How many past frames the heads look back on."""
    return max((lag for head in heads for lag in head.lags), default=0)


def memory_alphas(heads: Sequence[Head]) -> tuple[float, ...]:
    """The speeds of all moving averages, each once."""
    return tuple(sorted({alpha for head in heads for alpha in head.memory}, reverse=True))


class LinearMembers:
    """All linear heads of a bundle, for streams whose memory lives elsewhere.

    A stream's memory is one array, (depth + averages, channels): the last frames, newest
    first, and below them the moving averages of the frames so far. A fresh one is NaN.

    Args:
        heads: The bundle's heads, linear or not.
        weights: Array name to (1 + regressors * channels, channels), the first row the bias.

    Raises:
        BundleError: A head's array is missing or has another shape.
    """

    def __init__(self, heads: Sequence[Head], weights: Mapping[str, Floats]) -> None:
        self._depth, alphas = depth(heads), memory_alphas(heads)
        self._alphas = np.array(alphas).reshape(-1, 1)
        self._past = all(0 not in head.lags for head in heads)
        self._maps: list[tuple[int, NDArray[np.intp] | None, Floats, Floats]] = []
        for i, head in enumerate(heads):
            if not (head.lags or head.memory):
                continue
            rows = [*head.lags, *(1 + self._depth + alphas.index(alpha) for alpha in head.memory)]
            channels = len(head.mean)
            matrix = weights.get(head.output)
            wanted = (1 + len(rows) * channels, channels)
            if matrix is None or matrix.shape != wanted or not np.isfinite(matrix).all():
                raise BundleError(
                    f"the weights of head '{head.kind}' cannot be used",
                    expected=f"array '{head.output}' of shape {wanted}, finite",
                    got="none" if matrix is None else f"{matrix.shape}",
                    do="build the bundle again",
                )
            known = self._depth + len(alphas) + (not self._past)  # rows that there are to take from
            first = [row - self._past for row in rows]
            places = (np.array(first)[:, None] * channels + np.arange(channels)).ravel()
            all_in_order = first == list(range(known))
            self._maps.append((i, None if all_in_order else places, matrix[0], matrix[1:]))

    def expect(self, z: Floats, memory: Floats, out: Floats) -> None:
        """Write what the linear heads expect of a frame, and take the frame into the memory.

        Args:
            z: The frame in model units, (..., channels).
            memory: The stream's memory, (..., depth + averages, channels); replaced in place.
            out: (..., heads, channels); rows of other heads are left as they are.
        """
        if not self._maps:
            return
        flat = memory.reshape(-1)
        if math.isnan(flat.dot(flat)):  # a fresh memory: as if the first frame had been there for ever
            memory[:] = np.where(np.isnan(memory), z[..., None, :], memory)
        # Where no head looks at the frame itself, the memory is all there is to know.
        known = memory if self._past else np.concatenate([z[..., None, :], memory], axis=-2)
        flat = known.reshape(*z.shape[:-1], 1, known.shape[-2] * known.shape[-1])
        for i, places, bias, matrix in self._maps:
            # One row a product: of many rows at once BLAS adds up in another order, and a
            # stream must be told the same, bit for bit, in a batch as alone.
            taken = flat if places is None else flat.take(places, axis=-1)
            np.add(bias, (taken @ matrix)[..., 0, :], out=out[..., i, :])
        if self._depth:
            if self._depth > 1:
                memory[..., 1 : self._depth, :] = memory[..., : self._depth - 1, :].copy()
            memory[..., 0, :] = z
        slow = memory[..., self._depth :, :]
        slow += self._alphas * (z[..., None, :] - slow)
