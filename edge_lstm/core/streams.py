"""The state of every stream, kept as struct of arrays: one row an asset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import AssetScaling, Manifest
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.linear import depth, memory_alphas
from edge_lstm.core.quantize import zero
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import SnapshotError

__all__ = ["Rows", "StreamTable"]

_GROWTH = 2
_REALS = ("linear", "forecast", "bias", "smoothed")
_SMOOTHED_START = 1.0
"""A standardised square is 1 on average on normal data: smoothing starts there, not at 0."""


class Rows(NamedTuple):
    """Some streams of a table: views when it is one stream, else copies that `StreamTable.put` takes back.

    Attributes:
        states: Hidden and cell, in the order of `state_tensors`, each (streams, units).
        linear: (streams, rows, channels).
        forecast: (streams, heads, channels), as are ``bias`` and ``smoothed``.
        bias: Smoothed residuals.
        smoothed: Smoothed squares.
    """

    states: list[TensorArray]
    linear: NDArray[np.float64]
    forecast: NDArray[np.float64]
    bias: NDArray[np.float64]
    smoothed: NDArray[np.float64]


class StreamTable:
    """Arrays of network states, linear memories, forecasts and smoothing; the first axis is the stream.

    Beside these, which are a stream's state, stand three that follow from other facts and
    are not dumped.

    Args:
        manifest: The bundle's facts: names, widths and zero points of the states.
        capacity: Rows to begin with; the table doubles when it is full.

    Attributes:
        centre: Scaling of each stream, (capacity, channels), see `rescale`.
        scale: The same.
        busy: True where an alarm rule has something under way, (capacity,).
    """

    def __init__(self, manifest: Manifest, *, capacity: int = 4) -> None:
        heads, channels = len(manifest.scoring.heads), len(manifest.channels)
        self._states = [pair[0] for pair in state_tensors(manifest)]
        self._arrays: dict[str, NDArray[Any]] = {
            tensor.name: np.full((capacity, tensor.shape[-1]), zero(tensor), tensor.dtype)
            for tensor in self._states
        }
        self._arrays["forecast"] = np.zeros((capacity, heads, channels))
        scored = manifest.scoring.heads
        rows = depth(scored) + len(memory_alphas(scored))
        self._arrays["linear"] = np.full((capacity, rows, channels), np.nan)
        usual = np.array([head.mean for head in manifest.scoring.heads])
        self._arrays["bias"] = np.repeat(usual[None], capacity, axis=0)
        self._arrays["smoothed"] = np.full((capacity, heads, channels), _SMOOTHED_START)
        self._fresh = {name: array[0].copy() for name, array in self._arrays.items()}
        self._common = manifest.scaling
        self.centre, self.scale = np.zeros((capacity, channels)), np.ones((capacity, channels))
        self.busy = np.zeros(capacity, np.bool_)
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._given = 0  # rows that were ever given out; the free ones are among them
        self._records = self._as_records()

    def __len__(self) -> int:
        """Number of streams."""
        return len(self._rows)

    def add(self, asset: str) -> int:
        """Give an asset a fresh row with the common scaling.

        Returns:
            The row, which is the asset's until it is removed.
        """
        if self._free:
            row = self._free.pop()
        else:
            row = self._given
            self._given += 1
            if row == len(self.busy):
                self._grow()
        self._rows[asset] = row
        self.reset(asset)
        self.rescale(asset, self._common)
        self.busy[row] = False
        return row

    def remove(self, asset: str) -> None:
        """Take an asset's row back; the next that is added gets it."""
        self._free.append(self._rows.pop(asset))

    def rescale(self, asset: str, scaling: AssetScaling) -> None:
        """Put an asset's scaling beside its state."""
        row = self._rows[asset]
        self.centre[row], self.scale[row] = scaling.centre, scaling.scale

    def _grow(self) -> None:
        def grown(array: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([array, *[np.zeros_like(array)] * (_GROWTH - 1)])

        self._arrays = {name: grown(array) for name, array in self._arrays.items()}
        self.centre, self.scale, self.busy = grown(self.centre), grown(self.scale), grown(self.busy)
        self._records = self._as_records()

    def _as_records(self) -> dict[str, NDArray[np.void]]:
        """The same memory with a row as one value: NumPy scatters those ten times as fast as numbers."""
        filled = {name: array for name, array in self._arrays.items() if array.size}
        return {name: array.reshape(-1).view(f"V{array[0].nbytes}") for name, array in filled.items()}

    def reset(self, asset: str) -> None:
        """Back to a state that has seen nothing."""
        for name, array in self._arrays.items():
            array[self._rows[asset]] = self._fresh[name]

    def fresh(self, name: str) -> NDArray[np.float64]:
        """A copy of one array of a stream that has seen nothing."""
        return np.array(self._fresh[name], np.float64)

    def states(self, asset: str) -> list[TensorArray]:
        """Views of hidden and cell, in the order of `state_tensors`, each (units,)."""
        row = self._rows[asset]
        return [self._arrays[tensor.name][row] for tensor in self._states]

    def view(self, name: str, asset: str) -> NDArray[np.float64]:
        """``forecast``, ``bias``, ``smoothed`` (heads, channels); ``linear`` (rows, channels)."""
        view: NDArray[np.float64] = self._arrays[name][self._rows[asset]]
        return view

    def row(self, asset: str) -> int:
        """Where an asset stands; it stays there until it is removed."""
        return self._rows[asset]

    def check(self, rows: NDArray[np.intp]) -> None:
        """See that rows of a batch are rows of this table, each once.

        Raises:
            ValueError: They are not.
        """
        counts = np.bincount(rows)  # refuses negative ones
        if len(counts) > self._given or counts.max(initial=0) > 1:
            raise ValueError(f"rows of a batch must be different ones below {self._given}: got {rows}")

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """Some streams, each once, for a step; with `put` it is done."""
        arrays = self._arrays
        if len(rows) == 1:
            one = slice(rows[0], rows[0] + 1)
            linear, forecast, bias, smoothed = (arrays[name][one] for name in _REALS)
            return Rows([arrays[t.name][one] for t in self._states], linear, forecast, bias, smoothed)
        linear, forecast, bias, smoothed = (self.gather(name, rows) for name in _REALS)
        return Rows(self.gather_states(rows), linear, forecast, bias, smoothed)

    def put(self, rows: NDArray[np.intp], taken: Rows) -> None:
        """Put back what `take` gave, changed."""
        if len(rows) == 1:
            return
        self.scatter_states(rows, taken.states)
        for name, array in zip(_REALS, taken[1:], strict=True):
            self.scatter(name, rows, array)

    def gather(self, name: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Copies of the arrays that `view` gives, (streams, ...)."""
        return np.asarray(self._arrays[name].take(rows, axis=0), np.float64)

    def gather_states(self, rows: NDArray[np.intp]) -> list[TensorArray]:
        """Copies of the arrays that `states` gives, each (streams, units)."""
        return [self._arrays[tensor.name].take(rows, axis=0) for tensor in self._states]

    def scatter(self, name: str, rows: NDArray[np.intp], gathered: TensorArray) -> None:
        """Put back an array that `gather` gave."""
        records = self._records.get(name)
        if records is not None:
            records[rows] = gathered.reshape(-1).view(records.dtype)

    def scatter_states(self, rows: NDArray[np.intp], gathered: Sequence[TensorArray]) -> None:
        """Put back what `gather_states` gave."""
        for tensor, array in zip(self._states, gathered, strict=True):
            self.scatter(tensor.name, rows, array)

    def dump(self, asset: str) -> dict[str, bytes]:
        """The asset's row as raw bytes."""
        row = self._rows[asset]
        return {name: array[row].tobytes() for name, array in self._arrays.items()}

    def load(self, asset: str, dumped: dict[str, bytes]) -> None:
        """Put back what `dump` gave.

        Raises:
            SnapshotError: Names or sizes are not this bundle's.
        """
        row = self._rows[asset]
        sizes = {name: array[row].nbytes for name, array in self._arrays.items()}
        got = {name: len(raw) for name, raw in dumped.items()}
        if sizes != got:
            raise SnapshotError(
                f"saved state of asset '{asset}' does not fit the model", expected=f"{sizes}", got=f"{got}"
            )
        for name, array in self._arrays.items():
            array[row] = np.frombuffer(dumped[name], array.dtype).reshape(array[row].shape)
