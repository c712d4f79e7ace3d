"""``edge-lstm demo``: history, training, broker, daemon, fault, alert; every part the real one."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
import yaml

from edge_lstm.contracts.alert import Alert
from edge_lstm.errors import EdgeLstmError, OperatorError
from edge_lstm.simulate import FAULTS, SENSORS, Fault, parse_fault
from edge_lstm.times import NS, format_time, parse_time
from trainer.demo.broker import EmbeddedBroker
from trainer.demo.child import Child
from trainer.demo.show import show_alert, show_score, show_verdict, step
from trainer.demo.watch import Message, Watcher
from trainer.extras import need_extra

__all__ = ["demo"]

NODE, ASSET, TOPIC = "demo", "pump-1", "plant/{asset}/readings"
PERIOD_S = 10.0
LIVE_START = "2026-01-07T06:00:00Z"  # a day after the history's end; the pump is the same, the day is another
HEALTHY_S = 7200.0
READINGS_PER_S = 60.0
ONLINE_S = 60.0
ALERTING = [name for name in FAULTS if name != "drop_out"]  # a value that is not there is a quality event


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the demo does.

    Attributes:
        folder: Where its files are.
        history: Readings of history.
        fault: What goes wrong with the live pump.
        patience_s: Real time to wait for the alert after the fault began, seconds.
        stay: Whether to go on after the alert.
    """

    folder: Path
    history: int
    fault: Fault
    patience_s: float
    stay: bool

    @property
    def fault_ns(self) -> int:
        """Simulated time at which the fault begins."""
        return parse_time(LIVE_START) + int(self.fault.start_s * NS)


@click.command(
    short_help="See it all on this machine: train, run, break a pump, get the alert.",
    epilog="Example: edge-lstm demo --fault cavitation --keep demo",
)
@click.option(
    "--fault",
    type=click.Choice(ALERTING),
    default="bearing_wear",
    show_default=True,
    show_envvar=True,
    help="What goes wrong with the pump.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    show_envvar=True,
    help="Keep history, bundle, configuration and logs in this folder.",
)
@click.option("--stay", is_flag=True, show_envvar=True, help="Go on after the alert until Ctrl-C.")
@click.option(
    "--history",
    type=click.IntRange(1000),
    default=17280,
    show_default=True,
    show_envvar=True,
    help="Readings to train on, one every 10 simulated seconds; two days unless you say otherwise.",
)
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    show_envvar=True,
    help="Seconds to wait for the alert after the fault began.",
)
@click.pass_context
def demo(
    context: click.Context, *, fault: str, keep: Path | None, stay: bool, history: int, patience: float
) -> None:
    """See it all on this machine, with every part the real one.

    Writes the history of a healthy pump, trains a bundle on it, starts a broker and the daemon,
    runs a live pump that breaks after a while, and shows the alert that any MQTT subscriber
    gets. Exit code 0 when the alert came in time and names the right cause, 1 otherwise.
    """
    need_extra("demo", ("amqtt", "polars", "rich", "tensorflow"), what="the demo")
    with _orderly_end(), ExitStack() as stack:
        plan = _Plan(
            folder=_folder(keep, stack),
            history=history,
            fault=parse_fault(f"{fault}@{HEALTHY_S:g}s"),
            patience_s=patience,
            stay=stay,
        )
        right = _run(plan)
    context.exit(0 if right else 1)


def _folder(keep: Path | None, stack: ExitStack) -> Path:
    """An empty folder, of the user's choice or one that goes away.

    Raises:
        OperatorError: The user's folder is in use: an older run's states would answer for this one.
    """
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-lstm-demo-")))
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise OperatorError(f"{keep} is not empty", do="name a new folder for --keep")
    except OSError as error:
        raise OperatorError(f"cannot use {keep}", got=str(error), do="name another folder") from error
    return keep.resolve()


@contextmanager
def _orderly_end() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: children stopped, folder removed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(plan: _Plan) -> bool:
    """The whole demo; True when the alert names the right cause."""
    began = time.monotonic()
    hours = plan.history * PERIOD_S / 3600
    step(1, f"history: {hours:.0f} hours of a healthy pump")
    _write_history(plan)
    step(2, "training: the bundle")
    _train(plan)
    with EmbeddedBroker() as broker, Watcher(broker.port, f"edge-lstm/{NODE}/#", "plant/#") as watcher:
        step(3, f"broker on 127.0.0.1:{broker.port}, and the daemon")
        _write_config(plan, broker.port)
        daemon = Child(["run", "--config", "edge-lstm.yaml"], cwd=plan.folder, log=plan.folder / "daemon.log")
        with _reported(daemon):
            _wait_online(watcher, daemon)
            speedup, healthy_h = READINGS_PER_S * PERIOD_S, plan.fault.start_s / 3600
            step(
                4,
                f"a live pump at {speedup:.0f} times real time; {plan.fault.kind.name} after {healthy_h:g} h",
            )
            click.echo(f"   any client may listen:  mosquitto_sub -p {broker.port} -v -t 'edge-lstm/#'")
            pump = Child(
                _live_arguments(plan, broker.port), cwd=plan.folder, log=plan.folder / "simulate.log"
            )
            with _reported(pump):
                step(5, f"waiting for the alert on edge-lstm/{NODE}/{ASSET}/alert")
                alert = _wait_alert(plan, watcher, (daemon, pump))
                right = show_verdict(plan.fault, alert)
                click.echo(f"   done in {time.monotonic() - began:.0f} s")
                click.echo("   next, with your own history: edge-lstm train history.csv --out model.elb")
                if plan.stay:
                    with suppress(KeyboardInterrupt):  # asked for: the verdict stands
                        _go_on(watcher, (daemon, pump))
    return right


