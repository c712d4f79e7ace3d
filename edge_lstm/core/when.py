"""What of a frame is scored: which channels, and whether the frame at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.frame import Frame
from edge_lstm.contracts.manifest import Channel, Manifest
from edge_lstm.errors import ConfigError
from edge_lstm.rule import Rule

__all__ = ["ScoreWhen", "scored_channels"]

Floats = NDArray[np.float64]


class ScoreWhen:
    """The rule ``score_when``: the site's, else the bundle's, else always.

    Args:
        manifest: The bundle's facts.
        alarm: What the site says.

    Raises:
        ConfigError: The site's rule does not fit the model.
    """

    def __init__(self, manifest: Manifest, alarm: AlarmOverrides) -> None:
        text = manifest.score_when if alarm.score_when is None else alarm.score_when
        names = [channel.name for channel in manifest.channels]
        try:
            self._rule = Rule.parse(text, names) if text else None
        except ValueError as error:
            raise ConfigError(f"does not fit the bundle: {error}", key="alarm.score_when") from error

    def holds(self, frame: Frame) -> bool:
        """Whether a frame is to be scored."""
        return self._rule is None or self._rule.holds(frame.values, frame.masked)

    def pauses(self, values: Floats, masked: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """`holds`, turned round, of many frames.

        Args:
            values: Channel units, (frames, channels).
            masked: True where the value is not one of this frame, (frames, channels); ``None``
                is nowhere.

        Returns:
            True for frames that are not to be scored, (frames,); ``None`` when all are.
        """
        if self._rule is None:
            return None
        holds = np.broadcast_to(self._rule.columns(list(values.T)), len(values))
        if masked is not None:
            holds = holds & ~masked[:, self._rule.channels].any(axis=1)
        return None if holds.all() else ~holds


def scored_channels(channels: Sequence[Channel]) -> NDArray[np.bool_]:
    """True for the channels that are scored and not only inputs, (channels,)."""
    return np.array([channel.role == "telemetry" for channel in channels])
