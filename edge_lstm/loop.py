"""The loop of the daemon: one thread, one message after the other, and the timers between them.

For every message: decode and score, queue what must arrive, publish, acknowledge. The
acknowledgement comes last, so a message whose work was not done is delivered again,
and what the aligner remembers keeps it from being scored twice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from edge_lstm import __version__
from edge_lstm.accelerator import Runner
from edge_lstm.clock import Clock
from edge_lstm.contracts.commission import Commission
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.engine import Engine
from edge_lstm.errors import SnapshotError
from edge_lstm.io.health import Health, HealthModel
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.snapshot import DaemonSnapshot, StateDir
from edge_lstm.io.systemd import Notifier
from edge_lstm.io.transport import (
    Confirmed,
    Connected,
    Disconnected,
    Message,
    Publication,
    Subscribed,
    Transport,
    TransportEvent,
)
from edge_lstm.logs import Throttle, event
from edge_lstm.times import format_time

__all__ = ["Loop", "Parts", "Stop"]

log = logging.getLogger(__name__)

_DRAIN_S = 2.0
_STOP_S = 3.0
_FAILURES = 10
"""Messages in a row that may meet a fault of ours before the process ends and is started anew."""

_ENCODER = msgspec.json.Encoder()


class Stop:
    """The wish to end. `request` is safe in a signal handler."""

    def __init__(self) -> None:
        self.requested = False
        self._wake: Callable[[], None] | None = None

    def request(self) -> None:
        """Ask the loop to end after the current message."""
        self.requested = True
        if self._wake is not None:
            self._wake()

    def wakes(self, wake: Callable[[], None]) -> None:
        """What brings the loop to look."""
        self._wake = wake


class Timer:
    """Falls due again and again.

    Args:
        clock: Its monotonic time counts.
        every_s: From one time to the next, seconds.
    """

    def __init__(self, clock: Clock, every_s: float) -> None:
        self._clock, self._every_s = clock, every_s
        self._next = clock.monotonic() + every_s

    def left_s(self) -> float:
        """Until it falls due, seconds."""
        return self._next - self._clock.monotonic()

    def due(self) -> bool:
        """Whether it is due; if so it is wound up again."""
        if self.left_s() > 0:
            return False
        self._next = self._clock.monotonic() + self._every_s
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a loop is made of.

    Attributes:
        config: The site.
        engine: Turns messages into publications; has its restored states.
        transport: The broker.
        state: Where snapshots go.
        outbox: Publications that must arrive; has those of the last snapshot.
        notifier: The service manager.
        clock: Time.
        stop: The wish to end.
        model: Which model runs.
        backend: What runs it.
        farewell: The last publication.
        filters: Topic filters of this configuration.
        obsolete: Topic filters of an earlier one, given up at the first connection.
        reset_reason: Why this start is a cold one although there was a snapshot.
    """

    config: DeviceConfig
    engine: Engine
    transport: Transport
    state: StateDir
    outbox: Outbox
    notifier: Notifier
    clock: Clock
    stop: Stop
    model: HealthModel
    backend: Runner
    farewell: Publication
    filters: tuple[str, ...]
    obsolete: tuple[str, ...] = ()
    reset_reason: Literal["damaged", "other_bundle"] | None = None


