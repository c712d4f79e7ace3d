"""Golden vectors for C: readings in channel units, and what the Python package makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_lstm.arrays import read_arrays
from edge_lstm.bundle import GOLDEN, Bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.core.backend import Backend
from edge_lstm.core.detector import Detector
from edge_lstm.core.normalize import Normalizer
from edge_lstm.errors import BundleError
from edge_lstm.selftest import golden_run
from edge_lstm.times import NS
from firmware_tools.c_network import Network
from firmware_tools.c_text import array, integers, real

__all__ = ["STATUS", "golden_text", "held", "scores"]

Floats = NDArray[np.float64]

STATUS = (StreamStatus.WARMING, StreamStatus.NORMAL, StreamStatus.OPEN, StreamStatus.PAUSED)
"""The statuses in the order of the C enumeration."""
_MOST_STEPS = 256
_MISSING_EVERY, _MISSING_FOR = 37, 9
"""Some values are taken away, so that the self-test meets channels without one."""


def golden_text(bundle: Bundle, asset: str, network: Network | None, backend: Backend) -> str:
    """The content of ``golden.h``.

    Args:
        bundle: The bundle; its own golden frames are taken.
        asset: Whose scaling.
        network: Its network, or ``None``.
        backend: The reference kernel.

    Raises:
        BundleError: The bundle's golden frames cannot be read.
    """
    values = _values(bundle, asset)
    manifest = bundle.manifest
    clip, scaling = manifest.scoring.clip, manifest.assets.get(asset, manifest.scaling)
    z = Normalizer(scaling, clip=clip).forward(held(bundle, values))
    said = golden_run(bundle, backend, z)
    found = scores(bundle, asset, backend, values)
    rows = ",\n".join(f"    {{{', '.join(map(_value, row))}}}" for row in values.tolist())
    width = len(manifest.channels)
    parts = [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        "/* Readings, and what the reference kernel and the Python package make of them. */",
        "#ifndef EDGE_LSTM_GOLDEN_H\n#define EDGE_LSTM_GOLDEN_H\n",
        "#include <math.h> /* NAN; no function */\n#include <stdint.h>\n",
        f"#define GOLDEN_STEPS {len(values)}\n",
        f"static const double golden_values[GOLDEN_STEPS][{width}] = {{\n{rows}\n}};\n",
    ]
    if network is not None:
        after = np.concatenate([said[tensor.name] for _, tensor, _ in network.states], axis=1)
        heads = np.concatenate([said[tensor.name] for _, tensor in network.outputs], axis=1)
        parts += [_bytes("golden_network", after), _bytes("golden_said", heads)]
    # Twelve digits: the last ones of a matrix product differ from one machine to the next.
    parts += [
        array("double golden_score[GOLDEN_STEPS]", ", ".join(f"{score.score:.12g}" for score in found)),
        array("uint8_t golden_status[GOLDEN_STEPS]", integers(STATUS.index(score.status) for score in found)),
        "#endif",
    ]
    return "\n".join(parts) + "\n"


def scores(bundle: Bundle, asset: str, backend: Backend, values: Floats) -> list[Score]:
    """What the daemon's detector says to readings, (steps, channels); NaN and infinity are no values."""
    manifest = bundle.manifest
    sure = msgspec.structs.replace(manifest, grid=msgspec.structs.replace(manifest.grid, gap_after_s=1e9))
    detector = Detector(sure, backend, sha256="", node="", weights=bundle.weights(), alarm=AlarmOverrides())
    names = [channel.name for channel in manifest.channels]
    found: list[Score] = []
    for tick, row in enumerate(values.tolist()):
        said: Mapping[str, Any] = {
            name: value if math.isfinite(value) else None  # as the codecs of the daemon do
            for name, value in zip(names, row, strict=True)
        }
        found += [
            event
            for event in detector.push(Reading(asset, tick * NS, dict(said)))
            if isinstance(event, Score)
        ]
    return found


def held(bundle: Bundle, values: Floats) -> Floats:
    """Readings with the last usable value in the place of one that is missing or impossible."""
    channels = bundle.manifest.channels
    low = [-np.inf if c.valid_min is None else c.valid_min for c in channels]
    high = [np.inf if c.valid_max is None else c.valid_max for c in channels]
    out, last = np.empty_like(values), np.array(bundle.manifest.scaling.centre, np.float64)
    for tick, row in enumerate(values):
        last = np.where(np.isfinite(row) & (row >= low) & (row <= high), row, last)
        out[tick] = last
    return out


def _values(bundle: Bundle, asset: str) -> Floats:
    manifest = bundle.manifest
    try:
        frames = np.asarray(read_arrays(bundle.read(GOLDEN))["frames"][:_MOST_STEPS], np.float64)
        scaling = Normalizer(manifest.assets.get(asset, manifest.scaling), clip=manifest.scoring.clip)
        values = scaling.backward(frames)
    except (ValueError, KeyError) as error:
        raise BundleError(
            f"golden vectors cannot be read: {error}", path=bundle.path, do="build the bundle again"
        ) from error
    for n, start in enumerate(range(_MISSING_EVERY, len(values), _MISSING_EVERY)):
        values[start : start + _MISSING_FOR, n % values.shape[1]] = np.nan
    return values


def _value(value: float) -> str:
    return "NAN" if math.isnan(value) else real(value)


def _bytes(name: str, rows: NDArray[np.int8]) -> str:
    lines = ",\n".join(f"    {{{integers(row)}}}" for row in rows.tolist())
    return f"static const int8_t {name}[GOLDEN_STEPS][{rows.shape[1]}] = {{\n{lines}\n}};\n"
