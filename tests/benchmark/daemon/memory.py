"""What a daemon with a thousand streams takes, and whether that grows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.benchmark.daemon.site import Counted, Site, streams

__all__ = ["Memory", "Sample", "measure_memory"]

STREAMS = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at one moment.

    Attributes:
        readings: That it has scored.
        rss: Resident memory, bytes.
        files: Open files.
        threads: Threads.
    """

    readings: int
    rss: int
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Memory:
    """One run.

    Attributes:
        backend: What ran the network.
        samples: After every chunk of readings.
        peak: Largest resident memory, bytes.
        counted: What the daemon had counted at the end.
        owed: Readings it was given, marks included.
    """

    backend: str
    samples: tuple[Sample, ...]
    peak: int
    counted: Counted
    owed: int

    @property
    def slope(self) -> tuple[float, float]:
        """Bytes per million readings by least squares over the second half, and the standard error.

        The first half fills what is bounded: rings, caches, the allocator's arenas.
        """
        late = self.samples[len(self.samples) // 2 :]
        x = np.array([one.readings for one in late]) / 1e6
        y = np.array([one.rss for one in late], dtype=np.float64)
        x0 = x - x.mean()
        rise = float(x0 @ y / (x0 @ x0))
        left = y - y.mean() - rise * x0
        return rise, float(np.sqrt(left @ left / (len(x) - 2) / (x0 @ x0)))

    @property
    def steady(self) -> bool:
        """Whether open files and threads were the same after every chunk."""
        return len({(one.files, one.threads) for one in self.samples}) == 1


def measure_memory(site: Site, backend: str, *, chunk: int, chunks: int) -> Memory:
    """Feed a daemon chunk after chunk and look at its process after each.

    Args:
        site: Where.
        backend: ``litert`` or ``reference``.
        chunk: Readings in one.
        chunks: How many; at least 6, so that there is a slope.
    """
    daemon = site.daemon(f"m-{backend}", backend=backend)
    daemon.settle()
    daemon.start()
    samples, names = [], streams(STREAMS)
    for i in range(chunks):
        site.feed(daemon.name, names, chunk, qos=1, turn=i * chunk // STREAMS)
        daemon.wait_score(site.mark(daemon.name))
        samples.append(_sample(daemon.pid, (i + 1) * (chunk + 1)))
    peak = _status(daemon.pid)["VmHWM"]
    return Memory(backend, tuple(samples), peak, daemon.stop(), chunks * (chunk + 1))


def _sample(pid: int, readings: int) -> Sample:
    status = _status(pid)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(readings, status["VmRSS"], files, status["Threads"])


def _status(pid: int) -> dict[str, int]:
    """Numbers of ``/proc/PID/status``; sizes in bytes."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, said = line.partition(":")
        words = said.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found
