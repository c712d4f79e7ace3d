"""The bundle from what was built, proved by its own selftest."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends import load_backend
from edge_lstm.bundle import CARD, FLOAT, GOLDEN, MODEL, REPORT, WEIGHTS, Bundle, write_bundle
from edge_lstm.selftest import golden_run, verify
from trainer.build import Built

__all__ = ["GOLDEN_STEPS", "golden", "members_of", "pack"]

Floats = NDArray[np.float64]

GOLDEN_STEPS = 256
_FAR = 4.0
"""How many times as far from the centre the second half of the golden frames is: where ranges end."""


def golden(built: Built) -> bytes:
    """Golden vectors: held-out frames, half of them stretched, and all that the model answers."""
    last = max(built.traces, key=lambda one: len(one.z) - one.part.validation + one.start)
    frames = last.z[-GOLDEN_STEPS:].copy()
    half, clip = len(frames) // 2, built.manifest.scoring.clip
    frames[half:] = np.clip(_FAR * frames[half:], -clip, clip)
    bundle = Bundle(Path("memory"), "", built.manifest, members_of(built))
    buffer = BytesIO()
    answers: dict[str, Any] = golden_run(bundle, load_backend(bundle), frames)
    np.savez(buffer, frames=frames, **answers)
    return buffer.getvalue()


def members_of(built: Built) -> dict[str, bytes]:
    """The files that the heads need: the network, the weights of the linear members."""
    outputs = [head.output for head in built.manifest.scoring.heads]
    needed = {name: built.weights[name] for name in outputs if name in built.weights}
    files = {MODEL: built.converted.content} if built.manifest.input else {}
    if files and built.keep_float:
        files[FLOAT] = built.float_converted.content
    if needed:
        buffer = BytesIO()
        np.savez(buffer, allow_pickle=False, **needed)
        files[WEIGHTS] = buffer.getvalue()
    return files


def pack(built: Built, out: Path, *, card: str, report: str) -> Bundle:
    """Write the bundle and prove it by its own selftest.

    Raises:
        BundleError: The place cannot be written to.
        SelfTestError: The bundle does not come out on the machine that built it.
    """
    members = {
        **members_of(built),
        GOLDEN: golden(built),
        CARD: card.encode(),
        REPORT: report.encode(),
    }
    check = Bundle(out, "", built.manifest, members)
    verify(check, load_backend(check))
    sha256 = write_bundle(out, built.manifest, members)
    return Bundle(out, sha256, built.manifest, members)
