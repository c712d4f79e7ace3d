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


def scored_channels(channels: Sequence[Channel]) -> NDArray[np.bool_]:
    """True for the channels that are scored and not only inputs, (channels,)."""
    return np.array([channel.role == "telemetry" for channel in channels])
