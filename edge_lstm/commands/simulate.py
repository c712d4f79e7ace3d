"""``edge-lstm simulate``: simulated pumps to a broker, or into a file of history."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import click

from edge_lstm.errors import ConfigError
from edge_lstm.files import read_at_most
from edge_lstm.simulate import CHANNELS, FAULTS, Fault, Plant, Sample, Tick, parse_duration_s, parse_fault
from edge_lstm.times import format_time, parse_time
from edge_lstm.topics import PLACES, Template, check_name

__all__ = ["simulate"]

HISTORY_START = "2026-01-05T00:00:00Z"  # any Monday's midnight: the same command, the same file


_MOST_PASSWORD = 2**16
_LEAST_RATE, _MOST_RATE = 1e-6, 1e6
_LATEST_NS = parse_time("2199-12-31T00:00:00Z")


def _read(parse: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, object], object]:
    """An option's callback that reads text by ``parse``; what it refuses is wrong usage."""

    def callback(context: click.Context, option: click.Parameter, value: object) -> object:
        try:
            if isinstance(value, tuple):
                return tuple(parse(text) for text in value)
            return parse(value) if isinstance(value, str) else value
        except (ValueError, ConfigError) as error:
            raise click.BadParameter(str(error), ctx=context, param=option) from error

    return callback


def _rate(text: str) -> float:
    """A period of less than a nanosecond, or of more than the years that a time can say, is none."""
    rate = float(text)
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        raise ValueError(f"{text} is not a rate: expected {_LEAST_RATE:g} to {_MOST_RATE:g} a second")
    return rate


def _start(text: str) -> int:
    start = parse_time(text)
    if not 0 <= start <= _LATEST_NS:
        raise ValueError(f"{text} is out of range: expected 1970 to 2199")
    return start


