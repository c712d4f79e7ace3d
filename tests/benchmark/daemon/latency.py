"""From a message at the broker's door to the alert that it causes in a subscriber's hand."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_lstm.backends import load_backend
from edge_lstm.bundle import open_bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import Score
from edge_lstm.core.detector import Detector, Event
from edge_lstm.times import format_time
from tests.benchmark.daemon.model import Rows
from tests.benchmark.daemon.site import DURABILITY, Daemon, Site, streams
from tests.benchmark.daemon.wire import Peer, publish

__all__ = ["Latency", "measure_latency"]

STREAMS, RATE = 50, 100
WARM = 100
"""Readings of each stream to begin with: until then the scores have found their two levels."""

_PATIENCE_S = 10.0
_ALARM = AlarmOverrides(close_ratio=1.0, open_after=1, close_after=1, refractory=0)


@dataclass(frozen=True, slots=True)
class Latency:
    """Times from message in to alert out.

    Attributes:
        title: Transport and durability.
        expected: Alerts that a detector makes of the same readings in memory.
        heard: How many of these came.
        ms: Times of those that were caused at the pace of 100 a second, milliseconds.
    """

    title: str
    expected: int
    heard: int
    ms: NDArray[np.float64]

    def percentile(self, share: float) -> float:
        """Milliseconds that so many per cent do not exceed."""
        return float(np.percentile(self.ms, share))


def measure_latency(site: Site, ways: Sequence[tuple[str, str]], *, seconds: float) -> list[Latency]:
    """100 readings a second, each at its time, for some seconds.

    Args:
        site: Where.
        ways: Transports and durabilities.
        seconds: How long.
    """
    rows = _alternating(site.rows)
    alarm = msgspec.structs.replace(_ALARM, threshold=_threshold(site, rows))
    return [_measure(site, rows, alarm, client, mode, seconds) for client, mode in ways]


def _alternating(rows: Rows) -> Rows:
    """Two readings in turns, one of them reflected at the centre: the score goes up and down with them."""
    values = rows.values[:2].copy()
    values[0] = 2 * rows.values.mean(axis=0) - values[0]
    return Rows(rows.channels, values)


def _threshold(site: Site, rows: Rows) -> float:
    """A level between the two, so that every reading opens an episode or closes it."""
    found = _judged(site, rows, AlarmOverrides(threshold=1e9), _schedule([0] * 2 * WARM, 0))
    scores = [one.score for one in found if isinstance(one, Score)]
    return float(np.median(scores[WARM:]))


class _Sent(NamedTuple):
    """One reading: whose, of what time (milliseconds), and which row."""

    asset: str
    time_ms: int
    row: int


def _schedule(order: Sequence[int], start_ms: int) -> list[_Sent]:
    """Readings of machines in an order, 10 ms apart."""
    names, turns = streams(max(order) + 1), [0] * (max(order) + 1)
    sent = []
    for i, stream in enumerate(order):
        sent.append(_Sent(names[stream], start_ms + 10 * i, turns[stream]))
        turns[stream] += 1
    return sent


def _judged(site: Site, rows: Rows, alarm: AlarmOverrides, sent: Sequence[_Sent]) -> list[Event]:
    """What a detector in memory makes of readings."""
    bundle = open_bundle(site.bundle)
    detector = Detector(
        bundle.manifest,
        load_backend(bundle),
        sha256=bundle.sha256,
        weights=bundle.weights(),
        node="bench",
        alarm=alarm,
    )
    values = [dict(zip(rows.channels, row, strict=True)) for row in rows.values.tolist()]
    readings = (Reading(one.asset, one.time_ms * 1_000_000, values[one.row % len(values)]) for one in sent)
    return [found for reading in readings for found in detector.push(reading)]


def _measure(
    site: Site, rows: Rows, alarm: AlarmOverrides, client: str, mode: str, seconds: float
) -> Latency:
    paced = round(seconds * RATE)
    machines = min(STREAMS, paced // 10)
    order = [i % machines for i in range(WARM * machines + paced)]
    sent = _schedule(order, time.time_ns() // 1_000_000 - 10 * len(order))
    alerts = [found for found in _judged(site, rows, alarm, sent) if isinstance(found, Alert)]
    expected = {(one.asset, one.time) for one in alerts}
    daemon = site.daemon(
        f"l-{client}-{mode}",
        timed=True,
        mqtt={"client": client},
        durability=DURABILITY[mode],
        alarm=msgspec.to_builtins(alarm),
    )
    daemon.settle()
    packets = [
        (
            _key(one),
            publish(f"{daemon.name}/{one.asset}", rows.payload(one.row, one.time_ms), mid=i % 65_535 + 1),
        )
        for i, one in enumerate(sent)
    ]
    daemon.start()
    try:
        heard, went = _paced(site, daemon, packets, expected, warm=len(sent) - paced)
    finally:
        daemon.stop()
    ms = np.array([1000 * (heard[key] - moment) for key, moment in went.items() if key in heard])
    return Latency(f"{client}, {mode}", len(expected), len(expected & heard.keys()), ms)


Key = tuple[str, str]
"""Machine, and time of the reading as the alert says it."""


def _paced(
    site: Site,
    daemon: Daemon,
    packets: Sequence[tuple[Key, bytes]],
    expected: set[Key],
    *,
    warm: int,
) -> tuple[dict[Key, float], dict[Key, float]]:
    """When each alert came, and when each reading went."""
    heard: dict[Key, float] = {}
    went: dict[Key, float] = {}
    topic = f"edge-lstm/{daemon.name}/+/alert"
    with Peer(site.port, f"feeder-{daemon.name}") as feeder, Peer(site.port, "alerts", [topic]) as ear:
        feeder.pour([packet for _, packet in packets[:warm]], qos=1)
        _hear(heard, ear, expected & {key for key, _ in packets[:warm]})
        begin = time.monotonic() + 0.5
        for i, (key, packet) in enumerate(packets[warm:]):
            while (left := begin + i / RATE - time.monotonic()) > 0:
                ready = select.select([feeder, ear], [], [], left)[0]
                if feeder in ready:
                    feeder.heard(0)
                if ear in ready:
                    _note(heard, ear)
            went[key] = time.monotonic()
            feeder.send(packet)
        _hear(heard, ear, expected)
    return heard, went


def _key(one: _Sent) -> Key:
    return one.asset, format_time(one.time_ms * 1_000_000)


def _hear(heard: dict[Key, float], ear: Peer, wanted: set[Key]) -> None:
    """Listen until all that is wanted was heard, or nothing of it comes any more."""
    end, before = time.monotonic() + _PATIENCE_S, len(heard)
    while wanted - heard.keys() and time.monotonic() < end:
        _note(heard, ear)
        if len(heard) > before:
            end, before = time.monotonic() + _PATIENCE_S, len(heard)


def _note(heard: dict[Key, float], ear: Peer) -> None:
    for found in ear.heard(0.1):
        said = json.loads(found.payload)
        heard.setdefault((said["asset"], said["time"]), found.moment)
