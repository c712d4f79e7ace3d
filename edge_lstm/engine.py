"""Messages in, publications out: codec, detector and topics, without sockets or files.

The daemon is this and a transport; a test is this and a list of messages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import msgspec

from edge_lstm.clock import Clock
from edge_lstm.codecs import Envelope
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.frame import QualityEvent
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.score import Score
from edge_lstm.core.detector import Detector, Event
from edge_lstm.io.snapshot import Counters
from edge_lstm.io.transport import Message, Publication
from edge_lstm.logs import Throttle, event
from edge_lstm.quarantine import POISON, Quarantine
from edge_lstm.routing import Router
from edge_lstm.times import format_time

__all__ = ["Engine"]

log = logging.getLogger(__name__)

_ENCODER = msgspec.json.Encoder()


class Engine:
    """Turns messages into publications.

    Args:
        config: The site.
        detector: Scores the readings.
        manifest: The bundle's facts; channel names are read.
        clock: Paces scores and log lines.

    Attributes:
        detector: The detector.
        counters: What has been counted.
        quarantine: The last messages that could not be read.
        forgetful: Set when states were lost: the broker may keep alarms that nobody knows
            of any more, so each asset's is cleared when it is first seen.
    """

    def __init__(self, config: DeviceConfig, detector: Detector, *, manifest: Manifest, clock: Clock) -> None:
        self.detector = detector
        self.counters = Counters()
        self.quarantine = Quarantine()
        self.forgetful = False
        self._root = config.root
        self._max_bytes = config.mqtt.max_payload_bytes
        self._quality = config.publish.quality
        self._channels = {channel.name for channel in manifest.channels}
        self._router = Router(config.inputs)
        self._throttle = Throttle(clock.monotonic)
        self._scores = _ScorePace(clock, config.publish.score_interval_s)

    def handle(self, message: Message) -> list[Publication]:
        """Take one message; everything that is to be published for it, in order."""
        return [out for item in self._read(message) for out in self._item(item, message)]

    def _item(self, item: Reading | Reject, message: Message) -> list[Publication]:
        if isinstance(item, Reject):
            if item.reason in POISON:
                self._quarantined(message, item.reason.value, item.detail)
            self._rejected(item, topic=message.topic)
            return []
        self.counters.readings += 1
        self.counters.last_reading_ns = message.arrived_ns
        before = len(self.detector.assets) if self.forgetful else 0
        events = self.detector.push(item)
        new = self.forgetful and len(self.detector.assets) > before
        out = self._forgotten(item.asset) if new else []
        return out + [publication for found in events for publication in self._publications(found)]

    def failed(self, message: Message) -> None:
        """A message met a fault of ours: its asset starts anew, so that no half-made state is carried on."""
        self.counters.failures += 1
        self._quarantined(message, "failure", "a fault of edge-lstm itself; see the log")
        route = self._router.route(message.topic)
        if not isinstance(route, str):
            self.detector.reset(route.asset)

    def alarms(self) -> list[Publication]:
        """The retained alarm of every open episode."""
        return [self._alarm(alert) for alert in self.detector.open_alerts()]

    def retained(self) -> list[Publication]:
        """Everything that a broker that has forgotten us should keep: alarms, and what was learned."""
        return [*self.alarms(), *(self._kept(told, essential=False) for told in self.detector.commissions())]

    def restored(self) -> list[Publication]:
        """What brings the broker's retained alarms in line with restored states.

        Alarms raised after the snapshot, by a process that was then killed, are cleared.
        """
        still_open = {alert.asset for alert in self.detector.open_alerts()}
        gone = [asset for asset in self.detector.assets if asset not in still_open]
        return [*self.retained(), *(self._cleared(asset, "anomaly", essential=False) for asset in gone)]

    def unlearned(self, assets: Iterable[str]) -> list[Publication]:
        """Clear what the broker keeps of commissionings that are no longer wanted."""
        still = {told.asset for told in self.detector.commissions()}
        return [self._unlearned(asset) for asset in assets if asset not in still]

    def abandoned(self, alerts: Iterable[Alert], *, now_ns: int) -> list[Publication]:
        """Close episodes that nobody watches any more: those of a model that was replaced."""
        now = format_time(now_ns)
        out = []
        for alert in alerts:
            text = f"{alert.asset}: closed, because the model was replaced"
            closed = msgspec.structs.replace(alert, type="close", text=text, time=now, ended=now)
            out += self._alert(closed)
        return out

    # -------------------------------------------------------------------------------- in

    def _read(self, message: Message) -> Sequence[Reading | Reject]:
        if len(message.payload) > self._max_bytes:
            size, limit = len(message.payload), self._max_bytes
            detail = f"{size} bytes on {message.topic!r}; mqtt.max_payload_bytes is {limit}"
            return [Reject(RejectReason.TOO_LARGE, detail=detail)]
        route = self._router.route(message.topic)
        if isinstance(route, str):
            return [Reject(RejectReason.BAD_TOPIC, detail=route)]
        envelope = Envelope(route.asset, route.channel, message.arrived_ns, message.retain, message.topic)
        decoded = route.codec.decode(message.payload, envelope)
        if decoded.odd:
            self._odd_values(route.asset or decoded.items[0].asset, decoded.odd)
        return decoded.items

    def _quarantined(self, message: Message, reason: str, detail: str) -> None:
        self.quarantine.put(
            message.topic, message.payload, reason=reason, detail=detail, arrived_ns=message.arrived_ns
        )

    def _odd_values(self, asset: str, odd: Iterable[str]) -> None:
        channels = [channel for channel in odd if channel in self._channels]
        self.counters.bad_values += len(channels)
        if channels and (held := self._throttle.admit("odd")) is not None:
            log.warning(
                event("reading.bad_value", asset=asset, channels=",".join(channels), more=held or None)
            )

    def _rejected(self, reject: Reject, *, topic: str | None = None) -> None:
        reason = reject.reason.value
        self.counters.rejects[reason] = self.counters.rejects.get(reason, 0) + 1
        if (held := self._throttle.admit(reason)) is not None:
            fields = {
                "reason": reason,
                "topic": topic,
                "asset": reject.asset or None,
                "detail": reject.detail,
                "more": held or None,
            }
            log.warning(event("reading.rejected", **fields))

    # -------------------------------------------------------------------------------- out

    def _publications(self, found: Event) -> list[Publication]:
        if isinstance(found, Score):
            self.counters.frames += 1
            return [self._score(found)] if self._scores.admits(found) else []
        if isinstance(found, Alert):
            self.counters.alerts += 1
            return self._alert(found)
        if isinstance(found, QualityEvent):
            return self._quality_event(found)
        if isinstance(found, Commission):
            return [self._commission(found)]
        self._rejected(found)
        return []

    def _score(self, score: Score) -> Publication:
        said: dict[str, object] = {
            "time": format_time(score.time_ns),
            "score": score.score,
            "threshold": score.threshold,
            "status": score.status,
        }
        if score.progress is not None:
            said |= {"score": None, "progress": score.progress}
        return Publication(f"{self._root}/{score.asset}/score", _ENCODER.encode(said))

    def _commission(self, told: Commission) -> Publication:
        fields = {"asset": told.asset, "status": told.status, "readings": told.readings or None}
        level = logging.WARNING if told.reason else logging.INFO
        log.log(level, event("commission", **fields, refused=told.reason or None))
        return self._kept(told)

    def _kept(self, told: Commission, *, essential: bool = True) -> Publication:
        topic = f"{self._root}/{told.asset}/commission"
        return Publication(topic, _ENCODER.encode(told), qos=1, retain=True, essential=essential)

    def _alert(self, alert: Alert) -> list[Publication]:
        fields = {"id": alert.id, "asset": alert.asset, "severity": alert.severity, "score": alert.score}
        log.warning(event(f"alert.{alert.type}", **fields, text=alert.text))
        topic = f"{self._root}/{alert.asset}/alert"
        alarm = self._cleared(alert.asset, alert.kind) if alert.type == "close" else self._alarm(alert)
        return [Publication(topic, _ENCODER.encode(alert), qos=1), alarm]

    def _alarm(self, alert: Alert) -> Publication:
        topic = f"{self._root}/{alert.asset}/alarm/{alert.kind}"
        return Publication(topic, _ENCODER.encode(alert), qos=1, retain=True)

    def _cleared(self, asset: str, kind: str, *, essential: bool = True) -> Publication:
        topic = f"{self._root}/{asset}/alarm/{kind}"
        return Publication(topic, b"", qos=1, retain=True, essential=essential)

    def _forgotten(self, asset: str) -> list[Publication]:
        """Clear what the broker may keep of an asset whose states were lost."""
        return [self._cleared(asset, "anomaly", essential=False), self._unlearned(asset)]

    def _unlearned(self, asset: str) -> Publication:
        topic = f"{self._root}/{asset}/commission"
        return Publication(topic, b"", qos=1, retain=True, essential=False)

    def _quality_event(self, found: QualityEvent) -> list[Publication]:
        if (
            held := self._throttle.admit((found.asset, found.reason, found.channel, found.active))
        ) is not None:
            fields = {"asset": found.asset, "reason": found.reason.value, "channel": found.channel or None}
            log.info(
                event(
                    "quality", **fields, active=found.active, detail=found.detail or None, more=held or None
                )
            )
        if not self._quality:
            return []
        said = {
            "time": format_time(found.time_ns),
            "reason": found.reason,
            "active": found.active,
            "channel": found.channel,
            "detail": found.detail,
        }
        topic = f"{self._root}/{found.asset}/quality"
        return [Publication(topic, _ENCODER.encode(said), qos=1, essential=False)]


class _ScorePace:
    """Holds scores back that come too soon after the last one of their asset; a new status never waits."""

    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._clock, self._interval_s = clock, interval_s
        self._last: dict[str, tuple[float, str]] = {}

    def admits(self, score: Score) -> bool:
        if not self._interval_s:
            return True
        now, last = self._clock.monotonic(), self._last.get(score.asset)
        if last is not None and now - last[0] < self._interval_s and last[1] == score.status:
            return False
        self._last[score.asset] = (now, score.status)
        return True
