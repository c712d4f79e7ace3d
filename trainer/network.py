"""The network of a finished training, whatever its bundle ships."""

from __future__ import annotations

import msgspec

from edge_lstm.contracts.manifest import Manifest
from trainer.build import Built
from trainer.convert import FRAME

__all__ = ["with_network"]


def with_network(built: Built) -> Manifest:
    """The manifest with the int8 network's tensors, which a bundle of linear members leaves out."""
    converted = built.converted
    return msgspec.structs.replace(
        built.manifest,
        inputs=converted.inputs,
        outputs=converted.outputs,
        input=FRAME,
        states=converted.states,
    )
