"""The only package that imports an interpreter."""

from __future__ import annotations

from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.backends.none import NoNetwork
from edge_lstm.bundle import Bundle
from edge_lstm.core.backend import Backend

__all__ = ["load_backend"]


def load_backend(bundle: Bundle) -> Backend:
    """The best backend of this board for a bundle's network; today there is one.

    Raises:
        BackendError: No interpreter is installed, or it refuses the model.
        BundleError: The model's tensors are not those of the manifest.
    """
    return LiteRtBackend(bundle) if bundle.manifest.input else NoNetwork()
