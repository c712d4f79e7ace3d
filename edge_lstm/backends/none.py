"""For bundles whose members need no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_lstm.core.backend import TensorArray

__all__ = ["NoNetwork"]


class NoNetwork:
    """Says nothing: the linear members are run by `edge_lstm.core.linear`."""

    name = "numpy"

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:  # noqa: ARG002 - the port's
        """No outputs."""
        return {}
