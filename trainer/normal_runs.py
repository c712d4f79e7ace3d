"""Normal history cut into runs of one length: rows that bring a state up, and rows that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NormalRuns", "cut_runs"]

Floats = NDArray[np.float64]

FEWEST = 32
"""Runs to aim at; a history with room for fewer is cut into runs that overlap."""
_LEAST_LEAD = 2
_LEAST_ROWS = 10
"""A shorter run could hold neither a lead-in nor a fault."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalRuns:
    """Runs of normal data in model units, not clipped.

    Attributes:
        values: (runs, rows, channels).
        lead: Rows at the start of each run that only bring the state up.
        first: Where in the history each run begins, (runs,).
        counted: Rows of the history that count in at least one run.
        scored: Channels that are scored, in which a fault could be found; None is all.
    """

    values: Floats
    lead: int
    first: NDArray[np.int64]
    counted: int
    scored: NDArray[np.int64] | None = None

    @property
    def horizon(self) -> int:
        """Rows of a run that count."""
        return int(self.values.shape[1]) - self.lead


def cut_runs(stretches: Sequence[Floats], *, lead: int, horizon: int, most: int) -> NormalRuns:
    """Cut unbroken stretches into runs of ``lead + horizon`` rows, spread evenly over them.

    Rows that count are in one run each, unless there is so little history that the runs have
    to overlap; a lead-in may be what counted in the run before. When no stretch is long
    enough, lead and horizon shrink alike to the longest; when even that holds less than 10
    rows, there are no runs.

    Args:
        stretches: Held-out rows in model units, each (rows, channels); they may begin
            ``lead`` rows early, with rows that were learned.
        lead: Rows before the counted ones.
        horizon: Rows that count.
        most: Most runs.
    """
    longest = max(len(one) for one in stretches)
    channels = stretches[0].shape[1]
    if longest < lead + horizon:
        lead = max(_LEAST_LEAD, longest * lead // (lead + horizon))
        horizon = longest - lead
    rows = lead + horizon
    if rows < _LEAST_ROWS:
        return NormalRuns(np.zeros((0, rows, channels)), lead, np.zeros(0, dtype=np.int64), 0)
    offsets = np.cumsum([0] + [len(one) for one in stretches[:-1]])
    room = sum(max(0, len(one) - rows + 1) for one in stretches)
    stride = max(1, min(horizon, room // FEWEST))
    places = [(i, row) for i, one in enumerate(stretches) for row in range(0, len(one) - rows + 1, stride)]
    chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).astype(int))
    runs = [places[at] for at in chosen]
    first = np.array([offsets[i] + row for i, row in runs], dtype=np.int64)
    counted = len(np.unique(first[:, None] + np.arange(lead, rows)))
    return NormalRuns(np.stack([stretches[i][row : row + rows] for i, row in runs]), lead, first, counted)
