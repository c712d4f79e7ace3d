"""Puts a daemon together: configuration to state folder, bundle, backend, transport and loop."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_lstm import __version__
from edge_lstm.accelerator import Runner, accelerate
from edge_lstm.backends import Selected, step_us
from edge_lstm.bundle import Bundle
from edge_lstm.clock import ArrivalClock, Clock, SystemClock
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.contracts.status import Status
from edge_lstm.core.backend import Backend
from edge_lstm.core.detector import Detector
from edge_lstm.engine import Engine
from edge_lstm.errors import TakenOverError
from edge_lstm.io.answers import Answers, Notice
from edge_lstm.io.choice import make_transport
from edge_lstm.io.control import control_listener
from edge_lstm.io.health import HealthModel
from edge_lstm.io.metrics_http import metrics_listener
from edge_lstm.io.notices import Notices
from edge_lstm.io.outbox import Outbox
from edge_lstm.io.settings import mqtt_settings
from edge_lstm.io.store import Store
from edge_lstm.io.systemd import Notifier
from edge_lstm.io.transport import Subscription
from edge_lstm.logs import event
from edge_lstm.loop import Loop, Outcome, Parts, Stop
from edge_lstm.reload import Prepared, Reloader, prepare
from edge_lstm.report import Life
from edge_lstm.restore import fetcher, restore
from edge_lstm.state_machine import StateMachine
from edge_lstm.topics import Template

__all__ = ["answering", "make_engine", "serve", "unknown_channels"]

log = logging.getLogger(__name__)

_SWITCH_S = 0.0005
"""The thread that writes must not wait Python's usual 5 ms for its turn each time that the disk has answered:
acknowledgements wait for it, and the broker for them."""


def serve(
    load: Callable[[], DeviceConfig],
    *,
    environ: MutableMapping[str, str],
    prepare: Callable[[DeviceConfig], Prepared] = prepare,
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    Nothing is read from the broker before the bundle is verified and its golden vectors
    have come out on this board.

    Args:
        load: Reads the site's configuration.
        environ: Where systemd's variables are; they are taken out.
        prepare: Opens what the configuration names.

    Raises:
        OperatorError: It cannot begin: configuration, state folder, bundle, backend, or a file
            that the configuration names; or it had to stop: another client has taken our place,
            or what came in last could not be written down.
    """
    config = load()
    sys.setswitchinterval(_SWITCH_S)
    stop, notice = Stop(), Notice[Status]()
    house = _House(stop, SystemClock(), notice, Life(time.monotonic()), _Wake())
    with (
        closing(Notifier.from_environment(environ)) as notifier,
        _signals(stop),
        closing(_store(config, house.wake)) as store,
    ):
        notifier.status("verifying the bundle")
        reloader = Reloader(load, prepare(config), prepare=prepare)
        with answering(config, notice):
            outcome = _live(house, reloader, notifier, store)
            while outcome == "reload":
                with closing(_store(reloader.wanted.config, house.wake)) as again:
                    outcome = _live(house, reloader, notifier, again)
    if outcome == "taken_over":
        raise TakenOverError(
            f"another client connected as '{config.client_id}'",
            do="stop the other daemon, or give one of them another node or mqtt.client_id",
        )


@dataclass(frozen=True, slots=True)
class _House:
    """What outlives a reload."""

    stop: Stop
    clock: Clock
    notice: Notice[Status]
    life: Life
    wake: _Wake


def _live(house: _House, reloader: Reloader, notifier: Notifier, store: Store) -> Outcome:
    """One configuration, from taking up the states to writing them down."""
    ready = reloader.switch()
    runner = _runner(ready.config, ready.bundle, ready.selected)
    try:
        _tell_start(ready.config, ready.bundle, ready.selected, runner)
        return Loop(_assemble(house, ready, runner, store, notifier=notifier, reloader=reloader)).run()
    finally:
        runner.close()


@contextmanager
def answering(config: DeviceConfig, notice: Notice[Status]) -> Iterator[None]:
    """Answer ``edge-lstm status`` and scrapers from a notice.

    A socket that cannot be made costs the answers of ``status``, never the daemon.

    Args:
        config: The site; its state folder is held by this process.
        notice: The newest facts.

    Raises:
        ConfigError: ``metrics.listen`` cannot be had.
    """
    listeners = []
    if config.metrics.listen is not None:
        listeners.append(metrics_listener(config.metrics.listen, notice))
        log.info(event("metrics.listening", address=config.metrics.listen))
    try:
        listeners.append(control_listener(Path(config.state_dir), notice))
    except OSError as error:
        log.warning(event("control.unavailable", reason=error.strerror or error))
    with closing(Answers(listeners)) as answers:
        answers.start()
        yield


def _runner(config: DeviceConfig, bundle: Bundle, selected: Selected) -> Runner:
    if config.backend not in ("auto", "edgetpu") or not bundle.manifest.input:
        return Runner(selected.backend, None, selected.reason)
    return accelerate(bundle, selected.backend, selected.reason, forced=config.backend == "edgetpu")


