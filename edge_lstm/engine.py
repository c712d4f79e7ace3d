"""Messages in, publications out: codec, detector and topics, without sockets or files.

The daemon is this and a transport; a test is this and a list of messages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import msgspec

from edge_lstm.clock import Clock
from edge_lstm.codecs.base import CodecStateError, Decoded, Envelope, refused
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.frame import COUNTED_ONLY, QualityEvent
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.core.detector import Detector, Event
from edge_lstm.io.counters import Counters, balance
from edge_lstm.io.transport import Message, Publication
from edge_lstm.logs import Throttle, event
from edge_lstm.pace import ScorePace
from edge_lstm.quarantine import POISON, Quarantine
from edge_lstm.routing import Route, Router
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
        again: Whether messages of the journal are taken again: what they lead to was logged before.
        failing: Messages in a row that met a fault of ours, at most, up to the newest batch; 0
            when none of that batch did.
        fault: The newest fault of ours.
    """

    def __init__(self, config: DeviceConfig, detector: Detector, *, manifest: Manifest, clock: Clock) -> None:
        self.detector = detector
        self.counters = Counters()
        self.quarantine = Quarantine()
        self.forgetful = False
        self.again = False
        self.failing = 0
        self.fault: Exception | None = None
        self._root = config.root
        self._max_bytes = config.mqtt.max_payload_bytes
        self._quality = config.publish.quality
        self._channels = {channel.name for channel in manifest.channels}
        self._router = Router(config.inputs)
        self._throttle = Throttle(clock.monotonic)
        self._pace = ScorePace(clock, config.publish.score_interval_s)
        self._in_a_row = 0

    def take(self, messages: Sequence[Message]) -> list[Publication]:
        """Take messages; everything that is to be published for them, in order.

        The outcome does not depend on how a sequence of messages is cut into batches. A message
        that meets a fault of ours has its asset start anew, so that no half-made state is
        carried on; all others are worked on as if nothing had been.
        """
        out: list[Publication] = []
        readings: list[Reading] = []
        sources: list[int] = []
        faults: set[int] = set()
        route_of, most, quick = self._router.route, self._max_bytes, 0
        for number, message in enumerate(messages):
            route = route_of(message.topic)
            if type(route) is Route and route.numbers is not None and not message.retain:  # nearly all
                payload, now_ns = message.payload, message.arrived_ns
                values = route.numbers(payload) if len(payload) <= most else None
                if values is not None:
                    quick += 1
                    readings.append(Reading(route.asset, now_ns, values, None, now_ns, route.reorder_ns))
                    sources.append(number)
                    continue
            try:
                decoded = self._read(message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other messages go on
                out += self._score(messages, readings, sources, faults)
                readings, sources = [], []
                self.counters.received += 1
                self._fault(message, error)
                self._restart(message)
                faults.add(number)
                continue
            self.counters.received += len(decoded.items)
            for item in decoded.items:
                if isinstance(item, Reject):
                    self._turned_away(item, message)
                else:
                    readings.append(item)
                    sources.append(number)
            if decoded.wishes or decoded.stale:
                out += self._score(messages, readings, sources, faults)
                readings, sources = [], []
                out += [Publication(wish.topic, wish.payload) for wish in decoded.wishes]
                out += self._stale(decoded.stale, message.arrived_ns)
        self.counters.received += quick
        out += self._score(messages, readings, sources, faults)
        if faults:
            self.counters.spoiled += self.counters.received - sum(balance(self.counters).values())
        self._count_in_a_row(faults, len(messages))
        return out

    def _score(
        self, messages: Sequence[Message], readings: list[Reading], sources: list[int], faults: set[int]
    ) -> list[Publication]:
        """Score readings; ``sources`` says which messages they are of, ``faults`` gets those that failed."""
        if not readings:
            return []
        self.counters.readings += len(readings)
        self.counters.last_reading_ns = messages[sources[-1]].arrived_ns

        spoiled: set[int] = set()

        def failed(number: int, error: Exception) -> None:
            self._fault(messages[sources[number]], error)
            faults.add(sources[number])
            spoiled.add(number)

        events = self.detector.push_many(readings, wanted=self._wanted, failed=failed)
        told = []
        for number, found in events:
            try:
                told.append((number, self._publications(found)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other alerts go out
                failed(number, error)
                self.detector.reset(found.asset)
        self._count((found for _, found in events), pushed=len(readings) - len(spoiled))
        if self.forgetful:
            new = [(number, self._forgotten(asset)) for number, asset in self.detector.first_seen]
            told = sorted([*new, *told], key=itemgetter(0))
        return [one for _, some in told for one in some]

    def _wanted(self, assets: Sequence[str], statuses: Sequence[StreamStatus]) -> list[bool]:
        self.counters.frames += len(assets)
        return self._pace.admit(assets, statuses)

    def _fault(self, message: Message, error: Exception) -> None:
        self.counters.failures += 1
        self._quarantined(message, "failure", "a fault of edge-lstm itself; see the log")
        if self._throttle.admit("failed") is not None:
            log.error(event("message.failed", topic=message.topic, error=error), exc_info=error)
        self.fault = error

    def _restart(self, message: Message) -> None:
        """Let the asset of a message start anew."""
        route = self._router.route(message.topic)
        if not isinstance(route, str):
            self.detector.reset(route.asset)

    def _count_in_a_row(self, faults: set[int], count: int) -> None:
        self.failing = 0
        for number in range(count) if faults else ():
            self._in_a_row = self._in_a_row + 1 if number in faults else 0
            self.failing = max(self.failing, self._in_a_row)
        if not faults and count:
            self._in_a_row = 0

    def redelivered(self, count: int) -> None:
        """Messages that the broker sent again although they were taken."""
        if count:
            self.counters.received += count
            _tally(self.counters.rejects, RejectReason.REDELIVERED.value, count)

    def tick(self, now_ns: int, since_ns: int = 0) -> list[Publication] | None:
        """What is due when no message comes; everything that is to be published for it.

        Args:
            now_ns: The time, of the clock that gives times of arrival.
            since_ns: Since when readings could have come, of the same clock.

        Returns:
            The publications, or ``None`` when nothing was due, and nothing has changed.
        """

        def failed(_number: int, error: Exception) -> None:
            self.counters.failures += 1
            if self._throttle.admit("failed") is not None:
                log.error(event("tick.failed", error=error), exc_info=error)

        events = self.detector.tick(now_ns, since_ns, wanted=self._wanted, failed=failed)
        if events is None:
            return None
        self._count(events, pushed=0)
        return [publication for found in events for publication in self._publications(found)]

    def _count(self, events: Iterable[Event], *, pushed: int) -> None:
        """What became of readings: each that was pushed is accepted until it is turned away."""
        counters = self.counters
        counters.accepted += pushed
        for found in events:
            if isinstance(found, Reject):
                counters.accepted -= 1
                _tally(counters.rejects, found.reason.value)
            elif isinstance(found, QualityEvent) and found.active:
                _tally(counters.quality, found.reason.value)

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

    def _read(self, message: Message) -> Decoded:
        if len(message.payload) > self._max_bytes:
            size, limit = len(message.payload), self._max_bytes
            detail = f"{size} bytes on {message.topic!r}; mqtt.max_payload_bytes is {limit}"
            return refused(RejectReason.TOO_LARGE, "", detail)
        route = self._router.route(message.topic)
        if isinstance(route, str):
            return refused(RejectReason.BAD_TOPIC, "", route)
        envelope = Envelope(
            route.asset, route.channel, message.arrived_ns, message.retain, message.topic, route.reorder_ns
        )
        decoded = route.codec.decode(message.payload, envelope)
        if decoded.odd:
            self._odd_values(route.asset or decoded.items[0].asset, decoded.odd)
        return decoded

    def _turned_away(self, item: Reject, message: Message) -> None:
        _tally(self.counters.rejects, item.reason.value)
        if item.reason in POISON:
            self._quarantined(message, item.reason.value, item.detail)
        self._rejected(item, topic=message.topic)

    def _quarantined(self, message: Message, reason: str, detail: str) -> None:
        self.quarantine.put(
            message.topic, message.payload, reason=reason, detail=detail, arrived_ns=message.arrived_ns
        )

    def _stale(self, assets: Sequence[str], now_ns: int) -> list[Publication]:
        """Their source has said that it is dead."""
        events = [found for asset in assets for found in self.detector.stale(asset, now_ns)]
        self._count(events, pushed=0)
        return [publication for found in events for publication in self._publications(found)]

    def codecs(self) -> dict[str, bytes]:
        """What the codecs remember of earlier messages, by the topic of their input."""
        return self._router.dump()

    def resume_codecs(self, kept: Mapping[str, bytes]) -> None:
        """Go on from what `codecs` gave; what cannot be used is asked for again from its source."""
        try:
            self._router.load(kept)
        except CodecStateError as error:
            log.warning(event("codecs.forgotten", detail=error))

    def _odd_values(self, asset: str, odd: Iterable[str]) -> None:
        channels = [channel for channel in odd if channel in self._channels]
        self.counters.bad_values += len(channels)
        if channels and (held := self._throttle.admit("odd")) is not None:
            log.warning(
                event("reading.bad_value", asset=asset, channels=",".join(channels), more=held or None)
            )

    def _rejected(self, reject: Reject, *, topic: str | None = None) -> None:
        reason = reject.reason.value
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
            return [self._scored(found)]
        if isinstance(found, Alert):
            self.counters.alerts += 1
            return self._alert(found)
        if isinstance(found, QualityEvent):
            return self._quality_event(found)
        if isinstance(found, Commission):
            return [self._commission(found)]
        self._rejected(found)
        return []

    def _scored(self, score: Score) -> Publication:
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
        self._log(level, event("commission", **fields, refused=told.reason or None))
        return self._kept(told)

    def _kept(self, told: Commission, *, essential: bool = True) -> Publication:
        topic = f"{self._root}/{told.asset}/commission"
        return Publication(topic, _ENCODER.encode(told), qos=1, retain=True, essential=essential)

    def _alert(self, alert: Alert) -> list[Publication]:
        self.counters.alert_seq += 1
        alert = msgspec.structs.replace(alert, seq=self.counters.alert_seq)
        fields = {"id": alert.id, "asset": alert.asset, "severity": alert.severity, "score": alert.score}
        self._log(logging.WARNING, event(f"alert.{alert.type}", **fields, text=alert.text))
        topic = f"{self._root}/{alert.asset}/alert"
        alarm = self._cleared(alert.asset, alert.kind) if alert.type == "close" else self._alarm(alert)
        return [Publication(topic, _ENCODER.encode(alert), qos=1, alert_seq=alert.seq), alarm]

    def _alarm(self, alert: Alert) -> Publication:
        """An alarm is a condition and no event, so it has no number."""
        topic = f"{self._root}/{alert.asset}/alarm/{alert.kind}"
        condition = msgspec.structs.replace(alert, seq=0)
        return Publication(topic, _ENCODER.encode(condition), qos=1, retain=True)

    def _cleared(self, asset: str, kind: str, *, essential: bool = True) -> Publication:
        topic = f"{self._root}/{asset}/alarm/{kind}"
        return Publication(topic, b"", qos=1, retain=True, essential=essential)

    def _forgotten(self, asset: str) -> list[Publication]:
        """Clear what the broker may keep of an asset whose states were lost."""
        return [self._cleared(asset, "anomaly", essential=False), self._unlearned(asset)]

    def _unlearned(self, asset: str) -> Publication:
        topic = f"{self._root}/{asset}/commission"
        return Publication(topic, b"", qos=1, retain=True, essential=False)

    def _log(self, level: int, line: str) -> None:
        log.log(logging.DEBUG if self.again else level, line)

    def _quality_event(self, found: QualityEvent) -> list[Publication]:
        if found.reason in COUNTED_ONLY:
            return []
        if (
            held := self._throttle.admit((found.asset, found.reason, found.channel, found.active))
        ) is not None:
            fields = {
                "asset": found.asset or None,
                "reason": found.reason.value,
                "channel": found.channel or None,
            }
            more = {"active": found.active, "detail": found.detail or None, "more": held or None}
            self._log(logging.INFO, event("quality", **fields, **more))
        if not self._quality:
            return []
        said = {
            "time": format_time(found.time_ns),
            "reason": found.reason,
            "active": found.active,
            "channel": found.channel,
            "detail": found.detail,
        }
        topic = f"{self._root}/{found.asset}/quality" if found.asset else f"{self._root}/quality"
        return [Publication(topic, _ENCODER.encode(said), qos=1, essential=False)]


def _tally(counts: dict[str, int], reason: str, number: int = 1) -> None:
    counts[reason] = counts.get(reason, 0) + number