def _host(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty: expected a name or an address")
    return text


def _asset_name(text: str) -> str:
    if why := check_name(text):
        raise ValueError(f"'{text}' is not a name for a pump: {why}")
    return text


def _topic(text: str) -> str:
    template = Template.parse(text)
    if set(template.filter) & set("#") or template.filter.count("+") > sum(map(template.has, PLACES)):
        raise ValueError(f"'{text}' is for subscribing: readings go to one topic, without + or #")
    return text


@dataclass(frozen=True, slots=True)
class _Broker:
    """Where readings go.

    Attributes:
        topic: Template with ``{asset}`` and perhaps ``{channel}``.
        speedup: Simulated seconds per real second; 0 is as fast as the broker takes them.
    """

    host: str
    port: int
    topic: str
    qos: int
    username: str | None
    password_file: Path | None
    speedup: float


@click.command(
    short_help="Publish simulated pumps with faults on command, or write their history.",
    epilog="Example: edge-lstm simulate --history 20000 --rate 0.2 --out history.parquet; "
    "edge-lstm simulate --fault bearing_wear@120s",
)
@click.option(
    "--host",
    default="127.0.0.1",
    callback=_read(_host),
    show_default=True,
    show_envvar=True,
    help="The MQTT broker.",
)
@click.option(
    "--port",
    default=1883,
    type=click.IntRange(1, 65535),
    show_default=True,
    show_envvar=True,
    help="Its TCP port.",
)
@click.option(
    "--topic",
    default="plant/{asset}/readings",
    metavar="TEMPLATE",
    callback=_read(_topic),
    show_default=True,
    show_envvar=True,
    help="One JSON object a reading; with {channel} in it, one plain number a channel.",
)
@click.option(
    "--qos",
    default=1,
    type=click.IntRange(0, 1),
    show_default=True,
    show_envvar=True,
    help="1: every reading arrives; 0: fire and forget.",
)
@click.option("--username", show_envvar=True, help="Login at the broker.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    show_envvar=True,
    help="File whose first line is the password.",
)
@click.option("--assets", type=click.IntRange(1), show_envvar=True, help="That many pumps: pump-1, pump-2 …")
@click.option(
    "--asset",
    multiple=True,
    metavar="NAME",
    callback=_read(_asset_name),
    show_envvar=True,
    help="One pump of this name; repeatable.  [default: pump-1]",
)
@click.option(
    "--rate",
    default="1",
    metavar="FLOAT",
    callback=_read(_rate),
    show_default=True,
    show_envvar=True,
    help="Readings of each pump per simulated second.",
)
@click.option(
    "--speedup",
    default=1.0,
    type=click.FloatRange(0),
    show_default=True,
    show_envvar=True,
    help="Simulated seconds per real second; 0 is as fast as the broker takes them.",
)
@click.option(
    "--seed",
    default=1,
    type=click.IntRange(0),
    show_default=True,
    show_envvar=True,
    help="Another seed is another day of the same pumps.",
)
@click.option(
    "--start",
    metavar="TIME",
    callback=_read(_start),
    show_envvar=True,
    help=f"Simulated time of the first reading, RFC 3339.  [default: now; {HISTORY_START} for --history]",
)
@click.option(
    "--fault",
    multiple=True,
    metavar="FAULT",
    callback=_read(parse_fault),
    show_envvar=True,
    help="NAME@TIME[:for=TIME][:strength=X][:grow=TIME][:channel=CHANNEL][:asset=NAME], in simulated time; "
    f"repeatable. NAME is one of {', '.join(FAULTS)}.",
)
@click.option(
    "--count", type=click.IntRange(1), show_envvar=True, help="Stop after that many readings a pump."
)
@click.option(
    "--duration",
    metavar="TIME",
    callback=_read(parse_duration_s),
    show_envvar=True,
    help="Stop after that simulated time, like 10m.",
)
@click.option(
    "--history", type=click.IntRange(1), show_envvar=True, help="Write that many readings a pump to --out."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    show_envvar=True,
    help="File for --history, .csv or .parquet.",
)
@click.option(
    "--labels",
    is_flag=True,
    show_envvar=True,
    help="With --history: a column 'anomaly', 1 while a fault is there.",
)
def simulate(
    *,
    host: str,
    port: int,
    topic: str,
    qos: int,
    username: str | None,
    password_file: Path | None,
    assets: int | None,
    asset: tuple[str, ...],
    rate: float,
    speedup: float,
    seed: int,
    start: int | None,
    fault: tuple[Fault, ...],
    count: int | None,
    duration: float | None,
    history: int | None,
    out: Path | None,
    labels: bool,
) -> None:
    """Publish simulated pumps to an MQTT broker, or write their history to a file.

    Channels: speed (rpm), flow (m3/h), pressure (bar), vibration (mm/s RMS), bearing_temperature
    (degC), motor_current (A). The same seed gives the same readings.
    """
    _check_usage(history=history, out=out, labels=labels, count=count, duration=duration)
    if start is None:
        start = time.time_ns() if history is None else parse_time(HISTORY_START)
    pumps = _assets(assets, asset, fault, topic if history is None else "{asset}")
    plant = Plant(pumps, seed=seed, period_s=1.0 / rate, start_ns=start, faults=fault)
    if history is not None and plant.time_ns(history - 1) > _LATEST_NS:
        raise click.UsageError("--history ends after the year 2199; give fewer readings or a higher --rate.")
    if history is not None and out is not None:
        _write_history(plant, pumps, history, out, labels=labels)
        return
    if duration is not None:
        count = max(1, round(duration * rate))
    broker = _Broker(host, port, topic, qos, username, password_file, speedup)
    _publish(plant, count, broker)


def _check_usage(
    *, history: int | None, out: Path | None, labels: bool, count: int | None, duration: float | None
) -> None:
    """Refuse options that contradict each other."""
    if (history is None) != (out is None):
        raise click.UsageError("--history and --out belong together.")
    if labels and history is None:
        raise click.UsageError("--labels needs --history: readings on a broker carry no labels.")
    if duration == 0:
        raise click.UsageError("--duration of nothing publishes nothing.")
    if count is not None and duration is not None:
        raise click.UsageError("--count and --duration say the same thing; give one.")
    if history is not None and (count is not None or duration is not None):
        raise click.UsageError("--history already says how many readings; leave --count and --duration out.")


def _assets(number: int | None, names: tuple[str, ...], faults: tuple[Fault, ...], topic: str) -> list[str]:
    """Names of the pumps."""
    if number is not None and names:
        raise click.UsageError("--assets makes the names and --asset gives them; use one of them.")
    pumps = list(dict.fromkeys(names)) or [f"pump-{index + 1}" for index in range(number or 1)]
    if len(pumps) > 1 and "{asset}" not in topic:
        raise click.UsageError("several pumps need {asset} in --topic.")
    for fault in faults:
        if fault.asset is not None and fault.asset not in pumps:
            raise click.UsageError(f"--fault for '{fault.asset}', but the pumps are {', '.join(pumps)}.")
    return pumps


def _write_history(plant: Plant, pumps: list[str], count: int, out: Path, *, labels: bool) -> None:
    """Readings into a file; a column for the asset when there are several."""
    from edge_lstm.io.recording import check_recording, write_recording  # noqa: PLC0415 - fast --help

    check_recording(out)
    columns = ["time", *(["asset"] if len(pumps) > 1 else []), *CHANNELS, *(["anomaly"] if labels else [])]
    write_recording(out, columns, _rows(plant, count, several=len(pumps) > 1, labels=labels))
    last = format_time(plant.time_ns(count - 1))
    click.echo(
        f"wrote {out}: {count} readings of {', '.join(pumps)}, one every {plant.period_s:g} s, "
        f"{format_time(plant.start_ns)} to {last}"
    )


def _rows(plant: Plant, count: int, *, several: bool, labels: bool) -> Iterator[tuple[object, ...]]:
    for tick in plant.ticks(count):
        for sample in tick.samples:
            name = (sample.asset,) if several else ()
            label = (int(sample.faulty),) if labels else ()
            yield (tick.time_ns, *name, *sample.values.values(), *label)


def _publish(plant: Plant, count: int | None, broker: _Broker) -> None:
    """Readings to the broker in simulated time, until the count is reached or we are told to stop."""
    from edge_lstm.io.feed import Feed  # noqa: PLC0415 - fast --help

    password = _password(broker.password_file) if broker.password_file is not None else None
    with (
        _stopped_by_signal() as stop,
        Feed(
            broker.host, port=broker.port, qos=broker.qos, username=broker.username, password=password
        ) as feed,
    ):
        click.echo(
            f"publishing to {broker.host}:{broker.port} {broker.topic} from {format_time(plant.start_ns)}"
        )
        began = time.monotonic()
        sent = 0
        for tick in plant.ticks(count):
            due = began + (tick.elapsed_s / broker.speedup if broker.speedup else 0.0)
            if stop.wait(max(0.0, due - time.monotonic())):
                break
            _announce(tick)
            for topic, payload in _messages(tick, broker.topic):
                feed.publish(topic, payload)
                sent += 1
    click.echo(f"published {sent} messages in {time.monotonic() - began:.1f} s")


def _password(path: Path) -> str:
    """First line of a file.

    Raises:
        ConfigError: It is not text.
    """
    try:
        return [*read_at_most(path, _MOST_PASSWORD).decode().splitlines(), ""][0]
    except UnicodeDecodeError as error:
        raise ConfigError(
            "not a text file", path=path, expected="the password in its first line, UTF-8"
        ) from error


@contextmanager
def _stopped_by_signal() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set, so that what is under way still arrives."""
    stop = Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(tick: Tick) -> None:
    for word, faults in (("begins", tick.began), ("ends", tick.ended)):
        for fault in faults:
            place = f" in {fault.channel}" if fault.channel else ""
            click.echo(f"{fault.kind.name}{place} {word} at {format_time(tick.time_ns)}")


def _messages(tick: Tick, topic: str) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of every message of one tick."""
    for sample in tick.samples:
        if "{channel}" in topic:
            yield from _channel_messages(sample, topic)
        else:
            body = {"time": format_time(tick.time_ns), **sample.values}
            yield topic.replace("{asset}", sample.asset), json.dumps(body, separators=(",", ":")).encode()


def _channel_messages(sample: Sample, topic: str) -> Iterator[tuple[str, bytes]]:
    for channel, value in sample.values.items():
        if value is not None:
            yield topic.replace("{asset}", sample.asset).replace("{channel}", channel), str(value).encode()
