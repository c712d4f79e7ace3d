"""The port behind which an interpreter stands. Implementations are in `edge_lstm.backends`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backend", "TensorArray"]

TensorArray = NDArray[np.int8] | NDArray[np.float32] | NDArray[Any]


class Backend(Protocol):
    """Runs one step of the model. Holds no state of any stream."""

    @property
    def name(self) -> str:
        """What runs the model, as said in alerts and health: ``litert`` for example."""
        ...

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """Advance one stream by one frame, or a batch of streams by one frame each.

        An int8 model gives a stream the same integers in every batch, whatever its size,
        as alone. When the model cannot be run, the state is as it was before.

        Args:
            frame: The quantized frame, (channels,), or one a stream, (streams, channels);
                any number of streams. In the dtype of the model's input.
            state: Hidden and cell of every layer, in the order of
                `edge_lstm.core.stepper.state_tensors`, each (units,) or (streams, units), in
                the dtype of its tensor; replaced in place by the next state.

        Returns:
            Output tensor name to its content, (channels,) or (streams, channels); not to be
            written to, and valid until the next call.
        """
        ...