@contextmanager
def _reported(child: Child) -> Iterator[None]:
    """Run a child; when anything fails, show what it said last."""
    click.echo(f"   {child.title}")
    try:
        with child:
            yield
    except EdgeLstmError:
        if tail := child.tail():
            click.echo(f"--- last lines of '{child.title}':\n{tail}\n---", err=True)
        raise


def _write_history(plan: _Plan) -> None:
    arguments = ["simulate", "--history", str(plan.history), "--rate", f"{1 / PERIOD_S:g}"]
    writing = Child([*arguments, "--asset", ASSET, "--out", "history.parquet"], cwd=plan.folder)
    with _reported(writing):
        writing.wait()


def _train(plan: _Plan) -> None:
    """Train, with the sensors' units so that alerts have them."""
    units = {sensor.name: {"unit": sensor.unit} for sensor in SENSORS}
    (plan.folder / "train.yaml").write_text(yaml.safe_dump({"channels": units}), encoding="utf-8")
    arguments = ["train", "history.parquet", "--config", "train.yaml", "--out", "pump.elb"]
    with _reported(training := Child(arguments, cwd=plan.folder)):
        training.wait()


def _write_config(plan: _Plan, port: int) -> None:
    """The daemon's configuration: only what differs from the defaults."""
    config = {
        "node": NODE,
        "bundle": "pump.elb",
        "state_dir": "state",
        "mqtt": {"host": "127.0.0.1", "port": port, "protocol": "3.1.1"},  # amqtt knows no MQTT 5
        "inputs": [{"topic": TOPIC, "time_field": "time"}],
    }
    (plan.folder / "edge-lstm.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _live_arguments(plan: _Plan, port: int) -> list[str]:
    rate = 1 / PERIOD_S
    where = ["--port", str(port), "--topic", TOPIC, "--asset", ASSET, "--start", LIVE_START, "--seed", "2"]
    pace = ["--rate", f"{rate:g}", "--speedup", f"{READINGS_PER_S / rate:g}"]
    return ["simulate", *where, *pace, "--fault", f"{plan.fault.kind.name}@{plan.fault.start_s:g}s"]


def _wait_online(watcher: Watcher, daemon: Child) -> None:
    """Wait until the daemon says that it is there.

    Raises:
        OperatorError: It does not within `ONLINE_S`.
    """
    for message in _messages(watcher, (daemon,), ONLINE_S):
        if message.kind == "availability" and message.payload == b"online":
            return
    raise OperatorError("the daemon did not come online", expected=f"'online' within {ONLINE_S:g} s")


def _messages(watcher: Watcher, children: tuple[Child, ...], patience_s: float) -> Iterator[Message]:
    """Messages until the time is over, as long as all children live.

    Raises:
        OperatorError: A child has ended.
    """
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        for child in children:
            child.check()
        if message := watcher.next(0.2):
            yield message


def _wait_alert(plan: _Plan, watcher: Watcher, children: tuple[Child, ...]) -> Alert:
    """The first alert of the fault.

    Raises:
        OperatorError: None came in time.
    """
    healthy_s = plan.fault.start_s / (PERIOD_S * READINGS_PER_S)
    fault_seen: float | None = None
    for message in _messages(watcher, children, healthy_s + plan.patience_s):
        if message.kind == "readings":
            if fault_seen is None and parse_time(message.json()["time"]) >= plan.fault_ns:
                fault_seen = message.received
                click.secho(f"   {format_time(plan.fault_ns)}  {plan.fault.kind.name} begins", fg="yellow")
        elif message.kind == "score":
            show_score(message)
        elif message.kind == "alert":
            alert = msgspec.json.decode(message.payload, type=Alert)
            # An episode that was open before the fault would be a false alarm, whatever it says later.
            if fault_seen is not None and parse_time(alert.started) >= plan.fault_ns:
                show_alert(alert, fault_ns=plan.fault_ns, after_s=message.received - fault_seen)
                return alert
            click.echo(f"   {alert.time}  {alert.type}: {alert.text} (begun before the fault: a false alarm)")
    raise OperatorError(
        f"no alert of {plan.fault.kind.name}", expected=f"one within {plan.patience_s:g} s of the fault"
    )


def _go_on(watcher: Watcher, children: tuple[Child, ...]) -> None:
    """Show what comes until Ctrl-C."""
    click.echo("   going on; Ctrl-C ends it")
    for message in _messages(watcher, children, float("inf")):
        if message.kind == "score":
            show_score(message)
        elif message.kind == "alert":
            alert = msgspec.json.decode(message.payload, type=Alert)
            click.secho(f"   {alert.time}  {alert.type}: {alert.text}", fg="red")
