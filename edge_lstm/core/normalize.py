"""Channel units to model units and back, with the numbers of the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import AssetScaling

__all__ = ["Normalizer", "normalizers"]

Floats = NDArray[np.float64]


class Normalizer:
    """One asset's scaling.

    Args:
        scaling: Centre and scale, a number a channel, channel units.
        clip: Model units are cut off at +-clip, in training and on the device alike.
    """

    def __init__(self, scaling: AssetScaling, *, clip: float) -> None:
        self.centre: Floats = np.asarray(scaling.centre, np.float64)  # (channels,)
        self.scale: Floats = np.asarray(scaling.scale, np.float64)  # (channels,)
        self._low, self._high = np.asarray(-clip), np.asarray(clip)

    def forward(self, values: Sequence[float] | Floats) -> Floats:
        """Channel units to model units; shape (..., channels)."""
        with np.errstate(over="ignore"):  # what is too large for a double is cut off all the same
            z = (np.asarray(values, np.float64) - self.centre) / self.scale
        return z.clip(self._low, self._high, out=z)

    def backward(self, z: Floats) -> Floats:
        """Model units to channel units; shape (..., channels)."""
        return z * self.scale + self.centre


def normalizers(
    scaling: AssetScaling, assets: Mapping[str, AssetScaling], *, clip: float
) -> tuple[Normalizer, dict[str, Normalizer]]:
    """The normaliser of an asset the bundle does not name, and those of the assets it does."""
    named = {name: Normalizer(one, clip=clip) for name, one in assets.items()}
    return Normalizer(scaling, clip=clip), named
