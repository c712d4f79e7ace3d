"""The work without a broker: messages from memory, beside the model's bare batched invoke."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TypeVar

import numpy as np

from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import Bundle, open_bundle
from edge_lstm.clock import SystemClock
from edge_lstm.contracts.config import DeviceConfig, InputConfig
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import StreamStatus
from edge_lstm.core.detector import Detector
from edge_lstm.core.stepper import Stepper
from edge_lstm.core.streams import StreamTable
from edge_lstm.daemon import make_engine
from edge_lstm.io.transport import Message
from tests.benchmark.daemon.model import Rows
from tests.benchmark.daemon.site import Site, streams

__all__ = ["BATCH", "Replayed", "measure_replay"]

BATCH = 64
T = TypeVar("T")

_NODE = "bench"
_STEP_NS = 1_000_000_000 // BATCH


@dataclass(frozen=True, slots=True)
class Replayed:
    """Readings per second of processor time, the median of the rounds.

    Attributes:
        invoke: Streams of a bare invoke of 64.
        quiet: Readings, decoded beforehand, to verdicts; no score is asked for.
        detector: The same with every score made.
        engine: Messages to verdicts: route, decode, line up, score, encode what is published.
        scored: Readings that the engine scored of those it was given.
        given: Those.
    """

    invoke: float
    quiet: float
    detector: float
    engine: float
    scored: int
    given: int


def measure_replay(site: Site, *, rounds: int, batches: int) -> Replayed:
    """Rounds in turns, so that a slow spell meets all.

    Args:
        site: Its bundle and rows.
        rounds: How many.
        batches: Of 64 streams each, in a round.
    """
    bundle = open_bundle(site.bundle)
    backend = LiteRtBackend(bundle)
    config = DeviceConfig(node=_NODE, bundle=str(site.bundle), inputs=(InputConfig(topic="t/{asset}"),))
    engine = make_engine(config, bundle, backend, clock=SystemClock())
    quiet, full = (
        Detector(bundle.manifest, backend, sha256=bundle.sha256, weights=bundle.weights(), node=_NODE)
        for _ in range(2)
    )
    invoke = _bare(bundle, backend)
    rates: list[list[float]] = []
    for i in range(rounds):
        messages, readings = _made(site.rows, i * batches, batches)
        rates.append(
            [
                _rate(lambda _: invoke(), messages),
                _rate(partial(quiet.push_many, wanted=_none), readings),
                _rate(full.push_many, readings),
                _rate(engine.take, messages),
            ]
        )
    given = rounds * batches * BATCH
    bare, still, detected, taken = map(median, zip(*rates, strict=True))
    return Replayed(bare, still, detected, taken, engine.counters.frames, given)


def _none(assets: Sequence[str], _statuses: Sequence[StreamStatus]) -> list[bool]:
    return [False] * len(assets)


def _rate(work: Callable[[Sequence[T]], object], batches: Sequence[Sequence[T]]) -> float:
    """Readings per second of processor time: not the time in which the machine did something else."""
    begun = time.thread_time()
    for batch in batches:
        work(batch)
    return len(batches) * BATCH / (time.thread_time() - begun)


def _bare(bundle: Bundle, backend: LiteRtBackend) -> Callable[[], object]:
    """The invoke of a batch and nothing around it; its tensors hold a step's real content."""
    manifest = bundle.manifest
    stepper, table = Stepper(manifest, backend, bundle.weights()), StreamTable(manifest)
    for name in streams(BATCH):
        table.add(name)
    stepper.step_rows(table, np.arange(BATCH), np.zeros((BATCH, len(manifest.channels))))
    invoke: Callable[[], object] = backend._batches[BATCH].invoke
    return invoke


def _made(rows: Rows, begin: int, batches: int) -> tuple[list[list[Message]], list[list[Reading]]]:
    """The same readings as messages and as readings; made outside the clock."""
    names = streams(BATCH)
    payloads = [rows.payload(row) for row in range(len(rows.values))]
    values = [dict(zip(rows.channels, row, strict=True)) for row in rows.values.tolist()]
    messages, readings = [], []
    for batch in range(begin, begin + batches):
        moments = [(batch * BATCH + k + 1) * _STEP_NS for k in range(BATCH)]
        turns = [(batch + 2 * k) % len(values) for k in range(BATCH)]
        messages.append(
            [
                Message(f"t/{name}", payloads[turn], 1, retain=False, arrived_ns=moment)
                for name, turn, moment in zip(names, turns, moments, strict=True)
            ]
        )
        readings.append(
            [
                Reading(name, moment, values[turn])
                for name, turn, moment in zip(names, turns, moments, strict=True)
            ]
        )
    return messages, readings
