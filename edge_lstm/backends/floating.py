"""The float network of a bundle that kept it, to hold int8 against; never for a daemon."""

from __future__ import annotations

import msgspec

from edge_lstm.bundle import FLOAT, MODEL, Bundle
from edge_lstm.contracts.manifest import Tensor
from edge_lstm.errors import BundleError
from edge_lstm.model_file import read_model

__all__ = ["float_bundle"]


def float_bundle(bundle: Bundle) -> Bundle:
    """The same bundle with the float network in place of the int8 one.

    Scaling, heads and threshold stay those of the int8 network: what differs in the end is the
    network's arithmetic alone.

    Raises:
        BundleError: It holds no float network, or one that cannot be read.
    """
    if FLOAT not in bundle.members:
        raise BundleError(
            "the bundle holds no float network",
            path=bundle.path,
            got=", ".join(sorted(bundle.members)),
            do="build it with 'edge-lstm train --keep-float'",
        )
    try:
        graph = read_model(bundle.members[FLOAT])
        found = {graph.tensors[i].name: graph.tensors[i] for i in (*graph.inputs, *graph.outputs)}
        inputs, outputs = (
            tuple(Tensor(t.name, found[t.name].shape, found[t.name].dtype, 0.0, 0) for t in tensors)
            for tensors in (bundle.manifest.inputs, bundle.manifest.outputs)
        )
    except (ValueError, KeyError) as error:
        raise BundleError(f"{FLOAT} cannot be used: {error}", path=bundle.path) from error
    for said, there in zip(
        (*bundle.manifest.inputs, *bundle.manifest.outputs), (*inputs, *outputs), strict=True
    ):
        if (there.shape, there.dtype) != (said.shape, "float32"):
            raise BundleError(
                f"{FLOAT} is not the float form of this bundle's network: tensor '{said.name}'",
                path=bundle.path,
                expected=f"float32 of shape {said.shape}",
                got=f"{there.dtype} of shape {there.shape}",
            )
    manifest = msgspec.structs.replace(bundle.manifest, inputs=inputs, outputs=outputs)
    return Bundle(bundle.path, bundle.sha256, manifest, {**bundle.members, MODEL: bundle.members[FLOAT]})
