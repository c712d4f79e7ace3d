"""One step of all members in real numbers: quantize, run, give back what the heads say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Manifest, Tensor
from edge_lstm.core.backend import Backend, TensorArray
from edge_lstm.core.linear import LinearMembers
from edge_lstm.core.lookup import WIDEST, RealTable, steps
from edge_lstm.core.quantize import dequantize, quantize

if TYPE_CHECKING:
    from edge_lstm.core.streams import StreamTable  # it imports this module

__all__ = ["Stepper", "state_tensors"]

Floats = NDArray[np.float64]


def state_tensors(manifest: Manifest) -> list[tuple[Tensor, Tensor]]:
    """(input, output) tensor of every state, in the manifest's order."""
    inputs = {tensor.name: tensor for tensor in manifest.inputs}
    outputs = {tensor.name: tensor for tensor in manifest.outputs}
    return [(inputs[state.input], outputs[state.output]) for state in manifest.states]


class Stepper:
    """Steps streams whose states live elsewhere.

    Args:
        manifest: The bundle's facts.
        backend: What runs the network.
        weights: Arrays of the linear heads, see `LinearMembers`.

    Raises:
        BundleError: The weights do not fit the heads.
    """

    def __init__(self, manifest: Manifest, backend: Backend, weights: Mapping[str, Floats]) -> None:
        outputs = {tensor.name: tensor for tensor in manifest.outputs}
        heads, channels = manifest.scoring.heads, len(manifest.channels)
        self._network, self._linear = backend.step, LinearMembers(heads, weights)
        self._input = next((t for t in manifest.inputs if t.name == manifest.input), None)
        self._said = [outputs.get(head.output) for head in heads]
        whole = {"int8"} == {t.dtype for t in (self._input, *self._said) if t}
        self._by_tables = self._input is not None and whole and channels <= WIDEST
        if self._input is not None and self._by_tables:
            self._frame, self._search = np.empty(channels, np.int8), steps(self._input).searchsorted
            table = RealTable(self._said, channels)
            self._reals, rows = table.reals, zip(self._said, table.rows, strict=True)
            self._rows = [(tensor.name, row) for tensor, row in rows if tensor]

    def step(self, z: Floats, state: Sequence[TensorArray], memory: Floats) -> Floats:
        """Advance one stream by one frame.

        Args:
            z: The frame in model units, (channels,).
            state: The stream's state arrays, (units,) each; replaced in place.
            memory: The linear heads' memory of the stream; replaced in place.

        Returns:
            What each head says, model units, (heads, channels); 0 for a head without a model.
        """
        if not self._by_tables:  # float models, and more channels than a search is worth for
            return self.step_batch(z, state, memory)
        frame = self._frame
        frame[...] = self._search(z, "right")
        said = self._network(frame, state)
        for name, row in self._rows:
            row[...] = said[name]
        out = self._reals()
        self._linear.expect(z, memory, out)
        return out

    def step_batch(self, z: Floats, state: Sequence[TensorArray], memory: Floats) -> Floats:
        """Advance some streams by one frame each; every stream is told the same as alone.

        Args:
            z: Their frames in model units, (streams, channels); or (channels,), and then the
                others have no dimension of streams either.
            state: Their state arrays, (streams, units) each; replaced in place.
            memory: The linear heads' memories, (streams, rows, channels); replaced in place.

        Returns:
            What each head says, see `step`, (streams, heads, channels).
        """
        out = np.zeros((len(self._said), *z.shape))
        if self._input is not None:
            said = self._network(quantize(z, self._input), state)
            for row, tensor in zip(out, self._said, strict=True):
                if tensor is not None:
                    dequantize(said[tensor.name], tensor, row)
        out = out.swapaxes(0, -2)
        self._linear.expect(z, memory, out)
        return out

    def step_rows(self, table: StreamTable, rows: NDArray[np.intp], z: Floats) -> Floats:
        """Advance some streams of a table by one frame each: gather, one step, scatter.

        When the network cannot be run, the table is as it was before.

        Args:
            table: The streams.
            rows: Their rows, see `StreamTable.row`, (streams,), each once, in any order.
            z: Their frames in model units, (streams, channels).

        Returns:
            What each head says, (streams, heads, channels).

        Raises:
            ValueError: A stream is there twice, and its second frame would start from the
                state before the first; or a row is not there.
        """
        table.check(rows)
        state, memory = table.gather_states(rows), table.gather("linear", rows)
        out = self.step_batch(z, state, memory)
        table.scatter_states(rows, state)
        table.scatter("linear", rows, memory)
        return out