def make_engine(config: DeviceConfig, bundle: Bundle, backend: Backend, *, clock: Clock) -> Engine:
    """An engine that has seen nothing."""
    detector = Detector(
        bundle.manifest,
        backend,
        sha256=bundle.sha256,
        weights=bundle.weights(),
        node=config.node,
        alarm=config.alarm,
        commission=config.commission,
        streams=config.streams,
        max_assets=config.max_assets,
    )
    return Engine(config, detector, manifest=bundle.manifest, clock=clock)


class _Wake:
    """The store calls before there is a transport to wake."""

    def __init__(self) -> None:
        self._wake: Callable[[], None] = lambda: None

    def wakes(self, wake: Callable[[], None]) -> None:
        """Whom to wake."""
        self._wake = wake

    def __call__(self) -> None:
        self._wake()


def _store(config: DeviceConfig, wake: Callable[[], None]) -> Store:
    durability = config.durability
    return Store(
        Path(config.state_dir), mode=durability.mode, loss_window_s=durability.loss_window_s, wake=wake
    )


def _assemble(
    house: _House, ready: Prepared, runner: Runner, store: Store, *, notifier: Notifier, reloader: Reloader
) -> Parts:
    config, bundle, clock = ready.config, ready.bundle, house.clock
    settings = mqtt_settings(config)
    found = store.recover(bundle.sha256)
    notifier.status("taking up the states")

    def make(said: DeviceConfig = config) -> StateMachine:
        engine = make_engine(said, bundle, runner, clock=clock)
        # Before the journal is taken again: it has readings of assets that rest on the disk.
        engine.detector.fetch = fetcher(store)
        return StateMachine(engine, window=said.mqtt.inflight, config=msgspec.json.encode(said))

    def make_before(raw: bytes) -> StateMachine:
        return make(msgspec.json.decode(raw, type=DeviceConfig))

    begin = restore(
        found,
        make,
        sha256=bundle.sha256,
        clock=clock,
        resident=config.resident_assets,
        config=msgspec.json.encode(config),
        make_before=make_before,
        alive=notifier.progress,
    )
    outbox = Outbox(
        clock.monotonic,
        store.waiting,
        recovered=found.outbox,
        waiting=found.outbox_waiting,
        last=found.outbox_last,
    )
    notices = Notices(limit=max(2000, 4 * config.max_assets))
    notices.add(begin.first)
    store.start()
    outbox.add(begin.rows, store.post(begin.rows))
    topics = [Subscription(Template.parse(i.topic).filter, i.qos) for i in config.inputs]
    subscriptions = (*topics, Subscription(f"{config.root}/alerts/replay", 1))
    filters = tuple(subscription.filter for subscription in subscriptions)
    obsolete = tuple(known for known in begin.filters if known not in filters)
    arrivals = ArrivalClock(clock, after_ns=begin.machine.engine.counters.last_reading_ns)
    transport = make_transport(settings, subscriptions=subscriptions, obsolete=obsolete, clock=arrivals)
    house.wake.wakes(transport.wake)
    manifest = bundle.manifest
    return Parts(
        config=config,
        machine=begin.machine,
        transport=transport,
        store=store,
        outbox=outbox,
        notices=notices,
        notifier=notifier,
        clock=clock,
        arrivals=arrivals,
        stop=house.stop,
        model=HealthModel(manifest.id, manifest.version, bundle.sha256),
        backend=runner,
        farewell=settings.will,
        online=settings.online,
        reloader=reloader,
        notice=house.notice,
        life=house.life,
        filters=filters,
        obsolete=obsolete,
        reset_reason=begin.reset_reason,
        problem=found.problem,
        recovered=not begin.settled,
    )


def unknown_channels(config: DeviceConfig, manifest: Manifest) -> list[str]:
    """Channels that the inputs name and the model lacks: nothing would ever arrive in their place."""
    said = {name for source in config.inputs for name in source.channels.values()}
    said |= {source.channels.get(one, one) for source in config.inputs if (one := source.channel) is not None}
    return sorted(said - {channel.name for channel in manifest.channels})


def _tell_start(config: DeviceConfig, bundle: Bundle, selected: Selected, runner: Runner) -> None:
    manifest, backend = bundle.manifest, selected.backend
    log.info(
        event(
            "daemon.starting",
            version=__version__,
            node=config.node,
            model=f"{manifest.id}/{manifest.version}",
            backend=runner.name,
            reason=runner.reason,
            channels=",".join(channel.name for channel in manifest.channels),
        )
    )
    if selected.fallback:
        took = round(step_us(bundle, backend))
        log.warning(event("backend.fallback", using=backend.name, us_a_step=took, reason=selected.reason))
    strange = unknown_channels(config, manifest)
    if strange:
        log.warning(event("config.channels_unknown", channels=",".join(strange)))
    own, standard = msgspec.to_builtins(config.alarm), msgspec.to_builtins(AlarmOverrides())
    overridden = {key: value for key, value in own.items() if value != standard[key]}
    if overridden:
        log.warning(event("alarm.overridden", **overridden))


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """SIGTERM and SIGINT ask the loop to end, SIGHUP to reload; afterwards they mean what they did."""

    def ask(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            stop.request_reload()
        else:
            stop.request()

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