class Loop:
    """Runs until it is asked to stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._engine, self._transport, self._outbox = parts.engine, parts.transport, parts.outbox
        self._clock, config = parts.clock, parts.config
        self._health_timer = Timer(self._clock, config.publish.health_interval_s)
        self._snapshot_timer = Timer(self._clock, config.snapshot.interval_s)
        watchdog_s = parts.notifier.watchdog_s
        self._watchdog = Timer(self._clock, watchdog_s / 3) if watchdog_s else None
        self._throttle = Throttle(self._clock.monotonic)
        self._began = self._clock.monotonic()
        self._saved: float | None = None
        self._connected = self._subscribed = False
        self._connections = 0
        self._problems: dict[str, str] = {}
        parts.stop.wakes(self._transport.wake)

    def run(self) -> None:
        """Work until asked to stop, then save, say farewell and end."""
        self._transport.start()
        self._parts.notifier.ready()
        self._tell_status()
        while not self._parts.stop.requested:
            for found in self._transport.receive(self._patience_s()):
                self._take(found)
            self._keep_time()
        self._end()

    # -------------------------------------------------------------------------------- events

    def _take(self, found: TransportEvent) -> None:
        match found:
            case Message():
                self._work(found)
            case Confirmed():
                self._confirmed(found)
            case Connected():
                self._on_connected(found)
            case Subscribed():
                self._on_subscribed(found)
            case Disconnected():
                self._connected = self._subscribed = False
                self._outbox.requeue()
                self._tell_status()
            case _:
                pass

    def _work(self, message: Message) -> None:
        publications = self._engine.take((message,))
        if self._engine.failing:
            self._failed()
        for publication in publications:
            if publication.qos:
                self._outbox.add([publication])
            else:
                self._transport.publish(publication)
        self._pump()
        if message.qos:
            self._transport.ack(message.epoch, (message.mid,))

    def _failed(self) -> None:
        """A fault of ours in one message must not stop the others; many in a row must not go on for ever.

        It is acknowledged all the same: delivered again, it would fail again.
        """
        if self._engine.failing >= _FAILURES and self._engine.fault is not None:
            raise self._engine.fault
        self._problems["failures"] = "a message met a fault of edge-lstm itself; see the log"

    def _confirmed(self, found: Confirmed) -> None:
        if found.failure:
            publication = self._outbox.refuse(found.token)
            topic = publication.topic if publication is not None else ""
            self._problems["refused"] = f"the broker refuses {topic}: {found.failure}"
            if self._throttle.admit(("refused", topic)) is not None:
                log.error(event("mqtt.publication_refused", topic=topic, reason=found.failure))
        else:
            publication = self._outbox.confirm(found.token)
            if not self._outbox.refused:
                self._problems.pop("refused", None)
            if not found.heard and publication is not None and publication.topic.endswith("/alert"):
                self._unheard(publication)
        self._pump()

    def _unheard(self, publication: Publication) -> None:
        if self._throttle.admit("unheard") is not None:
            log.warning(event("alert.nobody_listens", topic=publication.topic))

    def _on_connected(self, found: Connected) -> None:
        self._connected = True
        self._connections += 1
        if not found.session_present and self._connections > 1:
            log.warning(event("mqtt.session_lost", detail="readings sent meanwhile are lost"))
            self._outbox.add(self._engine.retained())
        topic = f"{self._parts.config.root}/model"
        said = {**msgspec.to_builtins(self._parts.model), "status": "running"}
        self._transport.publish(Publication(topic, _ENCODER.encode(said), qos=1, retain=True))
        self._publish_health()
        self._pump()
        self._tell_status()

    def _on_subscribed(self, found: Subscribed) -> None:
        self._subscribed = True
        self._problems.pop("subscriptions", None)
        if found.refused:
            refused = ", ".join(found.refused)
            self._problems["subscriptions"] = f"the broker refuses the subscription to {refused}"
            log.error(event("mqtt.subscription_refused", filters=refused))
        else:
            log.info(event("mqtt.subscribed", filters=", ".join(self._parts.filters)))
        self._publish_health()

    def _pump(self) -> None:
        while self._connected and (found := self._outbox.take()):
            token, publication = found
            self._transport.publish(publication, token=token)

    # -------------------------------------------------------------------------------- time

    def _patience_s(self) -> float:
        timers = (self._health_timer, self._snapshot_timer, self._watchdog)
        return max(0.0, min(timer.left_s() for timer in timers if timer is not None))

    def _keep_time(self) -> None:
        # A network thread that is gone cannot be brought back from here; the watchdog can.
        if self._watchdog is not None and self._watchdog.due() and self._transport.alive:
            self._parts.notifier.alive()
        if self._snapshot_timer.due():
            self._save()
        if self._health_timer.due():
            self._outbox.retry()
            self._pump()
            self._publish_health()
            self._tell_status()

    def _save(self) -> None:
        parts = self._parts
        waiting = parts.obsolete if not self._connections else ()
        snapshot = DaemonSnapshot(
            saved_ns=self._clock.time_ns(),
            detector=self._engine.detector.snapshot(),
            counters=self._engine.counters,
            unsent=self._outbox.unsent(),
            filters=sorted({*parts.filters, *waiting}),
        )
        try:
            parts.state.save(snapshot)
        except SnapshotError as error:
            self._problems["snapshot"] = str(error)
            if self._throttle.admit("snapshot") is not None:
                log.warning(event("snapshot.failed", detail=error))
            return
        self._problems.pop("snapshot", None)
        self._saved = self._clock.monotonic()

    # -------------------------------------------------------------------------------- what is told

    def _publish_health(self, said: Health | None = None) -> None:
        topic = f"{self._parts.config.root}/health"
        self._transport.publish(Publication(topic, _ENCODER.encode(said or self.health()), retain=True))

    def health(self) -> Health:
        """How the node is, now."""
        parts, counters, now = self._parts, self._engine.counters, self._clock.monotonic()
        if parts.backend.problem:
            self._problems["backend"] = parts.backend.problem
        if self._outbox.dropped:
            self._problems["outbox"] = f"{self._outbox.dropped} alerts or other messages were given up"
        seen, commissions = counters.last_reading_ns, self._engine.detector.commissions()
        learning = [told for told in commissions if told.status == "commissioning"]
        self._note_refused([told for told in learning if told.reason])
        return Health(
            node=parts.config.node,
            pid=os.getpid(),
            status="degraded" if self._problems else "ok" if self._subscribed else "starting",
            problems=list(self._problems.values()),
            time=format_time(self._clock.time_ns()),
            uptime_s=round(now - self._began, 3),
            version=__version__,
            model=parts.model,
            backend=parts.backend.name,
            backend_reason=parts.backend.reason,
            readings=counters.readings,
            frames=counters.frames,
            rejects=counters.rejects,
            bad_values=counters.bad_values,
            failures=counters.failures,
            assets=len(self._engine.detector.assets),
            commissioning=len(learning),
            commissioned=len(commissions) - len(learning),
            alerts=counters.alerts,
            alerts_open=len(self._engine.detector.open_alerts()),
            queue=self._transport.backlog,
            outbox=len(self._outbox),
            dropped={"scores": self._transport.dropped, "outbox": self._outbox.dropped},
            connections=self._connections,
            last_reading=format_time(seen) if seen else None,
            snapshot_age_s=None if self._saved is None else round(now - self._saved, 3),
            state_reset_reason=parts.reset_reason,
        )

    def _note_refused(self, refused: Sequence[Commission]) -> None:
        """An asset that cannot be learned is not watched: somebody should know."""
        self._problems.pop("commission", None)
        if refused:
            first, more = refused[0], f", and {len(refused) - 1} more" if len(refused) > 1 else ""
            what = f"not watched, its baseline is unsteady: {first.asset} ({first.reason}){more}"
            self._problems["commission"] = what

    def _tell_status(self) -> None:
        mqtt, counters = self._parts.config.mqtt, self._engine.counters
        if not self._connected:
            self._parts.notifier.status(f"waiting for the broker at {mqtt.host}:{mqtt.port}")
            return
        assets, alarms = len(self._engine.detector.assets), len(self._engine.detector.open_alerts())
        said = f"{assets} assets, {counters.frames} frames, {alarms} alarms open"
        problem = self._parts.backend.problem
        self._parts.notifier.status(f"{said}; {problem}" if problem else said)

    # -------------------------------------------------------------------------------- the end

    def _end(self) -> None:
        """Messages that wait stay unacknowledged, so the broker delivers them to the next process."""
        log.info(event("daemon.stopping"))
        self._parts.notifier.stopping()
        self._drain()
        self._save()
        # It is retained: "ok" would be read for as long as we are away.
        self._publish_health(msgspec.structs.replace(self.health(), status="stopped"))
        self._transport.stop(self._parts.farewell, timeout_s=_STOP_S)
        self._parts.notifier.close()
        log.info(event("daemon.stopped", frames=self._engine.counters.frames, unsent=len(self._outbox)))

    def _drain(self) -> None:
        """A moment for the broker to confirm what is under way; the rest is in the snapshot."""
        deadline = self._clock.monotonic() + _DRAIN_S
        while self._connected and len(self._outbox) > self._outbox.refused:
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                return
            for found in self._transport.receive(left_s):
                if not isinstance(found, Message):
                    self._take(found)
