"""Readings per second of one core, beside a subscriber that does nothing, in turns.

The broker first takes the readings for a session whose client is away, then the client comes and
is timed from the first reading to the last: so the broker's core is busy with one side only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from statistics import median

import click

from tests.benchmark.daemon.site import DURABILITY, Counted, Daemon, Site, cores, cpu_s, streams

__all__ = [
    "EMPTY_MQTT5",
    "EMPTY_PAHO",
    "WAYS",
    "Turn",
    "Turns",
    "Way",
    "measure_throughput",
    "ratio",
    "speed",
]

STREAMS = 64
_FIRST_TURN = 20_000
_TICK_S = 0.01


@dataclass(frozen=True, slots=True)
class Way:
    """One of those that take turns.

    Attributes:
        code: Its name at the broker.
        title: Its name on the page.
        qos: Of readings.
        client: Transport; ``paho`` or ``mqtt5``.
        mode: Durability of the daemon, or empty for a subscriber that does nothing.
    """

    code: str
    title: str
    qos: int
    client: str
    mode: str = ""


EMPTY_PAHO, EMPTY_MQTT5 = "empty paho subscriber", "empty mqtt5 subscriber"
WAYS = (
    Way("e1", EMPTY_PAHO, 1, "paho"),
    Way("d1", "daemon, mqtt5, strict", 1, "mqtt5", "strict"),
    Way("d2", "daemon, mqtt5, batched", 1, "mqtt5", "batched"),
    Way("d3", "daemon, paho, strict", 1, "paho", "strict"),
    Way("d4", "daemon, paho, batched", 1, "paho", "batched"),
    Way("c1", EMPTY_MQTT5, 1, "mqtt5"),
    Way("e0", EMPTY_PAHO, 0, "paho"),
    Way("d0", "daemon, mqtt5", 0, "mqtt5", "strict"),
    Way("d9", "daemon, paho", 0, "paho", "strict"),
    Way("c0", EMPTY_MQTT5, 0, "mqtt5"),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of one way.

    Attributes:
        count: Readings given.
        seconds: From the first to the last of them; of a daemon from its connection to the last score.
        core: Share of the core that the process used in that time.
        counted: What the daemon has counted over all turns; nothing for a subscriber.
        owed: Readings given to the daemon over all turns, the mark at the end included.
    """

    count: int
    seconds: float
    core: float
    counted: Counted | None = None
    owed: int = 0

    @property
    def rate(self) -> float:
        """Readings per second."""
        return self.count / self.seconds

    @property
    def cost(self) -> float:
        """Readings per second of the process's processor time: what a core gives that never waits."""
        return self.count / max(self.core * self.seconds, _TICK_S)

    @property
    def missing(self) -> int:
        """Readings that were given and not scored."""
        return self.owed - self.counted.frames if self.counted else 0


Turns = dict[Way, list[Turn]]


def measure_throughput(site: Site, *, rounds: int, turn_s: float, ways: Sequence[Way] = WAYS) -> Turns:
    """Turns of every way.

    Args:
        site: Where.
        rounds: How often each has its turn; the first tells how much the next are given.
        turn_s: How long a turn shall take, seconds; 0 is a short one of 500 readings.
        ways: Who takes turns.
    """
    takers: dict[Way, Callable[[int], Turn]] = {
        way: _Daemon(site, way).turn if way.mode else _Empty(site, way).turn for way in ways
    }
    turns: Turns = {way: [] for way in ways}
    for i in range(rounds):
        for way, take in takers.items():
            count = round(turns[way][-1].rate * turn_s) if i and turn_s else _FIRST_TURN if turn_s else 500
            turns[way].append(take(count))
            said = turns[way][-1]
            click.echo(
                f"round {i + 1}, QoS {way.qos}, {way.title}: {said.rate:,.0f}/s, core {said.core:.0%}",
                err=True,
            )
    return turns


def speed(turns: Sequence[Turn]) -> float:
    """Readings per second, the median of the turns."""
    return median(turn.rate for turn in turns)


def ratio(turns: Turns, way: Way, figure: Callable[[Turn], float] = attrgetter("rate")) -> float:
    """How many times as fast as the empty paho subscriber of the same round, the median of the rounds."""
    (base,) = [one for one in turns if one.title == EMPTY_PAHO and one.qos == way.qos]
    return median(figure(a) / figure(b) for a, b in zip(turns[way], turns[base], strict=True))


class _Daemon:
    """A daemon's turns: the process is a new one each time, its states and its session go on."""

    def __init__(self, site: Site, way: Way) -> None:
        self._site, self._way, self._owed = site, way, 0
        self._daemon: Daemon = site.daemon(
            way.code, qos=way.qos, mqtt={"client": way.client}, durability=DURABILITY[way.mode]
        )
        self._daemon.settle()

    def turn(self, count: int) -> Turn:
        site, way, daemon = self._site, self._way, self._daemon
        site.feed(way.code, streams(STREAMS), count, qos=way.qos)
        mark = site.mark(way.code, qos=way.qos)
        self._owed += count + 1
        daemon.start()
        first, used = daemon.wait_connected().moment, cpu_s(daemon.pid)
        last, used = daemon.wait_score(mark).moment, cpu_s(daemon.pid) - used
        return Turn(count, last - first, used / (last - first), daemon.stop(), self._owed)


@dataclass(slots=True)
class _Empty:
    """A subscriber's turns."""

    site: Site
    way: Way
    _known: bool = field(default=False)

    def turn(self, count: int) -> Turn:
        if not self._known:
            self._run(0)
            self._known = True
        self.site.feed(self.way.code, streams(STREAMS), count, qos=self.way.qos)
        first, last, used = self._run(count)
        return Turn(count, last - first, used / (last - first))

    def _run(self, count: int) -> tuple[float, float, float]:
        way = self.way
        asked = [way.client, str(self.site.port), way.code, str(way.qos), str(count)]
        command = [
            "taskset",
            "-c",
            str(cores()[0]),
            sys.executable,
            "-m",
            "tests.benchmark.daemon.empty",
            *asked,
        ]
        done = subprocess.run(command, check=True, capture_output=True, timeout=120)
        first, last, used = json.loads(done.stdout)
        return first, last, used
