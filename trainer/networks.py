"""A network that is not in a bundle yet, run as a device would run it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.contracts.manifest import Manifest
from trainer.convert import Converted

__all__ = ["backend_of", "with_tensors_of"]


def backend_of(manifest: Manifest, converted: Converted) -> LiteRtBackend:
    """What runs a network whose tensors are those of the manifest."""
    return LiteRtBackend(Bundle(Path("memory"), "", manifest, {MODEL: converted.content}))


def with_tensors_of(manifest: Manifest, converted: Converted) -> Manifest:
    """The manifest with the tensors of one form of its network: int8, or float."""
    return msgspec.structs.replace(manifest, inputs=converted.inputs, outputs=converted.outputs)
