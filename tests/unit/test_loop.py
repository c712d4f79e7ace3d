"""The engine, the loop and the restore, without sockets: events in, calls out."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_lstm.accelerator import Runner
from edge_lstm.backends import Selected
from edge_lstm.bundle import Bundle
from edge_lstm.clock import ArrivalClock
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import CommissionConfig
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.state import StreamSnapshot
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.detector import Detector
from edge_lstm.engine import Engine
from edge_lstm.io.answers import Notice
from edge_lstm.io.health import HealthModel
from edge_lstm.io.notices import Notices
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.store import Store
from edge_lstm.io.systemd import Notifier
from edge_lstm.io.transport import (
    Confirmed,
    Connected,
    Disconnected,
    Message,
    Publication,
    Subscribed,
    TransportEvent,
    Woken,
)
from edge_lstm.loop import Loop, Parts, Stop
from edge_lstm.reload import Prepared, Reloader
from edge_lstm.report import Life
from edge_lstm.restore import fetcher, restore
from edge_lstm.state_machine import StateMachine
from edge_lstm.testing import FakeBackend, fake_manifest
from edge_lstm.times import NS

SHA = "ab" * 32
START_NS = 1_772_366_400 * NS
FAREWELL = Publication("edge-lstm/n/availability", b"offline", qos=1, retain=True)


@dataclass
class ManualClock:
    """Time that goes when it is told to."""

    now_s: float = 0.0

    def time_ns(self) -> int:
        """Wall clock."""
        return START_NS + round(self.now_s * NS)

    def monotonic(self) -> float:
        """Seconds since the start of the test."""
        return self.now_s


def settle(store: Store) -> None:
    """Wait until the store has done everything that it was asked for."""
    while store.completed < store.asked and not store.problem:
        time.sleep(0.0002)


@dataclass
class ScriptedTransport:
    """Delivers what the test has written down, and writes down what it is told."""

    clock: ManualClock
    script: deque[TransportEvent | float | Callable[[], None]] = field(default_factory=deque)
    said: list[tuple[str, Any]] = field(default_factory=list)
    stop_request: Stop | None = None
    answers: bool = True
    name: str = "scripted"
    rival: bool = False
    alive: bool = True
    dropped: int = 0
    connected: bool = False
    store: Store | None = None

    @property
    def backlog(self) -> int:
        """What waits."""
        return len(self.script)

    def start(self) -> None:
        """Begin."""
        self.said.append(("start", None))

    def receive(self, timeout_s: float) -> list[TransportEvent]:
        """The next event; a number lets time pass; the end asks the loop to stop.

        The disk is always faster than the script.
        """
        if self.store is not None:
            settle(self.store)
        if not self.script:
            if self.stop_request is not None:
                self.stop_request.request()
            self.clock.now_s += min(timeout_s, 1.0)
            return []
        found = self.script.popleft()
        if callable(found):
            found()
            return []
        if isinstance(found, float):
            self.clock.now_s += min(timeout_s, found)
            if found > timeout_s:
                self.script.appendleft(found - timeout_s)
            return []
        if isinstance(found, Connected | Disconnected):
            self.connected = isinstance(found, Connected)
        return [found]

    def publish(self, publication: Publication, *, token: int | None = None) -> None:
        """Write it down; what has a token is confirmed, unless the test says otherwise."""
        if not self.connected:
            return
        self.said.append(("publish", publication))
        if token is not None and self.answers:
            self.script.appendleft(Confirmed(token))

    def ack(self, epoch: int, mids: Sequence[int]) -> None:
        """Write it down."""
        assert epoch
        self.said.extend(("ack", mid) for mid in mids)

    def wake(self) -> None:
        """Nothing sleeps here."""
        self.script.append(Woken())

    def stop(self, farewell: Publication, *, timeout_s: float) -> None:
        """Write it down."""
        self.said.append(("stop", (farewell, timeout_s)))

    def published(self, ending: str) -> list[Publication]:
        """What was published on topics of an ending."""
        return [p for kind, p in self.said if kind == "publish" and p.topic.endswith(ending)]


class BrokenBackend(FakeBackend):
    """Fails for some frames."""

    def __init__(self) -> None:
        self.failing = 0

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """As `FakeBackend`, or not at all."""
        if self.failing:
            self.failing -= 1
            state[0][:] = 99
            raise RuntimeError("interpreter lost")
        return super().step(frame, state)


class Killed(Exception):  # noqa: N818 - an end, not an error
    """The process is no more."""


class House:
    """Everything around one loop."""

    def __init__(self, folder: Path, **changes: Any) -> None:  # noqa: ANN401 - any key of the configuration
        self.config = msgspec.convert(
            {
                "node": "n",
                "bundle": "b",
                "state_dir": str(folder / "state"),
                "inputs": [{"topic": "plant/{asset}", "time_field": "t"}],
                "publish": {"score_interval_s": 0, "health_interval_s": 30},
                "alarm": {"threshold": 1.5, "open_after": 2, "close_after": 2, "refractory": 0},
                "durability": {"commit_s": 0},
                **changes,
            },
            DeviceConfig,
        )
        self.clock = ManualClock()
        self.backend = BrokenBackend()
        self.folder = folder / "state"
        self.sha256 = SHA

    def engine(self, config: DeviceConfig | None = None) -> Engine:
        """An engine that has seen nothing."""
        config = config or self.config
        manifest = fake_manifest()
        detector = Detector(
            manifest,
            self.backend,
            sha256=self.sha256,
            node="n",
            alarm=config.alarm,
            commission=config.commission,
            streams=config.streams,
        )
        return Engine(config, detector, manifest=manifest, clock=self.clock)

    def reloader(self) -> Reloader:
        """What runs is all that there is to run."""
        bundle = Bundle(Path("b"), self.sha256, fake_manifest(), {})
        running = Prepared(self.config, bundle, Selected(self.backend, "as chosen"))
        return Reloader(lambda: self.config, running)

    def ask_to_stop(self) -> None:
        """As a signal does it."""
        self.loop._parts.stop.request()

    def run(
        self, *script: TransportEvent | float | Callable[[], None], answers: bool = True
    ) -> ScriptedTransport:
        """A whole life of a daemon, from restore to stop."""
        store = Store(self.folder, wake=lambda: None)
        try:
            return self._live(store, script, answers=answers)
        finally:
            store.close()

    def kill(self, *script: TransportEvent | float | Callable[[], None]) -> ScriptedTransport:
        """A life that ends without a word, when all that was taken is in the journal."""

        def end() -> None:
            raise Killed

        with pytest.raises(Killed):
            self.run(*script, end)
        return self.transport

    def _live(
        self, store: Store, script: Sequence[TransportEvent | float | Callable[[], None]], *, answers: bool
    ) -> ScriptedTransport:
        found = store.recover(self.sha256)

        def machine(config: DeviceConfig = self.config) -> StateMachine:
            made = StateMachine(self.engine(config), window=20, config=msgspec.json.encode(config))
            made.engine.detector.fetch = fetcher(store)
            return made

        begin = restore(
            found,
            machine,
            sha256=self.sha256,
            clock=self.clock,
            resident=self.config.resident_assets,
            config=msgspec.json.encode(self.config),
            make_before=lambda raw: machine(msgspec.json.decode(raw, type=DeviceConfig)),
        )
        stop = Stop()
        self.transport = transport = ScriptedTransport(
            self.clock, deque(script), stop_request=stop, answers=answers, store=store
        )
        outbox = Outbox(
            self.clock.monotonic,
            store.waiting,
            recovered=found.outbox,
            waiting=found.outbox_waiting,
            last=found.outbox_last,
        )
        notices = Notices()
        notices.add(begin.first)
        store.start()
        outbox.add(begin.rows, store.post(begin.rows))
        self.begin = begin
        parts = Parts(
            config=self.config,
            machine=begin.machine,
            transport=transport,
            store=store,
            outbox=outbox,
            notices=notices,
            notifier=Notifier(),
            clock=self.clock,
            arrivals=ArrivalClock(self.clock),
            stop=stop,
            model=HealthModel("fake", "1", self.sha256),
            backend=Runner(self.backend, None, "as chosen"),
            farewell=FAREWELL,
            online=msgspec.structs.replace(FAREWELL, payload=b"online"),
            reloader=self.reloader(),
            notice=Notice(),
            life=Life(self.clock.monotonic()),
            filters=("plant/+",),
            reset_reason=begin.reset_reason,
            recovered=not begin.settled,
        )
        self.loop = Loop(parts)
        self.loop.run()
        return transport


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with its own folder."""
    return House(tmp_path)


