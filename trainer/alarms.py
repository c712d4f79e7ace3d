"""Scores to verdicts by the device's own rule, without alerts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert, AlertModel, AlertState
from edge_lstm.contracts.manifest import Threshold
from edge_lstm.contracts.state import AlarmMemory
from edge_lstm.core.threshold import AlarmRule

__all__ = ["verdicts"]


def verdicts(threshold: Threshold, scores: NDArray[np.float64], *, warm_up: int) -> NDArray[np.bool_]:
    """Where the device would have an episode open, (rows,), from scores (rows,) after a reset."""
    rule, memory = AlarmRule(threshold, AlarmOverrides()), AlarmMemory()
    up = np.zeros(len(scores), np.bool_)
    for i, score in enumerate(scores.tolist()):
        transition = rule.step(memory, score, warming=i < warm_up)
        if transition == "open":
            memory.alert = _AN_ALERT
        elif transition == "close":
            memory.alert = None
        up[i] = memory.alert is not None
    return up


_AN_ALERT = Alert(
    id="",
    type="open",
    kind="anomaly",
    severity="warning",
    text="",
    time="",
    started="",
    node="",
    asset="",
    score=0.0,
    threshold=0.0,
    ratio=0.0,
    peak=0.0,
    contributors=[],
    model=AlertModel("", "", "", ""),
    state=AlertState(0.0, "start"),
    replayed=True,
)
"""Stands for an open episode; the rule asks only whether there is one."""
