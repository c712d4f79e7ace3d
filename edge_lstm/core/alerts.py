"""Episodes as alerts: ids that survive a replay, severity, contributors, one sentence for people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

from edge_lstm.contracts.alert import Alert, AlertModel, AlertState, Contributor
from edge_lstm.contracts.frame import Frame
from edge_lstm.contracts.manifest import Channel
from edge_lstm.contracts.score import Score
from edge_lstm.contracts.state import AlarmMemory, ResetReason
from edge_lstm.times import NS, format_time

__all__ = ["AlertWriter", "severity_of"]

Severity = Literal["warning", "minor", "major", "critical"]

_CONTRIBUTORS = 5
# Scores are logarithmic, so equal steps of the ratio are equal factors of the residual.
_SEVERITIES: tuple[tuple[float, Severity], ...] = ((2.5, "critical"), (1.75, "major"), (1.25, "minor"))


def severity_of(ratio: float) -> Severity:
    """From score / threshold: below 1.25 warning, below 1.75 minor, below 2.5 major, else critical."""
    return next((name for least, name in _SEVERITIES if ratio >= least), "warning")


class AlertWriter:
    """Writes the alerts of one detector.

    Args:
        channels: The model's channels, in order.
        node: The device.
        model: Says which model speaks, and what runs it now.
        replayed: Whether readings come from a recording.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        node: str,
        model: Callable[[], AlertModel],
        replayed: bool = False,
    ) -> None:
        self._channels = tuple(channels)
        self._node, self._model, self._replayed = node, model, replayed

    def write(
        self,
        kind: Literal["open", "update", "close"],
        frame: Frame,
        score: Score,
        memory: AlarmMemory,
        *,
        reset: tuple[int, ResetReason],
    ) -> Alert:
        """The alert of one transition.

        Args:
            kind: What happened to the episode.
            frame: The frame that caused it.
            score: Its score.
            memory: The episode; ``started_ns`` and ``peak`` are read.
            reset: Time (ns) and reason of the state's last reset.
        """
        ratio = score.score / score.threshold if score.threshold > 0 else 0.0
        contributors = self._contributors(frame, score)
        moment = format_time(frame.time_ns)
        return Alert(
            id=self._id(frame.asset, memory.started_ns),
            type=kind,
            kind="anomaly",
            severity=severity_of(memory.peak / score.threshold if score.threshold > 0 else 0.0),
            text=self._text(kind, frame, memory, contributors),
            time=moment,
            started=format_time(memory.started_ns),
            ended=moment if kind == "close" else None,
            node=self._node,
            asset=frame.asset,
            score=score.score,
            threshold=score.threshold,
            ratio=ratio,
            peak=memory.peak,
            contributors=contributors,
            model=self._model(),
            state=AlertState(age_s=(frame.time_ns - reset[0]) / NS, reset_reason=reset[1]),
            replayed=self._replayed,
        )

    def _id(self, asset: str, started_ns: int) -> str:
        text = "\0".join((self._node, asset, "anomaly", str(started_ns), self._model().sha256))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _contributors(self, frame: Frame, score: Score) -> list[Contributor]:
        scored = [i for i, channel in enumerate(self._channels) if channel.role == "telemetry"]
        order = sorted(scored, key=lambda i: -score.shares[i])[:_CONTRIBUTORS]
        return [
            Contributor(
                channel=self._channels[i].name,
                share=score.shares[i],
                actual=frame.values[i],
                expected=score.expected[i],
                unit=self._channels[i].unit,
            )
            for i in order
        ]

    def _text(self, kind: str, frame: Frame, memory: AlarmMemory, contributors: Sequence[Contributor]) -> str:
        if kind == "close":
            minutes = (frame.time_ns - memory.started_ns) / NS / 60
            return f"{frame.asset}: back to normal after {minutes:.1f} min"
        top = contributors[0]
        unit = f" {top.unit}" if top.unit else ""
        return (
            f"{frame.asset}: {top.channel} is {top.actual:.4g}{unit}, expected {top.expected:.4g}{unit} "
            f"({top.share:.0%} of the anomaly)"
        )