def reading(number: int, value: float = 0.5, *, mid: int | None = None, asset: str = "pump") -> Message:
    """A reading of both channels, one a second."""
    body = json.dumps({"t": START_NS // NS + number, "a": value, "b": value})
    arrived = START_NS + number * NS
    return Message(f"plant/{asset}", body.encode(), 1, False, arrived, number if mid is None else mid, 1)


UP = Connected(1, session_present=True)
GRANTED = Subscribed(())


def strange(first: int, count: int) -> list[Message]:
    """Readings that no fake model expects: they jump from rail to rail."""
    return [reading(n, 7.5 if n % 2 else -7.5) for n in range(first, first + count)]


def test_loop_order_is_score_publish_acknowledge(house: House) -> None:
    """Readings are acknowledged in order, after they are on the disk; scores do not wait for it."""
    transport = house.run(UP, GRANTED, reading(1), reading(2))
    kinds = [
        (kind, what.topic.rsplit("/", 1)[-1] if kind == "publish" else what)
        for kind, what in transport.said
        if kind == "ack" or (kind == "publish" and what.topic.endswith("score"))
    ]

    assert [("publish", "score"), ("publish", "score"), ("ack", 1), ("ack", 2)] == kinds


def test_loop_bad_messages_are_acknowledged_and_counted(house: House) -> None:
    """Poison is told the broker as done, or it would come for ever."""
    bad = msgspec.structs.replace(reading(1), payload=b"?")
    elsewhere = msgspec.structs.replace(reading(2), topic="other/pump")
    empty = msgspec.structs.replace(reading(3), topic="")
    transport = house.run(UP, bad, elsewhere, empty, reading(4), reading(4, mid=9))

    assert [1, 2, 3, 4, 9] == [what for kind, what in transport.said if kind == "ack"]
    health = house.loop.health()
    assert {"undecodable": 1, "bad_topic": 2, "duplicate": 1} == health.rejects
    assert (2, 1) == (health.readings, health.frames)


def test_loop_a_fault_of_ours_stops_one_asset_for_one_message(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback, acknowledged, counted; the asset starts anew and the others go on."""
    house.backend.failing = 1
    transport = house.run(UP, GRANTED, reading(1), reading(2, asset="other"), reading(2), reading(3))

    assert [1, 2, 2, 3] == [what for kind, what in transport.said if kind == "ack"]
    assert ("degraded", 1, 3) == (
        house.loop.health().status,
        house.loop.health().failures,
        house.loop.health().frames,
    )
    assert "message.failed topic=plant/pump" in caplog.text
    assert "interpreter lost" in caplog.text
    fresh = house.engine()
    expected = [json.loads(p.payload)["score"] for p in fresh.take([reading(2), reading(3)])]
    assert expected == [json.loads(p.payload)["score"] for p in transport.published("pump/score")]


def test_loop_many_faults_in_a_row_end_the_process(house: House) -> None:
    """What fails for everything is for the service manager to start anew."""
    house.backend.failing = 100
    with pytest.raises(RuntimeError, match="interpreter lost"):
        house.run(UP, *[reading(n) for n in range(1, 20)])


def test_loop_alerts_wait_for_the_broker(house: House) -> None:
    """While the broker is away nothing is lost: alerts go out in order when it is back, scores do not."""
    house.run(UP, GRANTED, *[reading(n) for n in range(1, 4)])
    transport = house.run(
        UP,
        Disconnected(1, "gone"),
        *strange(4, 6),
        *[reading(n) for n in range(10, 40)],
        Connected(2, session_present=True),
    )
    types = [json.loads(p.payload)["type"] for p in transport.published("pump/alert")]

    assert ("open", "close") == (types[0], types[-1])
    assert [] == transport.published("pump/score")
    assert b"" == transport.published("alarm/anomaly")[-1].payload


def test_loop_stop_while_the_broker_is_away_loses_no_alert(house: House) -> None:
    """What the broker did not get is in the snapshot, and the next process sends it first."""
    house.run(*strange(1, 6))
    assert 0 < len(house.loop._outbox)
    transport = house.run(UP)
    (first, *_) = [p for kind, p in transport.said if kind == "publish" and p.qos and "/pump/" in p.topic]

    assert "edge-lstm/n/pump/alert" == first.topic
    assert "open" == json.loads(first.payload)["type"]


def test_loop_stop_with_unconfirmed_alerts_sends_them_again(house: House) -> None:
    """Sent and not confirmed is not sent; a subscriber knows the repeat by its id."""
    first = house.run(UP, *strange(1, 6), answers=False)
    second = house.run(UP)

    alert = json.loads(first.published("pump/alert")[0].payload)
    assert alert == json.loads(second.published("pump/alert")[0].payload)


def test_loop_alarm_of_the_start_does_not_outlive_its_end(house: House) -> None:
    """What was open at the start is told once the outbox is empty, and not when it has ended meanwhile."""
    first = house.run(UP, *strange(1, 6), answers=False)
    unsent = len(house.loop._outbox)
    second = house.run(
        UP,
        *[reading(n) for n in range(7, 30)],
        *[Confirmed(number) for number in range(1, unsent + 10)],
        0.1,
        answers=False,
    )

    assert first.published("alarm/anomaly")[-1].payload
    assert b"" == second.published("alarm/anomaly")[-1].payload


def test_loop_stop_leaves_what_waits_unacknowledged(house: House) -> None:
    """Messages behind the wish to stop are the next process's."""
    transport = house.run(UP, reading(1), house.ask_to_stop, reading(2), reading(3))

    assert [1] == [what for kind, what in transport.said if kind == "ack"]
    assert ("stop", (FAREWELL, 3.0)) == transport.said[-1]


def test_loop_refused_alert_is_tried_again_and_said(house: House) -> None:
    """A refusal makes health degraded and holds nothing up; when it is taken, health is good again."""
    transport = house.run(
        UP, GRANTED, *strange(1, 3), Confirmed(1, "Not authorized"), 0.1, 31.0, answers=False
    )

    assert 2 == len(transport.published("pump/alert"))
    assert "degraded" == house.loop.health().status
    (said,) = house.loop.health().problems
    assert "the broker refuses edge-lstm/n/pump/alert: Not authorized" == said
    house.loop._take(Confirmed(1))
    assert "ok" == house.loop.health().status


def test_loop_alert_that_nobody_hears_is_logged_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """An alarm system without a subscriber is worth a line."""
    house.run(UP, *strange(1, 3), Confirmed(1, heard=False), answers=False)

    assert 1 == caplog.text.count("alert.nobody_listens topic=edge-lstm/n/pump/alert")


def test_loop_session_lost_brings_retained_alarms_back(house: House) -> None:
    """A broker that forgot us has forgotten our alarms too."""
    transport = house.run(
        UP, *strange(1, 3), 0.1, Disconnected(1, "gone"), Connected(2, session_present=False), 0.1
    )
    alarms = transport.published("alarm/anomaly")

    assert 2 == len(alarms)
    assert alarms[0] == alarms[1]


def commissioned(folder: Path) -> House:
    """A house that learns unknown assets from 50 readings, and never sees an alarm."""
    return House(folder, commission={"readings": 50}, alarm={"threshold": 1e9})


RAMP = [reading(n, 10.0 * n) for n in range(50)]
STEADY = [reading(n, 3.0 + (n * 7 % 5)) for n in range(50, 100)]


def test_loop_unsteady_machine_is_said_until_it_is_learned(tmp_path: Path) -> None:
    """A refused baseline makes health degraded with its reason; a good one puts it right and is retained."""
    house = commissioned(tmp_path)
    transport = house.run(UP, GRANTED, *RAMP)
    health = house.loop.health()

    assert ("degraded", 1, 0) == (health.status, health.commissioning, health.commissioned)
    assert "not watched, its baseline is unsteady: pump (a drifts by" in health.problems[0]
    transport = house.run(UP, GRANTED, *STEADY, 40.0)
    health = house.loop.health()
    assert ([], 0, 1) == (health.problems, health.commissioning, health.commissioned)
    told = transport.published("/pump/commission")
    assert ["commissioning", "done"] == [json.loads(p.payload)["status"] for p in told]
    assert all(p.retain and p.qos == 1 for p in told)
    again = house.run(UP, GRANTED, Disconnected(1, "x"), Connected(2, session_present=False))
    payloads = [p.payload for p in again.published("/pump/commission")]
    assert [told[-1].payload] * 2 == payloads  # at the start, and when the broker has forgotten


def test_restore_clears_a_commissioning_that_is_no_longer_wanted(tmp_path: Path) -> None:
    """The broker would otherwise say `commissioning` for ever."""
    house = commissioned(tmp_path)
    house.run(UP, GRANTED, *STEADY[:20])
    house.config = msgspec.structs.replace(house.config, commission=CommissionConfig())
    transport = house.run(UP, GRANTED, STEADY[20])

    assert [b""] == [p.payload for p in transport.published("/pump/commission")]
    assert "normal" == json.loads(transport.published("/score")[-1].payload)["status"]


def test_loop_status_follows_the_subscriptions(house: House) -> None:
    """Starting until they are granted, degraded when one is refused, stopped at the end."""
    transport = house.run(UP, 0.1, GRANTED, 0.1, Subscribed(("plant/+",)))
    statuses = [json.loads(p.payload)["status"] for p in transport.published("/health")]

    assert ["starting", "ok", "degraded", "stopped"] == statuses


def test_loop_health_and_snapshots_come_by_the_clock(tmp_path: Path) -> None:
    """Every interval, whether readings come or not, and at the end."""
    house = House(tmp_path, snapshot={"interval_s": 60})
    transport = house.run(UP, GRANTED, 95.0)
    ages = [json.loads(p.payload)["snapshot_age_s"] for p in transport.published("/health")]

    # The first one at the start, the second after a minute: written by another thread, known a turn later.
    assert ages == [None, 0.0, ages[2], ages[3], 29.0, 0.0]
    assert 30.0 <= ages[2] < ages[3] <= 60.0


def test_restore_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """A life in two parts says what one life says."""
    readings = [
        *[reading(n, n / 50) for n in range(1, 30)],
        *strange(30, 5),
        *[reading(n) for n in range(35, 60)],
    ]
    one, two = House(tmp_path / "one"), House(tmp_path / "two")
    whole = one.run(UP, *readings)
    first = two.run(UP, *readings[:32])
    second = two.run(UP, *readings[32:])
    for ending in ("pump/score", "pump/alert"):
        assert whole.published(ending) == first.published(ending) + second.published(ending)
    assert one.loop.health().frames == two.loop.health().frames


MANY = [reading(n, n / 60, asset=f"m{which}", mid=4 * n + which) for n in range(1, 60) for which in range(4)]
"""Readings of four assets, one of each in turn."""


def heard(*lives: ScriptedTransport) -> dict[str, list[bytes]]:
    """Scores by topic, in order."""
    found: dict[str, list[bytes]] = {}
    for life in lives:
        for one in life.published("/score"):
            found.setdefault(one.topic, []).append(one.payload)
    return found


def test_restore_after_a_kill_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """No checkpoint was ever made: the journal alone gives states, counts and alarms again."""
    readings = [
        *[reading(n, n / 50) for n in range(1, 30)],
        *strange(30, 3),
        *[reading(n) for n in range(33, 60)],
    ]
    one, two = House(tmp_path / "one"), House(tmp_path / "two")
    whole = one.run(UP, *readings)
    first = two.kill(UP, *readings[:32])
    second = two.run(UP, *readings[32:])

    assert heard(whole) == heard(first, second)
    alerts = [p for life in (first, second) for p in life.published("pump/alert")]
    assert whole.published("pump/alert") == list({p.payload: p for p in alerts}.values())
    assert first.published("alarm/anomaly")[0] == second.published("alarm/anomaly")[0]
    assert one.loop.health().readings == two.loop.health().readings


def test_restore_within_a_kill_takes_nothing_twice(house: House) -> None:
    """What the broker sends again is known by its identifier, whatever the journal was cut into."""
    house.kill(UP, reading(1), reading(2))
    again = [msgspec.structs.replace(reading(n), duplicate=True) for n in (1, 2)]
    transport = house.run(UP, *again, reading(3))

    assert [1, 2, 3] == [what for kind, what in transport.said if kind == "ack"]
    assert {"redelivered": 2} == house.loop.health().rejects
    assert (3, 3) == (house.loop.health().readings, house.loop.health().frames)


@pytest.mark.parametrize("end", ["run", "kill"])
def test_assets_on_the_disk_are_scored_as_those_in_memory(tmp_path: Path, end: str) -> None:
    """One place for four machines: they leave, come back with their readings, also out of the journal."""
    roomy = House(tmp_path / "roomy", streams={"silent_after_s": 0})
    tight = House(
        tmp_path / "tight", streams={"silent_after_s": 0}, resident_assets=1, snapshot={"interval_s": 1}
    )
    resident: list[int] = []

    def look() -> None:
        resident.append(len(tight.begin.machine.engine.detector.assets))

    whole = roomy.run(UP, *MANY)
    rest: list[TransportEvent | float | Callable[[], None]] = []
    for number, one in enumerate(MANY[:120]):
        rest += [one, 1.1, 0.1, look] if number % 10 == 9 else [one]
    first = getattr(tight, end)(UP, *rest, *MANY[120:130])
    second = tight.run(UP, *MANY[130:])

    assert {1} == set(resident)
    assert heard(whole) == heard(first, second)
    assert 4 == tight.loop.health().assets
    assert roomy.loop.health().frames == tight.loop.health().frames


def test_assets_leave_the_memory_when_they_have_fallen_silent(tmp_path: Path) -> None:
    """Not before: a silence of which nobody would be told is none that was watched for."""
    house = House(tmp_path, streams={"silent_after_s": 5}, resident_assets=1, snapshot={"interval_s": 1})
    resident: list[int] = []

    def look() -> None:
        resident.append(len(house.begin.machine.engine.detector.assets))

    house.clock.now_s = 60.0
    transport = house.run(UP, GRANTED, *MANY[:8], 1.5, 0.1, look, *[1.0] * 8, look)
    silent = [json.loads(p.payload)["reason"] for p in transport.published("/quality")]

    assert [4, 1] == resident
    assert ["silent"] * 4 == silent


def test_restore_under_another_configuration_takes_the_journal_under_the_one_before(house: House) -> None:
    """What came before a crash means what it meant: counts, numbers and ids of alerts go on."""
    before = house.kill(UP, GRANTED, *strange(1, 4), reading(9))
    opened = [json.loads(p.payload) for p in before.published("pump/alert")]
    house.config = msgspec.structs.replace(
        house.config,
        inputs=(msgspec.structs.replace(house.config.inputs[0], topic="elsewhere/{asset}"),),
        alarm=msgspec.structs.replace(house.config.alarm, threshold=1e9),
    )
    moved = [msgspec.structs.replace(one, topic="elsewhere/pump") for one in (reading(10), reading(11))]
    after = house.run(UP, GRANTED, *moved)
    closed = [json.loads(p.payload) for p in after.published("pump/alert")]
    health = house.loop.health()

    assert [1] == [alert["seq"] for alert in opened]
    assert [(2, "close", opened[0]["id"])] == [(a["seq"], a["type"], a["id"]) for a in closed]
    assert (7, 7, {}) == (health.readings, health.frames, health.rejects)
    assert b"" == after.published("alarm/anomaly")[-1].payload


def test_restore_of_another_bundle_closes_its_episodes(house: House) -> None:
    """Cold, said so, and no episode of the old model stays open."""
    before = house.run(UP, *strange(1, 4))
    house.sha256 = "cd" * 32
    transport = house.run(UP)
    alert = msgspec.json.decode(transport.published("pump/alert")[0].payload, type=Alert)

    assert json.loads(before.published("pump/alert")[0].payload)["id"] == alert.id
    assert ("close", "2026-03-01T12:00:01.000Z") == (alert.type, alert.ended)
    assert b"" == transport.published("alarm/anomaly")[-1].payload
    assert ("other_bundle", []) == (
        house.loop.health().state_reset_reason,
        house.begin.machine.engine.detector.assets,
    )


def damage(folder: Path, change: Callable[[StreamSnapshot], object]) -> None:
    """Change what is kept of the only stream, and have the checksum fit."""
    store = Store(folder, wake=lambda: None)
    found = store.recover(SHA)
    ((asset, raw),) = found.streams()
    saved = msgspec.msgpack.decode(raw, type=StreamSnapshot)
    change(saved)
    assert found.meta is not None
    store.start()
    store.checkpoint(found.meta, [(asset, msgspec.msgpack.encode(saved))], bundle_sha256=SHA)
    assert store.close(10.0)


def test_restore_of_a_misfit_is_cold(house: House) -> None:
    """A snapshot that says it is of this bundle and does not fit it."""
    house.run(reading(1))
    damage(house.folder, lambda saved: saved.arrays.popitem())
    transport = house.run(UP, reading(2), reading(3))

    assert "damaged" == house.loop.health().state_reset_reason
    (cleared,) = transport.published("alarm/anomaly")
    assert (b"", True) == (cleared.payload, cleared.retain)


def test_engine_thins_scores_by_the_clock(tmp_path: Path) -> None:
    """One score an interval and asset; a new status is told at once."""
    house = House(tmp_path, publish={"score_interval_s": 10})
    transport = house.run(
        UP, reading(1), reading(2), reading(2, asset="other"), 10.0, reading(3), *strange(4, 3)
    )
    said = [(p.topic.split("/")[2], json.loads(p.payload)["status"]) for p in transport.published("/score")]

    assert [("pump", "normal"), ("other", "normal"), ("pump", "normal"), ("pump", "open")] == said


def test_engine_quality_can_be_silenced(tmp_path: Path) -> None:
    """A site may not want to hear of sensor faults."""
    loud, silent = House(tmp_path / "loud"), House(tmp_path / "silent", publish={"quality": False})

    assert 1 == len(loud.run(UP, reading(1), reading(100)).published("pump/quality"))
    assert [] == silent.run(UP, reading(1), reading(100)).published("pump/quality")


def test_engine_too_large_is_not_decoded(house: House) -> None:
    """The size is looked at first."""
    large = msgspec.structs.replace(reading(1), payload=b" " * 65_537)
    house.run(UP, large)

    assert {"too_large": 1} == house.loop.health().rejects


def test_engine_bad_values_count_for_channels_of_the_model_only(house: House) -> None:
    """A text field beside the values is nobody's fault."""
    body = b'{"t": 1772366401, "a": "x", "b": 1, "comment": "fine"}'
    house.run(UP, msgspec.structs.replace(reading(1), payload=body))

    assert (1, 1) == (house.loop.health().bad_values, house.loop.health().frames)
