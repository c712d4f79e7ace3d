"""A history as the readings that it was once, in batches for `edge_lstm.core.detector.Detector.push_many`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from edge_lstm.contracts.reading import Reading
from trainer.data import History, Segment

__all__ = ["batches"]

_BATCH = 1024
"""Readings pushed at once: enough that calls cost little, few enough that progress shows."""


def batches(history: History, asset: str) -> Iterator[list[tuple[int, Reading]]]:
    """Readings and their places in the history; all machines side by side, so that they share steps.

    Args:
        history: The recording.
        asset: Name of the machine where the recording names none.
    """
    parts: dict[str, list[tuple[int, Segment]]] = {}
    first = 0
    for segment in history.segments:
        parts.setdefault(segment.asset or asset, []).append((first, segment))
        first += len(segment.time_ns)
    machines = [_readings(name, some, history.channels) for name, some in parts.items()]
    each = max(1, _BATCH // max(1, len(machines)))
    while batch := [pair for machine in machines for pair in islice(machine, each)]:
        yield batch


def _readings(
    name: str, parts: Sequence[tuple[int, Segment]], channels: tuple[str, ...]
) -> Iterator[tuple[int, Reading]]:
    for first, segment in parts:
        rows = zip(segment.time_ns.tolist(), segment.values.tolist(), strict=True)
        for place, (time_ns, row) in enumerate(rows, first):
            values = {
                channel: None if np.isnan(value) else value
                for channel, value in zip(channels, row, strict=True)
            }
            yield place, Reading(name, time_ns, values)
