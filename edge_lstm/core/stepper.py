"""One step of all members in real numbers: quantize, run, give back what the heads say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Manifest, Tensor
from edge_lstm.core.backend import Backend, TensorArray
from edge_lstm.core.linear import LinearMembers
from edge_lstm.core.quantize import dequantize, quantize

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
        heads = manifest.scoring.heads
        self._backend = backend
        self._input = next((t for t in manifest.inputs if t.name == manifest.input), None)
        self._said = [(i, outputs[head.output]) for i, head in enumerate(heads) if head.output in outputs]
        self._linear = LinearMembers(heads, weights)
        self._heads = len(heads)

    def step(self, z: Floats, state: Sequence[TensorArray], memory: Floats) -> Floats:
        """Advance one stream by one frame.

        Args:
            z: The frame in model units, (channels,).
            state: The stream's state arrays; replaced in place.
            memory: The linear heads' memory of the stream; replaced in place.

        Returns:
            What each head says, model units, (heads, channels); 0 for a head without a model.
        """
        out = np.zeros((self._heads, len(z)))
        if self._input is not None:
            said = self._backend.step(quantize(z, self._input), state)
            for i, tensor in self._said:
                out[i] = dequantize(said[tensor.name], tensor)
        self._linear.expect(z, memory, out)
        return out
