"""The block of the page: what was measured, against what was to be reached."""

from __future__ import annotations

import platform
import sqlite3
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from statistics import median

from edge_lstm import __version__
from tests.benchmark.daemon.found import Found
from tests.benchmark.daemon.replay import BATCH
from tests.benchmark.daemon.throughput import EMPTY_PAHO, STREAMS, Turns, Way, ratio, speed
from tests.benchmark.detection.work import machine
from tests.benchmark.sections import put
from trainer.describe import markdown_table

__all__ = ["write"]

_PACKAGES = ("ai-edge-litert", "numpy", "msgspec", "paho-mqtt", "mqtt5")
_WORDS = """\
## The daemon

Written by `make bench-daemon`. One real Mosquitto, real daemons and a subscriber that does nothing,
each a process; what is measured has one core for itself, the broker and everything else the other.
{streams} streams of eight channels, the default int8 model, a JSON object of eight values a reading
({payload} bytes). The broker first takes the readings for a session whose client is away; then the
client comes and is timed from the first reading to the last, so that the broker's core has only one
side to serve. The ratio is to a paho-mqtt subscriber whose `on_message` only counts, of the same
round; rates and ratios are medians of {rounds} rounds, in turns. What a daemon has scored is counted
from its health message and held against what it was given.

- Date: {date}, {minutes:.1f} minutes; load average before it {load:.2f}
- Machine: {machine}, Linux {kernel}; storage {storage}
- Versions: {versions}
- Broker: `max_inflight_messages 16000`, `max_queued_messages 0`, `queue_qos0_messages true`,
  `set_tcp_nodelay true`, no persistence; daemon: `mqtt.inflight: 16000`, `durability.loss_window_s: 1`
  where batched, else as by default
- Command: `{command}`
"""
_FIELD = """
Where the field is: an empty paho subscriber is 1.0 by definition; eKuiper claims 12,000 messages a
second on a Raspberry Pi 3B+ with a filter rule and no model, and 20 MB; the prototype of this design
wrote 0.36 to 0.64 GB a day at 50 streams. A miss is a miss of this run on this machine."""
_WAYS = """
"Core" is the share of its core that the process used: well below 100 % means that the broker, and not
the client, was the limit; the next column does without waiting. The empty mqtt5 subscriber shows how
much the broker can give."""


def write(page: Path, found: Found) -> None:
    """Write the block."""
    rounds = max(len(turns) for turns in found.turns.values())
    text = _WORDS.format(
        streams=STREAMS,
        payload=found.payload,
        rounds=rounds,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        minutes=found.minutes,
        load=found.load,
        machine=machine(),
        kernel=platform.release(),
        storage=found.storage,
        versions=", ".join(_versions()),
        command=found.command,
    )
    parts = [text, "### What was to be reached\n", markdown_table(_targets(found)), _FIELD]
    parts += ["\n### Readings per second of one core\n", markdown_table(_ways(found.turns)), _WAYS]
    parts += ["\n### The rest\n", markdown_table(_rest(found))]
    put(page, "daemon", "\n".join(parts))


def _versions() -> Iterable[str]:
    yield f"edge-lstm {__version__}"
    yield f"Python {platform.python_version()}"
    yield from (f"{name} {version(name)}" for name in _PACKAGES)
    yield f"SQLite {sqlite3.sqlite_version}"
    said = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    yield said.partition("\n")[0].replace("mosquitto version", "Mosquitto")


Row = tuple[str, str, str, bool]
"""What, the target, what was measured, whether that is enough."""


def _targets(found: Found) -> list[list[str]]:
    rows = [*_speeds(found), *_delays(found), *_sizes(found), *_storage(found)]
    troubles = found.troubles()
    said = "; ".join(troubles) if troubles else "all"
    rows.append(
        ("readings scored once and alerts heard, of those given, every run", "all", said, not troubles)
    )
    head = ["what", "target", "measured", ""]
    return [head, *([what, target, got, "reached" if ok else "missed"] for what, target, got, ok in rows)]


def _speeds(found: Found) -> Iterable[Row]:
    for way, least in ((("mqtt5", 1), 4.0), (("paho", 1), 0.8), (("mqtt5", 0), 5.0)):
        for one in found.turns:
            if one.mode == "strict" and (one.client, one.qos) == way:
                got = ratio(found.turns, one)
                what = f"readings per second over the empty paho subscriber's: {_named(one)}"
                yield what, f"≥ {least:g}", f"{got:.2f} ({speed(found.turns[one]):,.0f}/s)", got >= least
    got = found.replayed.engine / found.replayed.invoke
    what = f"replay without broker, messages to verdicts, over streams of a bare invoke of {BATCH}"
    yield what, "≥ 0.5", f"{got:.4f} ({found.replayed.engine:,.0f}/s)", got >= 0.5


