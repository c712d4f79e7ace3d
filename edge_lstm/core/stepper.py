"""One step of the model in real numbers: quantize, run, give back what the heads say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Manifest, Tensor
from edge_lstm.core.backend import Backend, TensorArray
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
        backend: What runs the model.
    """

    def __init__(self, manifest: Manifest, backend: Backend) -> None:
        outputs = {tensor.name: tensor for tensor in manifest.outputs}
        self._backend = backend
        self._input = next(t for t in manifest.inputs if t.name == manifest.input)
        self._heads = [outputs.get(head.output) for head in manifest.scoring.heads]

    def step(self, z: Floats, state: Sequence[TensorArray]) -> Floats:
        """Advance one stream by one frame.

        Args:
            z: The frame in model units, (channels,).
            state: The stream's state arrays; replaced in place.

        Returns:
            What each head says, model units, (heads, channels); 0 for a head without output.
        """
        said = self._backend.step(quantize(z, self._input), state)
        out = np.zeros((len(self._heads), len(z)))
        for row, head in zip(out, self._heads, strict=True):
            if head is not None:
                row[:] = dequantize(said[head.name], head)
        return out
