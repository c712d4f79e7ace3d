"""The loop of the daemon: one thread that takes what comes in, in order, and the timers between.

For every batch of messages: score, write down, and when that is on the disk publish and
acknowledge. The acknowledgement comes last, so a message whose work was not kept is
delivered again, and what is remembered keeps it from being scored twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from edge_lstm.accelerator import Runner
from edge_lstm.clock import ArrivalClock, Clock
from edge_lstm.commit import Commits
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.status import Status
from edge_lstm.errors import SnapshotError
from edge_lstm.io.answers import Notice
from edge_lstm.io.health import Health, HealthModel
from edge_lstm.io.notices import Notices
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.record import Control
from edge_lstm.io.rows import OutboxRow
from edge_lstm.io.store import Store
from edge_lstm.io.systemd import Notifier, Watchdog
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
from edge_lstm.reload import Reloader
from edge_lstm.replays import Replays
from edge_lstm.report import Life, Report, Standing
from edge_lstm.state_machine import Decided, StateMachine

__all__ = ["Loop", "Outcome", "Parts", "Stop"]

log = logging.getLogger(__name__)

_DRAIN_S = 2.0
_STOP_S = 3.0
_CLOSE_S = 10.0
_STUCK_S = 2.0
"""Longest wait at the end for a disk that takes nothing already."""
_TICK_S = 1.0
_LASTING_S = 60.0
"""A connection that lasts so long is not fought over."""
_FAILURES = 10
"""Messages in a row that may meet a fault of ours before the process ends and is started anew."""
_AT_ONCE = 512
"""Messages that are scored together at most."""
_MOST_WAITING, _MOST_WAITING_BYTES = 8000, 16 * 2**20
"""Messages that may wait for the disk; beyond it readings of QoS 0 are dropped, and those of QoS 1
are with the broker."""

_ENCODER = msgspec.json.Encoder()


Outcome = Literal["stopped", "reload", "taken_over"]


class Stop:
    """The wish to end, or to read the configuration anew; both are safe in a signal handler."""

    def __init__(self) -> None:
        self.requested = self.reload_requested = False
        self._wake: Callable[[], None] | None = None

    def request(self) -> None:
        """Ask the loop to end after the current batch."""
        self.requested = True
        if self._wake is not None:
            self._wake()

    def request_reload(self) -> None:
        """Ask the loop to read the configuration anew after the current batch."""
        self.reload_requested = True
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
        machine: Turns records into states and publications; has its restored states.
        transport: The broker.
        store: Where records, states and publications are kept; started.
        outbox: Publications that must arrive.
        notices: Publications that bring the broker in line with the states.
        notifier: The service manager.
        clock: Time.
        arrivals: Gives messages their time of arrival.
        stop: The wish to end.
        model: Which model runs.
        backend: What runs it.
        farewell: The last publication.
        online: The last publication before a reload: that we are there, as before.
        reloader: Reads the configuration anew.
        notice: Where the facts for ``edge-lstm status`` and the metrics are laid out.
        life: What is counted from the start of the process.
        filters: Topic filters of this configuration.
        obsolete: Topic filters of an earlier one, given up at the first connection.
        reset_reason: Why this start is a cold one although there were states.
        problem: What was wrong with what was kept; shown in health.
        recovered: Whether a checkpoint comes first: the last one is not as good as one made now.
    """

    config: DeviceConfig
    machine: StateMachine
    transport: Transport
    store: Store
    outbox: Outbox
    notices: Notices
    notifier: Notifier
    clock: Clock
    arrivals: ArrivalClock
    stop: Stop
    model: HealthModel
    backend: Runner
    farewell: Publication
    online: Publication
    reloader: Reloader
    notice: Notice[Status]
    life: Life
    filters: tuple[str, ...]
    obsolete: tuple[str, ...] = ()
    reset_reason: Literal["damaged", "other_bundle"] | None = None
    problem: str = ""
    recovered: bool = False