def _delays(found: Found) -> Iterable[Row]:
    for one in found.latencies:
        got, strict = one.percentile(99), "strict" in one.title
        what = f"message in to alert out, p99 at 100 readings and alerts a second: {one.title}"
        yield what, "≤ 20 ms" if strict else "reported", f"{got:.1f} ms", got <= 20 or not strict
    got = median(found.starts)
    yield "process start to first score from a snapshot, median", "≤ 1.5 s", f"{got:.2f} s", got <= 1.5


def _sizes(found: Found) -> Iterable[Row]:
    for one in found.memories:
        most = {"litert": 90, "reference": 60}[one.backend]
        yield (
            f"memory, 1,000 streams, {one.backend}, peak",
            f"≤ {most} MB",
            f"{one.peak / 1e6:.1f} MB",
            (one.peak <= most * 1e6),
        )
        rise, error = one.slope
        what = f"its slope over {one.samples[-1].readings:,} readings, {one.backend}"
        said = f"{rise / 1e3:+.0f} ± {error / 1e3:.0f} kB a million"
        yield what, "0 within two standard errors", said, rise <= 2 * error
        last = one.samples[-1]
        said = f"{last.files} and {last.threads}" + ("" if one.steady else ", not always")
        yield f"open files and threads, {one.backend}", "constant", said, one.steady


def _storage(found: Found) -> Iterable[Row]:
    for one in found.wears:
        what = f"written in a day at 50 streams of 1 Hz, {one.mode}, seen for {one.seconds:.0f} s"
        yield what, "≤ 0.7 GB", f"{one.gigabytes_a_day:.2f} GB", one.gigabytes_a_day <= 0.7
    again = found.recovery
    what = f"start after kill -9 with {again.readings:,} readings in the journal, to the first score"
    yield what, "≤ 2 s", f"{again.seconds:.2f} s", again.seconds <= 2


def _named(way: Way) -> str:
    return f"QoS {way.qos}, {way.client}{', ' + way.mode if way.qos else ''}"


_cost = attrgetter("cost")


def _ways(turns: Turns) -> list[list[str]]:
    head = [
        "who",
        "QoS",
        "readings/s",
        "least and most",
        "over the empty paho subscriber",
        "core",
        "per second of processor time, over the same",
        "not scored",
    ]
    rows = []
    for way, all_turns in turns.items():
        rates = [turn.rate for turn in all_turns]
        missing = f"{all_turns[-1].missing:,} of {all_turns[-1].owed:,}" if way.mode else ""
        rows.append(
            [
                way.title,
                str(way.qos),
                f"{speed(all_turns):,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                "1" if way.title == EMPTY_PAHO else f"{ratio(turns, way):.2f}",
                f"{median(turn.core for turn in all_turns):.0%}",
                f"{median(map(_cost, all_turns)):,.0f}, {ratio(turns, way, _cost):.2f}",
                missing,
            ]
        )
    return [head, *rows]


def _rest(found: Found) -> list[list[str]]:
    replayed = found.replayed
    rows = [["what", "measured"]]
    rows += [
        [f"bare invoke of {BATCH}, streams per second", f"{replayed.invoke:,.0f}"],
        ["decoded readings to verdicts, no score asked for, readings per second", f"{replayed.quiet:,.0f}"],
        ["decoded readings to verdicts, every score made, readings per second", f"{replayed.detector:,.0f}"],
        ["messages to verdicts and what is published, readings per second", f"{replayed.engine:,.0f}"],
    ]
    for delay in found.latencies:
        said = " / ".join(f"{delay.percentile(share):.1f}" for share in (50, 99, 100))
        rows.append(
            [f"alert after message, {delay.title}: p50 / p99 / longest, {len(delay.ms)} alerts", f"{said} ms"]
        )
    for memory in found.memories:
        parts = memory.samples[:: max(1, len(memory.samples) // 10)]
        said = ", ".join(f"{one.rss / 1e6:.1f}" for one in (*parts, memory.samples[-1]))
        step = parts[1].readings - parts[0].readings
        rows.append([f"memory, {memory.backend}, MB, each {step:,} readings and the last", said])
    said = f"{min(found.starts):.2f} to {max(found.starts):.2f} s"
    rows.append([f"process start to first score, {len(found.starts)} times", said])
    rows.append(
        [
            "readings scored before and after kill -9, of those given",
            f"{found.recovery.scored:,} of {found.recovery.owed:,}",
        ]
    )
    return rows
