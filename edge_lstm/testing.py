"""Fakes that ship with the product: a model without an interpreter, for your tests and ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edge_lstm import __version__
from edge_lstm.contracts.manifest import (
    FORMAT,
    AssetScaling,
    Channel,
    Grid,
    Head,
    Manifest,
    Scoring,
    State,
    Tensor,
    Threshold,
)
from edge_lstm.core.backend import TensorArray

__all__ = ["FakeBackend", "fake_manifest"]

_UNITS = 4


def fake_manifest(channels: Sequence[str] = ("a", "b"), **changes: Any) -> Manifest:  # noqa: ANN401 - any field
    """A manifest for `FakeBackend`: period 1 s, centre 0, scale 1, threshold 1, no warm-up.

    Args:
        channels: Names of the channels.
        changes: Fields of the manifest to replace.
    """
    width = len(channels)
    zeros, ones = (0.0,) * width, (1.0,) * width
    frame = Tensor("frame", (1, width), "int8", 8 / 127, 0)
    outs = [Tensor(name, (1, width), "int8", 8 / 127, 0) for name in ("reconstruction", "forecast")]
    hidden = [Tensor(f"hidden_{way}_0", (1, _UNITS), "int8", 1 / 127, 0) for way in ("in", "out")]
    cell = [Tensor(f"cell_{way}_0", (1, _UNITS), "int8", 4 / 127, 3) for way in ("in", "out")]
    manifest = Manifest(
        format=FORMAT,
        min_runtime=__version__,
        id="fake",
        version="1",
        created="2026-01-01T00:00:00.000Z",
        files={},
        inputs=(frame, hidden[0], cell[0]),
        outputs=(*outs, hidden[1], cell[1]),
        input="frame",
        states=(State("hidden_in_0", "hidden_out_0"), State("cell_in_0", "cell_out_0")),
        channels=tuple(Channel(name, "V") for name in channels),
        scaling=AssetScaling(zeros, ones),
        assets={},
        grid=Grid(1.0, 10.0, 3, 0),
        scoring=Scoring(
            8.0,
            1e6,
            (
                Head("reconstruction", "reconstruction", 1.0, 0.5, zeros, ones, 1.0),
                Head("forecast", "forecast", 1.0, 0.5, zeros, ones, 1.0),
                Head("level", "", 0.5, 0.5, zeros, ones, 1.0),
            ),
        ),
        threshold=Threshold(1.0, 0.8, 2, 2, 0, 2.0, 2.0, extrapolated=False),
        golden_tolerance=0,
        training={},
        metrics={},
    )
    return msgspec.structs.replace(manifest, **changes)


class FakeBackend:
    """A model in a few lines: hidden follows the frame, cell counts, the heads say what hidden holds.

    Integer arithmetic only, so that two runs are equal bit for bit, and every answer
    depends on the whole past, so that a lost or doubled step shows.
    """

    name = "fake"

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance one stream or a batch; see `edge_lstm.core.backend.Backend.step`."""
        hidden, cell = state
        drive = frame.astype(np.int64).sum(axis=-1, keepdims=True)
        hidden[:] = (hidden.astype(np.int64) * 3 // 4 + drive // 4).clip(-128, 127).astype(np.int8)
        counted = cell.astype(np.int64) * 5 + hidden + np.arange(cell.shape[-1])
        cell[:] = ((counted + 128) % 256 - 128).astype(np.int8)
        width = frame.shape[-1]
        said = np.repeat(hidden[..., :1], width, axis=-1)
        return {"reconstruction": said, "forecast": (cell[..., :1] // 16).repeat(width, axis=-1)}