class Loop:
    """Runs until it is asked to stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._machine, self._transport, self._outbox = parts.machine, parts.transport, parts.outbox
        self._notices = parts.notices
        self._store, self._clock, config = parts.store, parts.clock, parts.config
        self._commits = Commits(
            self._store,
            self._outbox,
            clock=self._clock,
            inflight=config.mqtt.inflight,
            commit_s=config.durability.commit_s,
        )
        self._replays = Replays(config.root, self._store, clock=self._clock)
        self._health_timer = Timer(self._clock, config.publish.health_interval_s)
        self._snapshot_timer = Timer(self._clock, config.snapshot.interval_s)
        self._tick_timer = Timer(self._clock, _TICK_S)
        self._watchdog = Watchdog(parts.notifier, self._clock)
        self._throttle = Throttle(self._clock.monotonic)
        self._standing = Standing()
        self._report = Report(
            config,
            self._machine.engine,
            parts.transport,
            parts.outbox,
            parts.notices,
            self._store,
            commits=self._commits,
            life=parts.life,
            standing=self._standing,
            clock=self._clock,
            model=parts.model,
            backend=parts.backend,
            reset_reason=parts.reset_reason,
        )
        if parts.problem:
            self._standing.problems["store"] = parts.problem
        self._saving = 0  # ticket of the checkpoint under way
        self._up_since = 0.0
        self._wholly = False  # whether it is one of everything, which the store has asked for
        self._listening_ns = 0  # since when readings could have come; 0 while they cannot
        self._saved_readings = self._machine.engine.counters.readings
        self._sources = tuple(parts.filters)
        parts.stop.wakes(self._transport.wake)

    def run(self) -> Outcome:
        """Work until asked to stop, then keep everything, say farewell and end.

        Returns:
            Why it ended: asked to, for a reload that has been proven, or because its place was taken.
        """
        if self._parts.recovered:
            self._save(whole=self._parts.reset_reason is not None)
        self._transport.start()
        self._parts.notifier.ready()
        self._tell_status()
        self._lay_out()
        while not self._parts.stop.requested:
            self._turn(self._patience_s())
            self._keep_time()
            if self._standing.taken_over:
                self._end()
                return "taken_over"
            if self._parts.stop.reload_requested and self._reload():
                return "reload"
        self._end()
        return "stopped"

    # -------------------------------------------------------------------------------- events

    def _turn(self, patience_s: float) -> None:
        batch: list[Message] = []
        for found in self._transport.receive(patience_s):
            if isinstance(found, Message):
                batch.append(found)
                continue
            self._work(batch)
            batch = []
            self._take(found)
        self._work(batch)
        if not self._store.alive:
            raise SnapshotError("the state folder cannot be written to any more", got=self._store.problem)
        self._settle()

    def _count_lost(self) -> None:
        """The state folder is gone, and with it the states of assets that rested there."""
        detector = self._machine.engine.detector
        if detector.away:
            log.error(event("states.lost", assets=detector.away))
            self._standing.note("lost", f"the states of {detector.away} assets at rest went with the folder")
            detector.away = 0

    def _take(self, found: TransportEvent) -> None:
        match found:
            case Confirmed():
                self._confirmed(found)
            case Connected():
                self._on_connected(found)
            case Subscribed():
                self._on_subscribed(found)
            case Disconnected():
                self._on_disconnected(found)
            case _:
                pass

    def _work(self, batch: list[Message]) -> None:
        """Score messages and hand them to the store; commands among them are no readings."""
        topic = self._replays.topic
        if any(message.topic == topic for message in batch):
            readings: list[Message] = []
            for message in batch:
                if message.topic != topic:
                    readings.append(message)
                    continue
                self._score(readings)
                readings = []
                self._notices.add(self._replays.answer(message))
                self._commits.only_acknowledge(message)
            batch = readings
        self._score(batch)

    def _score(self, batch: list[Message]) -> None:
        if self._commits.waiting > _MOST_WAITING or self._commits.waiting_bytes > _MOST_WAITING_BYTES:
            kept = [message for message in batch if message.qos]
            self._standing.dropped_readings += len(batch) - len(kept)
            batch = kept
        for start in range(0, len(batch), _AT_ONCE):
            some = batch[start : start + _AT_ONCE]
            decided = self._machine.take(some)
            if self._machine.engine.failing:
                self._failed()
            self._say(decided)
            self._commits.take(some, decided.rows)
            if len(some) < len(batch):  # so that the broker sends more while the rest is scored
                self._acknowledge()

    def _acknowledge(self) -> None:
        for epoch, mids in self._commits.settle():
            self._transport.ack(epoch, mids)

    def _failed(self) -> None:
        """A fault of ours in one message must not stop the others; many in a row must not go on for ever.

        It is acknowledged all the same: delivered again, it would fail again.
        """
        engine = self._machine.engine
        if engine.failing >= _FAILURES and engine.fault is not None:
            raise engine.fault
        self._standing.problems["failures"] = "a message met a fault of edge-lstm itself; see the log"

    def _settle(self) -> None:
        """Let go what the store has kept meanwhile."""
        self._acknowledge()
        self._outbox.settle(self._store.completed)
        if self._store.needs_full and not self._wholly:
            self._wholly = True
            self._count_lost()
            self._save(whole=True)
        self._pump()
        if self._saving and self._store.completed >= self._saving:
            self._saving, self._wholly, self._standing.saved = 0, False, self._clock.monotonic()
            self._machine.release(self._parts.config.resident_assets)

    def _confirmed(self, found: Confirmed) -> None:
        row = self._refused(found) if found.failure else self._arrived(found.token)
        if not self._outbox.refused and not self._notices.refused:
            self._standing.problems.pop("refused", None)
        if not found.heard and isinstance(row, OutboxRow) and row.alert_seq:
            self._unheard(row)
        self._pump()

    def _arrived(self, token: int) -> OutboxRow | Publication | None:
        if token < 0:
            return self._notices.confirm(token)
        row = self._outbox.confirm(token)
        if row is not None:
            self._store.delivered([row.seq])
        return row

    def _refused(self, found: Confirmed) -> OutboxRow | Publication | None:
        if found.token < 0:
            row: OutboxRow | Publication | None = self._notices.refuse(found.token)
        else:
            row = self._outbox.refuse(found.token, found.failure)
        topic = row.topic if row is not None else ""
        self._standing.problems["refused"] = f"the broker refuses {topic}: {found.failure}"
        if self._throttle.admit(("refused", topic)) is not None:
            log.error(event("mqtt.publication_refused", topic=topic, reason=found.failure))
        return row

    def _unheard(self, row: OutboxRow) -> None:
        if self._throttle.admit("unheard") is not None:
            log.warning(event("alert.nobody_listens", topic=row.topic))

    def _on_connected(self, found: Connected) -> None:
        standing, engine = self._standing, self._machine.engine
        standing.connected = True
        self._up_since = self._clock.monotonic()
        standing.note("broker", "")
        standing.connections += 1
        self._parts.life.connections += 1
        self._parts.life.owes_farewell = False
        if not found.session_present:
            self._commit_control(Control("session", self._parts.arrivals.now_ns()))
            if self._parts.life.connections > 1:
                self._parts.life.sessions_lost += 1
                log.warning(event("mqtt.session_lost", detail="readings sent meanwhile are lost"))
                self._notices.add(engine.retained())
        topic = f"{self._parts.config.root}/model"
        said = {**msgspec.to_builtins(self._parts.model), "status": "running"}
        self._transport.publish(Publication(topic, _ENCODER.encode(said), qos=1, retain=True))
        self._publish_health()
        self._pump()
        self._tell_status()

    def _commit_control(self, record: Control) -> None:
        decided = self._machine.control(record)
        if decided is None:
            return
        self._say(decided)
        self._commits.control(record, decided.rows)

    def _say(self, decided: Decided) -> None:
        """Publish what need not be kept; notices say how it was before what must be."""
        for publication in decided.now:
            self._transport.publish(publication)
        if decided.rows and len(self._notices):
            self._notices.outdate({row.topic for row in decided.rows})

    def _on_disconnected(self, found: Disconnected) -> None:
        if self._standing.subscribed:
            self._standing.note("broker", f"the broker is away: {found.reason}")
        self._standing.connected = self._standing.subscribed = False
        self._listening_ns = 0
        self._outbox.requeue()
        self._notices.requeue()
        self._tell_status()
        self._lay_out()
        if found.taken_over:
            log.error(
                event(
                    "mqtt.taken_over",
                    client_id=self._parts.config.client_id,
                    detail="another client uses our client_id: two daemons of one node? this one stops",
                )
            )
            self._standing.taken_over = True

    def _on_subscribed(self, found: Subscribed) -> None:
        self._standing.subscribed = True
        self._listening_ns = self._parts.arrivals.now_ns()
        self._standing.problems.pop("subscriptions", None)
        if found.refused:
            refused = ", ".join(found.refused)
            self._standing.problems["subscriptions"] = f"the broker refuses the subscription to {refused}"
            log.error(event("mqtt.subscription_refused", filters=refused))
        else:
            log.info(event("mqtt.subscribed", filters=", ".join(self._parts.filters)))
        self._publish_health()
        self._lay_out()

    def _pump(self) -> None:
        """Send what may go. Notices come last: they say how it is now, where an older row says how it was."""
        while self._standing.connected and (row := self._outbox.take()):
            self._transport.publish(
                Publication(row.topic, row.payload, qos=1, retain=row.retain), token=row.seq
            )
        while (
            self._standing.connected
            and len(self._outbox) == self._outbox.refused
            and (notice := self._notices.take())
        ):
            token, publication = notice
            self._transport.publish(publication, token=token)

    # -------------------------------------------------------------------------------- time

    def _patience_s(self) -> float:
        timers = (self._health_timer, self._snapshot_timer, self._tick_timer, self._watchdog)
        left = [timer.left_s() for timer in timers]
        gathered = self._commits.left_s()
        return max(0.0, min(left if gathered is None else [*left, gathered]))

    def _keep_time(self) -> None:
        left_s = self._commits.left_s()
        if left_s is not None and left_s <= 0:
            self._commits.flush(waited=True)
        # A network thread that is gone cannot be brought back from here; the watchdog can.
        self._watchdog.turn(
            transport_alive=self._transport.alive or self._standing.taken_over,
            uncommitted_s=self._commits.lag_s(),
            paused=bool(self._store.problem),
        )
        if self._tick_timer.due():
            self._tick()
        if self._snapshot_timer.due() or self._many_readings():
            self._save()
        if self._health_timer.due():
            self._notices.retry()
            self._pump()
            self._publish_health()
            self._tell_status()

    def _tick(self) -> None:
        """Time alone can change something: an asset has fallen silent, a refused alert may go again."""
        now_ns = self._parts.arrivals.now_ns()
        self._commit_control(Control("tick", now_ns, self._listening_ns or now_ns))
        self._pump()
        self._standing.note("storage", self._store.problem)
        fought = self._transport.rival and self._clock.monotonic() - self._up_since < _LASTING_S
        rival = f"another client seems to use '{self._parts.config.client_id}': readings go to both by turns"
        self._standing.note("rival", rival if fought else "")
        self._lay_out()

    def _many_readings(self) -> bool:
        since = self._machine.engine.counters.readings - self._saved_readings
        return since >= self._parts.config.snapshot.readings

    def _save(self, *, whole: bool = False) -> None:
        """Write a checkpoint, unless the last one is still under way."""
        if self._saving and not whole:
            return
        self._commits.flush()
        self._saved_readings = self._machine.engine.counters.readings
        waiting = self._parts.obsolete if not self._standing.connections else ()
        filters = {*self._parts.filters, *waiting}
        self._saving = self._machine.checkpoint(
            self._store,
            saved_ns=self._clock.time_ns(),
            bundle_sha256=self._parts.model.sha256,
            filters=sorted(filters),
            outbox=self._outbox.rows() if whole or self._store.needs_full else None,
        )

    # -------------------------------------------------------------------------------- what is told

    def _publish_health(self, said: Health | None = None) -> None:
        topic = f"{self._parts.config.root}/health"
        self._transport.publish(Publication(topic, _ENCODER.encode(said or self.health()), retain=True))

    def health(self) -> Health:
        """How the node is, now."""
        return self._report.health()

    def _lay_out(self) -> None:
        """Facts for whoever asks; they are there to be read, so nobody has to wait for this thread."""
        self._parts.notice.latest = self._report.status(self._parts.reloader)

    def _tell_status(self) -> None:
        self._parts.notifier.status(self._report.line())

    # -------------------------------------------------------------------------------- the end

    def _reload(self) -> bool:
        """Make room for a new configuration if it is good; else go on with this one."""
        parts = self._parts
        parts.stop.reload_requested = False
        parts.notifier.reloading()
        parts.notifier.status("reading the configuration anew")
        if parts.reloader.check() and not self._store.problem:
            self._keep_all()
            # Not a farewell: the broker keeps the session, and "offline" would be read as a fault.
            self._transport.stop(parts.online, timeout_s=_STOP_S)
            parts.life.owes_farewell = self._standing.connected
            return True
        if self._store.problem:
            parts.reloader.refuse(f"nothing can be written down now: {self._store.problem}")
        parts.notifier.ready()
        self._publish_health()
        self._tell_status()
        self._lay_out()
        return False

    def _keep_all(self) -> None:
        """Write everything down and let the state folder go.

        Raises:
            SnapshotError: The disk does not take it; what is not acknowledged will be delivered again.
        """
        self._commits.flush()
        self._drain()
        self._save()
        kept = self._store.close(_STUCK_S if self._store.problem else _CLOSE_S)
        self._settle()
        if not kept:
            raise SnapshotError(
                "what came in last could not be written down",
                got=self._store.problem or "no answer from the disk",
                do="nothing is lost while the broker keeps our session: it will deliver it again; "
                "free some space, or check the disk",
            )

    def _end(self) -> None:
        """Messages that wait stay unacknowledged, so the broker delivers them to the next process."""
        log.info(event("daemon.stopping"))
        self._parts.notifier.stopping()
        if self._parts.life.owes_farewell:
            self._drain_until(lambda: not self._parts.life.owes_farewell)
        self._keep_all()
        # It is retained: "ok" would be read for as long as we are away.
        self._publish_health(msgspec.structs.replace(self.health(), status="stopped"))
        self._transport.stop(self._parts.farewell, timeout_s=_STOP_S)
        frames = self._machine.engine.counters.frames
        log.info(event("daemon.stopped", frames=frames, unsent=len(self._outbox)))

    def _drain(self) -> None:
        """A moment for the disk, and for the broker to confirm what is under way; the rest is kept."""
        self._drain_until(
            lambda: (
                bool(self._store.problem)
                or (
                    not self._commits.waiting
                    and (not self._standing.connected or len(self._outbox) <= self._outbox.refused)
                )
            )
        )

    def _drain_until(self, done: Callable[[], bool]) -> None:
        deadline = self._clock.monotonic() + _DRAIN_S
        while not done():
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                return
            for found in self._transport.receive(left_s):
                if not isinstance(found, Message):
                    self._take(found)
            self._settle()
