"""What int8 and float are replayed on: held-out rows, the same with injected faults, labelled recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_lstm.core.normalize import normalizers
from trainer.fidelity import Labelled, Material
from trainer.inject import inject
from trainer.labelled import LabelledStretch
from trainer.normal_runs import cut_runs
from trainer.prepare import Prepared
from trainer.scale import CLIP
from trainer.split import Part, hold

__all__ = ["held_out_stretches", "labelled_of", "material_of"]

Floats = NDArray[np.float64]

LEAD, HORIZON, RUNS = 60, 60, 200


def held_out_stretches(prepared: Prepared, *, lead: int) -> list[Floats]:
    """Rows that judge, in model units, not clipped: an array an unbroken stretch of scored rows.

    Args:
        prepared: Stretches with held-out rows, and the scaling.
        lead: Rows before them that come along, to bring a state up.
    """
    default, named = normalizers(prepared.scaling, prepared.assets, clip=math.inf)
    usual = [part for part in prepared.parts if not part.odd and len(part.values) > part.validation]
    return [
        named.get(part.asset, default).forward(rows)
        for part in usual
        for rows in _unpaused(part, max(0, part.validation - lead))
    ]


def _unpaused(part: Part, first: int) -> list[Floats]:
    """The unbroken stretches of rows that are scored, from a row on; an empty one where there is none."""
    paused = part.paused[first:]
    pieces = np.split(np.arange(len(paused)), np.flatnonzero(np.diff(paused)) + 1)
    return [part.values[first:][rows] for rows in pieces if not paused[rows[0]]] or [part.values[:0]]


def material_of(prepared: Prepared, scored: NDArray[np.bool_], *, rows: int, seed: int) -> Material:
    """One pass: held-out rows, then runs of them with a fault each.

    Args:
        prepared: Stretches with held-out rows, and the scaling.
        scored: True for channels that are scored, (channels,): faults go into these.
        rows: Most rows of each of the two.
        seed: Same seed, same faults.
    """
    stretches = held_out_stretches(prepared, lead=0)
    share = min(1.0, rows / sum(len(one) for one in stretches))
    chosen = [one[len(one) - round(len(one) * share) :] for one in stretches]
    runs = cut_runs(stretches, lead=LEAD, horizon=HORIZON, most=RUNS)
    runs = replace(runs, scored=np.flatnonzero(scored).astype(np.int64))
    faults = inject(runs, most_rows=rows, seed=seed)
    count, length, channels = faults.runs.shape
    marks = (np.arange(length) >= faults.start[:, None]) & (np.arange(length) < faults.stop[:, None])
    z = np.concatenate([*chosen, faults.runs.reshape(count * length, channels)])
    faulty = np.concatenate([np.zeros(sum(map(len, chosen)), np.bool_), marks.ravel()])
    return Material(np.clip(z, -CLIP, CLIP), faulty)


def labelled_of(prepared: Prepared, stretches: Sequence[LabelledStretch]) -> list[Labelled]:
    """Labelled stretches in model units, clipped as on the device."""
    default, named = normalizers(prepared.scaling, prepared.assets, clip=CLIP)
    found = []
    for one in stretches:
        scaling = named.get(one.segment.asset, default)
        found.append(Labelled(scaling.forward(hold(one.segment.values, scaling.centre)), one.marks))
    return found
