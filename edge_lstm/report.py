"""How the node is: the health message and the line for the service manager."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from edge_lstm import __version__
from edge_lstm.accelerator import Runner
from edge_lstm.clock import Clock
from edge_lstm.commit import Commits
from edge_lstm.contracts.commission import Commission
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.status import Status, StatusStorage
from edge_lstm.engine import Engine
from edge_lstm.io.facts import More, quarantined, status_of
from edge_lstm.io.health import Health, HealthModel
from edge_lstm.io.notices import Notices
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.store import Store
from edge_lstm.io.transport import Transport
from edge_lstm.reload import Reloader
from edge_lstm.times import NS, format_time

__all__ = ["Life", "Report", "Standing"]


@dataclass(slots=True)
class Life:
    """What is counted from the start of the process, over reloads.

    Attributes:
        began_s: Start, monotonic seconds.
        connections: Connections to the broker.
        sessions_lost: Times that the broker had forgotten us.
        owes_farewell: Whether "online" stands at the broker and no last will would take it back:
            from the end of a connection by a reload until the next one.
    """

    began_s: float
    connections: int = 0
    sessions_lost: int = 0
    owes_farewell: bool = False


@dataclass(slots=True)
class Standing:
    """What the loop knows of itself.

    Attributes:
        connected: Whether the broker has accepted us.
        subscribed: Whether it has granted our subscriptions.
        connections: Connections of this configuration.
        taken_over: Whether another client uses our name.
        saved: Monotonic time of the last checkpoint, seconds; ``None`` before the first.
        dropped_readings: Readings of QoS 0 that were dropped because the disk did not keep up.
        problems: What is wrong, by kind, one line each.
    """

    connected: bool = False
    subscribed: bool = False
    taken_over: bool = False
    connections: int = 0
    saved: float | None = None
    dropped_readings: int = 0
    problems: dict[str, str] = field(default_factory=dict)

    def note(self, kind: str, problem: str) -> None:
        """Keep a problem, or strike it out when it is empty."""
        if problem:
            self.problems[kind] = problem
        else:
            self.problems.pop(kind, None)


class Report:
    """Reads the parts of a loop; changes nothing but the standing's problems."""

    def __init__(  # noqa: PLR0913 - everything there is to tell of
        self,
        config: DeviceConfig,
        engine: Engine,
        transport: Transport,
        outbox: Outbox,
        notices: Notices,
        store: Store,
        *,
        commits: Commits,
        life: Life,
        standing: Standing,
        clock: Clock,
        model: HealthModel,
        backend: Runner,
        reset_reason: Literal["damaged", "other_bundle"] | None,
    ) -> None:
        self._config, self._engine, self._transport = config, engine, transport
        self._outbox, self._notices, self._store = outbox, notices, store
        self._commits, self._life, self._standing, self._clock = commits, life, standing, clock
        self._model, self._backend, self._reset_reason = model, backend, reset_reason

    def health(self) -> Health:
        """How the node is, now."""
        standing, counters, now = self._standing, self._engine.counters, self._clock.monotonic()
        detector = self._engine.detector
        standing.note("backend", self._backend.problem)
        dropped = self._store.facts.dropped + self._notices.dropped
        standing.note("outbox", f"{dropped} alerts or other messages were given up" if dropped else "")
        seen, commissions = counters.last_reading_ns, detector.commissions()
        learning = [told for told in commissions if told.status == "commissioning"]
        standing.note("commission", _refused([told for told in learning if told.reason]))
        return Health(
            node=self._config.node,
            pid=os.getpid(),
            status="degraded" if standing.problems else "ok" if standing.subscribed else "starting",
            problems=list(standing.problems.values()),
            time=format_time(self._clock.time_ns()),
            uptime_s=round(now - self._life.began_s, 3),
            version=__version__,
            model=self._model,
            backend=self._backend.name,
            backend_reason=self._backend.reason,
            readings=counters.readings,
            frames=counters.frames,
            rejects=counters.rejects,
            bad_values=counters.bad_values,
            failures=counters.failures,
            assets=len(detector.assets) + detector.away,
            commissioning=len(learning),
            commissioned=len(commissions) - len(learning),
            alerts=counters.alerts,
            alerts_open=len(detector.open_alerts()),
            queue=self._transport.backlog,
            outbox=len(self._outbox) + len(self._notices),
            dropped={
                "scores": self._transport.dropped,
                "outbox": dropped,
                "readings": standing.dropped_readings,
            },
            connections=self._life.connections,
            last_reading=format_time(seen) if seen else None,
            snapshot_age_s=None if standing.saved is None else round(now - standing.saved, 3),
            state_reset_reason=self._reset_reason,
        )

    def status(self, reloader: Reloader) -> Status:
        """Everything that ``edge-lstm status`` and the metrics tell."""
        self._standing.note("reload", reloader.problem)
        config, facts, standing, health = self._config, self._store.facts, self._standing, self.health()
        now_ns = self._clock.time_ns()
        more = More(
            transport=self._transport.name,
            connected=standing.connected,
            subscribed=standing.subscribed,
            sessions_lost=self._life.sessions_lost,
            received=self._engine.counters.received,
            accepted=self._engine.counters.accepted,
            resident=len(self._engine.detector.assets),
            refused=self._outbox.refused_by_reason(),
            storage=StatusStorage(
                state_dir=config.state_dir,
                durability=config.durability.mode,
                loss_window_s=config.durability.loss_window_s if config.durability.mode == "batched" else 0.0,
                lag_s=round(self._commits.lag_s(), 3),
                commit_age_s=_age_s(facts.last_commit_ns, now_ns),
                snapshot_age_s=health.snapshot_age_s,
                journal_bytes=facts.segment_bytes,
                uncovered_bytes=facts.uncovered_bytes,
                sqlite=facts.sqlite,
                paused=facts.problem,
            ),
            reloads=reloader.reloads,
            quarantine=quarantined(self._engine.quarantine.entries()),
        )
        return status_of(config, health, more)

    def line(self) -> str:
        """One line for ``systemctl status``."""
        mqtt, detector = self._config.mqtt, self._engine.detector
        if not self._standing.connected:
            return f"waiting for the broker at {mqtt.host}:{mqtt.port}"
        alarms = len(detector.open_alerts())
        said = f"{len(detector.assets)} assets, {self._engine.counters.frames} frames, {alarms} alarms open"
        problem = self._store.problem or self._backend.problem
        return f"{said}; {problem}" if problem else said


def _age_s(moment_ns: int, now_ns: int) -> float | None:
    return max(0, now_ns - moment_ns) / NS if moment_ns else None


def _refused(refused: Sequence[Commission]) -> str:
    """An asset that cannot be learned is not watched: somebody should know."""
    if not refused:
        return ""
    first, more = refused[0], f", and {len(refused) - 1} more" if len(refused) > 1 else ""
    return f"not watched, its baseline is unsteady: {first.asset} ({first.reason}){more}"
