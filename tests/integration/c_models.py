"""Bundles of every form, made in a second without training, and readings that open and close episodes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends.none import NoNetwork
from edge_lstm.backends.reference import ReferenceBackend
from edge_lstm.bundle import GOLDEN, MODEL, WEIGHTS, Bundle, open_bundle, write_bundle
from edge_lstm.contracts.manifest import AssetScaling, Channel, Grid, Head, Kind, Manifest, Scoring, Threshold
from edge_lstm.core.backend import Backend
from edge_lstm.selftest import golden_run
from edge_lstm.testing import fake_manifest
from firmware_tools.c_golden import scores

__all__ = ["backend_of", "make_bundle", "readings"]

Floats = NDArray[np.float64]
_PERIOD_ROWS = 1000
EIGHT = tuple(Channel(f"c{i}", "V") for i in range(8))


def backend_of(bundle: Bundle) -> Backend:
    """What C must equal."""
    return ReferenceBackend(bundle) if bundle.manifest.input else NoNetwork()


def make_bundle(
    path: Path,
    kinds: Sequence[Kind] = ("reconstruction", "forecast", "var"),
    *,
    channels: Sequence[Channel] = EIGHT,
    level: float | None = None,
    lags: tuple[int, ...] = (1, 3),
    memory: tuple[float, ...] = (0.05, 0.3),
    **changes: Any,  # noqa: ANN401 - fields of the model's shape or of the manifest
) -> Bundle:
    """Write a bundle with random weights and a threshold that its own readings cross now and then.

    Args:
        path: Where to.
        kinds: Heads.
        channels: Channels.
        lags: Of the autoregression.
        memory: Of the autoregression.
        level: Threshold; ``None`` is between usual and wild scores.
        changes: ``shape`` for the network, the rest for the manifest.
    """
    width, rng = len(channels), np.random.default_rng(3)
    files: dict[str, bytes] = {}
    facts: dict[str, Any] = {"inputs": (), "outputs": (), "input": "", "states": ()}
    if {"reconstruction", "forecast"} & {*kinds}:
        converted = _network(width, **changes.pop("shape", {}))
        files[MODEL] = converted.content
        facts = {
            "inputs": converted.inputs,
            "outputs": converted.outputs,
            "states": converted.states,
            "input": "frame",
        }
    heads = [_head(kind, width, lags, memory) for kind in kinds]
    arrays = {
        head.output: 0.3 * rng.normal(size=(1 + width * (len(head.lags) + len(head.memory)), width))
        for head in heads
        if head.lags or head.memory
    }
    if arrays:
        files[WEIGHTS] = _npz(arrays)
    facts |= {
        "channels": tuple(channels),
        "scaling": AssetScaling(
            tuple(rng.normal(size=width).tolist()), tuple(rng.uniform(0.5, 3, width).tolist())
        ),
        "grid": Grid(1.0, 10.0, 3, 20),
        "scoring": Scoring(8.0, 1000.0, tuple(heads)),
        "threshold": Threshold(1e9 if level is None else level, 0.8, 2, 5, 7, 2.0, 2.0, extrapolated=True),
        "golden_tolerance": 0,
    }
    manifest = msgspec.structs.replace(fake_manifest(), **{**facts, **changes})
    if level is None:
        manifest = _calibrated(manifest, files)
    held = Bundle(path, "", manifest, files)
    frames = rng.normal(size=(64, width)).clip(-8, 8)
    answers: dict[str, Any] = golden_run(held, backend_of(held), frames)
    write_bundle(path, manifest, {**files, GOLDEN: _npz({"frames": frames, **answers})})
    return open_bundle(path)


def _calibrated(manifest: Manifest, files: dict[str, bytes]) -> Manifest:
    """With a level between a usual score and that of a fault."""
    bundle = Bundle(Path("memory"), "", manifest, files)
    found = scores(bundle, "asset", backend_of(bundle), readings(manifest, 2 * _PERIOD_ROWS, seed=9))
    level = float(np.quantile([score.score for score in found[100:]], 0.9))
    return msgspec.structs.replace(
        manifest, threshold=msgspec.structs.replace(manifest.threshold, level=level)
    )


def _network(channels: int, **shape: Any) -> Any:  # noqa: ANN401 - TensorFlow has no types
    from trainer.convert import Representative, convert
    from trainer.model import Autoencoder, Shape

    wanted = Shape(channels, **shape)
    rng = np.random.default_rng(0)
    states = tuple(rng.normal(size=(50, width)).astype(np.float32) for width in wanted.widths)
    frames = 2 * rng.normal(size=(50, channels)).astype(np.float32)
    return convert(Autoencoder(wanted, seed=0), Representative(frames, states))


def _head(kind: Kind, width: int, lags: tuple[int, ...], memory: tuple[float, ...]) -> Head:
    takes: dict[str, tuple[int, ...]] = {"pca_q": (0,), "pca_t2": (0,), "var": lags}
    rng = np.random.default_rng(len(kind))
    return Head(
        kind,
        "" if kind == "level" else kind,
        0.4 if kind == "level" else 1.0,
        0.2,
        tuple((0.1 * rng.normal(size=width)).tolist()),
        tuple(rng.uniform(0.5, 2, width).tolist()),
        float(rng.uniform(0.5, 2)),
        takes.get(kind, ()),
        memory if kind == "var" else (),
    )


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def readings(manifest: Manifest, rows: int, *, seed: int = 0) -> Floats:
    """Oscillations with noise; faults, missing, infinite and enormous values in every thousand rows.

    Returns:
        Channel units, (rows, channels).
    """
    centre, scale = np.array(manifest.scaling.centre), np.array(manifest.scaling.scale)
    width, rng, t = len(centre), np.random.default_rng(seed), np.arange(rows)
    z = np.stack([np.sin(t / (5 + 3 * i)) + 0.5 * np.sin(t / 400) for i in range(width)], 1)
    z = 0.7 * z + 0.2 * rng.normal(size=z.shape)
    place = t % _PERIOD_ROWS
    z[(place >= 500) & (place < 540)] *= 4
    values: Floats = z * scale + centre
    for start in range(0, rows, _PERIOD_ROWS):
        channel = (start // _PERIOD_ROWS) % width
        values[start + 300 : start + 312, channel] = np.nan
        values[start + 700 : start + 702] = np.nan
        values[start + 800 : start + 801, channel] = np.inf
        values[start + 850 : start + 851, channel] = 1e290
        values[start + 851 : start + 852, channel] = -1e290
    return values
