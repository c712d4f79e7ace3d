"""The check that a model's tensors are those of the manifest, whatever runs the model."""

from __future__ import annotations

from collections.abc import Mapping

from edge_lstm.bundle import Bundle
from edge_lstm.contracts.manifest import Tensor
from edge_lstm.errors import BundleError

__all__ = ["check_tensor"]


def check_tensor(bundle: Bundle, said: Tensor, found: Mapping[str, Tensor]) -> None:
    """Refuse a model whose tensor is not exactly what the manifest says.

    By name: hidden and cell have the same shape, so a pairing by position that swaps them would
    run and give plausible nonsense.

    Args:
        bundle: Where both come from.
        said: The manifest's tensor.
        found: Name to tensor of the model's inputs, or outputs.

    Raises:
        BundleError: It is absent or another one.
    """
    real = found.get(said.name)
    if real is None:
        raise BundleError(
            f"model has no tensor '{said.name}'", path=bundle.path, got=", ".join(sorted(found)) or "none"
        )
    if real != said:
        raise BundleError(
            f"tensor '{said.name}' is not the one the manifest describes",
            path=bundle.path,
            expected=f"{said}",
            got=f"{real}",
        )
