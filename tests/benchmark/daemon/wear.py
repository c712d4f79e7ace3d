"""What is written to the storage in a day, how long recovery takes, and how long a start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmark.daemon.site import DURABILITY, Daemon, Site, streams
from tests.benchmark.daemon.wire import Peer, publish

__all__ = ["Recovery", "Wear", "measure_recovery", "measure_starts", "measure_wear"]

STREAMS = 50
DAY_S = 86_400
_SETTLE_S = 5.0
_LAST_ACK_S = 2.0
_START_STREAMS = 64


@dataclass(frozen=True, slots=True)
class Wear:
    """What a daemon wrote.

    Attributes:
        mode: Its durability.
        seconds: For how long it was watched.
        written: Bytes that it caused to be written to the storage in that time (``write_bytes``).
        owed: Readings that it was given, and scored if nothing is wrong.
        scored: Readings that it scored.
    """

    mode: str
    seconds: float
    written: int
    owed: int
    scored: int

    @property
    def gigabytes_a_day(self) -> float:
        """At this pace, 10^9 bytes."""
        return self.written / self.seconds * DAY_S / 1e9


def measure_wear(site: Site, modes: Sequence[str], *, seconds: float) -> list[Wear]:
    """50 machines with a reading each second, spread over the second, in real time; daemons side by side.

    Args:
        site: Where; its folder has to be on the storage that counts.
        modes: Durabilities.
        seconds: How long; whole intervals of the checkpoint, or the figure is by chance.
    """
    daemons = {mode: site.daemon(f"w-{mode}", durability=DURABILITY[mode]) for mode in modes}
    for daemon in daemons.values():
        daemon.settle()
        daemon.start()
        daemon.wait_granted()
    before: dict[str, int] = {}
    owed, since = 0, 0.0
    begin, settle_s = time.monotonic(), min(_SETTLE_S, seconds)
    names = streams(STREAMS)
    with Peer(site.port, "feeder-wear") as feeder:
        for i in range(round((settle_s + seconds) * STREAMS)):
            feeder.heard(begin + i / STREAMS - time.monotonic())
            time.sleep(max(0.0, begin + i / STREAMS - time.monotonic()))
            if not before and time.monotonic() - begin >= settle_s:
                before = {mode: _written(daemon.pid) for mode, daemon in daemons.items()}
                since = time.monotonic()
            for daemon in daemons.values():
                topic = f"{daemon.name}/{names[i % STREAMS]}"
                feeder.send(publish(topic, site.rows.payload(i // STREAMS), mid=i % 65_535 + 1))
            owed += 1
        after = {mode: _written(daemon.pid) for mode, daemon in daemons.items()}
        lasted = time.monotonic() - since
    found = []
    for mode, daemon in daemons.items():
        daemon.wait_score(site.mark(daemon.name))
        scored = daemon.stop().frames - 1
        found.append(Wear(mode, lasted, after[mode] - before[mode], owed, scored))
    return found


def _written(pid: int) -> int:
    """Bytes that a process has caused to be sent to the storage (proc_pid_io(5))."""
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


@dataclass(frozen=True, slots=True)
class Recovery:
    """A start after ``kill -9``.

    Attributes:
        readings: In the journal, since the last checkpoint.
        seconds: From the start of the process to the first score of a message that waited.
        owed: Readings that the daemon was given in its life.
        scored: Readings that it says it scored.
    """

    readings: int
    seconds: float
    owed: int
    scored: int


def measure_recovery(site: Site, *, readings: int) -> Recovery:
    """Kill a daemon that has acknowledged readings since its last checkpoint, and start it again."""
    daemon = site.daemon("r", snapshot={"interval_s": 3600})
    daemon.settle()
    daemon.start()
    site.feed(daemon.name, streams(STREAMS), readings, qos=1)
    daemon.wait_score(site.mark(daemon.name))
    time.sleep(_LAST_ACK_S)  # until the last acknowledgement is at the broker in any durability
    daemon.kill()
    seconds = _start_to_score(site, daemon)
    return Recovery(readings, seconds, readings + 2, daemon.stop().frames)


def measure_starts(site: Site, *, times: int) -> list[float]:
    """Seconds from the start of a process, with 64 streams in its snapshot, to its first score.

    The message waits at the broker before the process is started.
    """
    daemon = site.daemon("s")
    daemon.settle()
    daemon.start()
    site.feed(daemon.name, streams(_START_STREAMS), 40 * _START_STREAMS, qos=1)
    daemon.wait_score(site.mark(daemon.name))
    daemon.stop()
    found = []
    for _ in range(times):
        found.append(_start_to_score(site, daemon))
        daemon.stop()
    return found


def _start_to_score(site: Site, daemon: Daemon) -> float:
    mark = site.mark(daemon.name)
    begun = daemon.start()
    return daemon.wait_score(mark).moment - begun
