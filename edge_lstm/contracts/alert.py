"""The alert, schema ``edge-lstm.alert/1``: what a subscriber receives."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["ALERT_SCHEMA", "Alert", "AlertModel", "AlertState", "Contributor"]

ALERT_SCHEMA: Final = "edge-lstm.alert/1"


class Contributor(msgspec.Struct, frozen=True):
    """One channel's part in an alert.

    Attributes:
        channel: Name of the channel.
        share: Part of the score, 0 to 1.
        actual: Value read, channel units.
        expected: Value the model expected, channel units.
        unit: Unit of the channel, empty when not known.
    """

    channel: str
    share: float
    actual: float
    expected: float
    unit: str = ""


class AlertModel(msgspec.Struct, frozen=True):
    """Which model spoke.

    Attributes:
        id: Name of the bundle.
        version: Version of the bundle.
        sha256: Digest of the bundle file, hexadecimal.
        backend: What ran it, ``litert`` for example.
    """

    id: str
    version: str
    sha256: str
    backend: str


class AlertState(msgspec.Struct, frozen=True):
    """How old the carried LSTM state is, so that a reader can judge the alert.

    Attributes:
        age_s: Time since the state was last reset, seconds.
        reset_reason: Why it was reset: ``start``, ``gap``, ``command``, ``model`` or ``commission``.
    """

    age_s: float
    reset_reason: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The opening, a change or the end of one episode.

    Attributes:
        schema: Always ``edge-lstm.alert/1``.
        id: The same for all alerts of one episode, and the same when readings are replayed.
        type: ``open``, ``update`` or ``close``.
        kind: ``anomaly`` (the machine), ``drift`` or ``data_quality`` (a sensor).
        severity: From the score's ratio to the threshold.
        text: One sentence for people.
        time: Time of the frame that caused this alert, RFC 3339 UTC with milliseconds.
        started: Time of the frame that opened the episode.
        ended: Time of the frame that closed it; null while it is open.
        node: The device.
        asset: The machine.
        score: The score of the frame.
        threshold: The level it was held against.
        ratio: score / threshold.
        peak: Highest score of the episode so far.
        contributors: The channels with the largest shares, largest first.
        model: Which model spoke.
        state: How old the LSTM state is.
        replayed: True when it was made from a recording and not from live readings.
        seq: Number of this alert on this device, from 1 on and without gaps, so that a subscriber sees
            what it missed; 0 in a retained alarm, and when it was made from a recording.
    """

    schema: Literal["edge-lstm.alert/1"] = ALERT_SCHEMA
    id: str
    type: Literal["open", "update", "close"]
    kind: Literal["anomaly", "drift", "data_quality"]
    severity: Literal["warning", "minor", "major", "critical"]
    text: str
    time: str
    started: str
    ended: str | None = None
    node: str
    asset: str
    score: float
    threshold: float
    ratio: float
    peak: float
    contributors: list[Contributor]
    model: AlertModel
    state: AlertState
    replayed: bool = False
    seq: int = 0
