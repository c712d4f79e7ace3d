"""All that a run has found, and what in it is not accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmark.daemon.latency import Latency
from tests.benchmark.daemon.memory import Memory
from tests.benchmark.daemon.replay import Replayed
from tests.benchmark.daemon.throughput import Turns
from tests.benchmark.daemon.wear import Recovery, Wear

__all__ = ["Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """All that was measured.

    Attributes:
        turns: Throughput, way by way.
        replayed: Without a broker.
        latencies: Message in to alert out.
        memories: A thousand streams, each backend.
        starts: Process start to first score, seconds.
        wears: Bytes written, each durability.
        recovery: After ``kill -9``.
        payload: Bytes of a reading.
        storage: File system of the state folders.
        minutes: How long it all took.
        load: The load average before it.
        command: What was called.
    """

    turns: Turns
    replayed: Replayed
    latencies: Sequence[Latency]
    memories: Sequence[Memory]
    starts: Sequence[float]
    wears: Sequence[Wear]
    recovery: Recovery
    payload: int
    storage: str
    minutes: float
    load: float
    command: str

    def troubles(self) -> list[str]:
        """Readings and alerts that are not accounted for; readings of QoS 0 may be lost."""
        found = []
        for way, turns in self.turns.items():
            last = turns[-1]
            if last.counted is None:
                continue
            if last.counted.rejects or last.counted.failures:
                found.append(f"{way.title}, QoS {way.qos}: {last.counted}")
            if last.missing and (way.qos or last.missing < 0):
                found.append(f"{way.title}, QoS {way.qos}: {last.missing} of {last.owed} readings not scored")
        counts: list[tuple[str, int, int]] = [
            ("replay", self.replayed.given, self.replayed.scored),
            *((f"memory, {one.backend}", one.owed, one.counted.frames) for one in self.memories),
            *((f"wear, {one.mode}", one.owed, one.scored) for one in self.wears),
            ("recovery", self.recovery.owed, self.recovery.scored),
            *((f"alerts, {one.title}", one.expected, one.heard) for one in self.latencies),
        ]
        return found + [f"{name}: {got} of {owed}" for name, owed, got in counts if got != owed]
