"""What a reading costs in micro-batches across streams, part by part: everything in turns, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import Bundle
from edge_lstm.clock import SystemClock
from edge_lstm.codecs import Envelope, make_codec
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import StreamStatus
from edge_lstm.core.detector import Detector
from edge_lstm.engine import Engine
from edge_lstm.io.transport import Message

__all__ = ["measure_batch", "report"]

START_S = 1_772_366_400
TURNS = 15
ROUNDS = 40
"""Readings of each stream in a turn."""

_ENCODER = msgspec.json.Encoder()


def measure_batch(bundle: Bundle, *, streams: int = 64) -> dict[str, float]:
    """Microseconds a reading, the least disturbed turn; no alert is open, no score is wanted.

    Args:
        bundle: Whose model; all of its members run.
        streams: Streams with a reading each in a batch.

    Returns:
        ``invoke``: a bare invoke of one stream, the model's own work without batches.
        ``batch_invoke``: a stream's share of a bare invoke of all streams.
        ``score``: a stream's share of everything from frames to the alarm rule.
        ``align``: a reading to a frame.
        ``push_many``: readings to decisions; ``with_scores``: and a `Score` each.
        ``push``: one reading at a time, with its `Score`.
        ``decode``: payload to reading.
        ``take``: messages to publications, everything but the broker.
    """
    bench = _Bench(bundle, streams)
    backend = LiteRtBackend(bundle)
    single, batch = backend._single.invoke, backend._network(streams).invoke
    calls = ROUNDS * streams
    turns: dict[str, Callable[[], Callable[[], object]]] = {
        "invoke": lambda: lambda: _repeat(single, calls),
        "batch_invoke": lambda: lambda: _repeat(batch, ROUNDS),
        "score": bench.score,
        "align": bench.align,
        "push_many": lambda: bench.push_many(scores=False),
        "with_scores": lambda: bench.push_many(scores=True),
        "push": bench.push,
        "decode": bench.decode,
        "take": bench.take,
    }
    best = dict.fromkeys(turns, float("inf"))
    for turn in range(TURNS + 1):
        for name, prepare in turns.items():
            work = prepare()
            begun = time.thread_time()  # not the time in which the machine did something else
            work()
            spent = (time.thread_time() - begun) / calls * 1e6
            best[name] = min(best[name], spent) if turn else best[name]  # the first turn warms up
    return best


class _Bench:
    """One detector and one engine of the same model, and what makes their next readings.

    Each method prepares a turn and gives back the work that is timed.
    """

    def __init__(self, bundle: Bundle, streams: int) -> None:
        manifest = bundle.manifest
        config = msgspec.convert(
            {
                "node": "n",
                "bundle": "b",
                "inputs": [{"topic": "plant/{asset}", "time_field": "time"}],
                "publish": {"score_interval_s": 3600},
                "alarm": {"threshold": 1e9},
            },
            DeviceConfig,
        )

        def detector() -> Detector:
            return Detector(
                manifest,
                LiteRtBackend(bundle),
                sha256=bundle.sha256,
                node="bench",
                weights=bundle.weights(),
                alarm=AlarmOverrides(threshold=1e9),
            )

        self._detector = detector()
        self._engine = Engine(config, detector(), manifest=manifest, clock=SystemClock())
        self._codec = make_codec(config.inputs[0])
        self._period_ms = max(1, round(manifest.grid.period_s * 1000))
        self._assets = [f"machine-{i}" for i in range(streams)]
        self._now_ms = START_S * 1000
        names = [channel.name for channel in manifest.channels]
        scaling, random = manifest.scaling, np.random.default_rng(0)
        frames = random.normal(0, 0.3, (ROUNDS, streams, len(names))) * scaling.scale + scaling.centre
        self._values = [[dict(zip(names, f, strict=True)) for f in row] for row in frames.round(4).tolist()]

    def score(self) -> Callable[[], object]:
        """Rounds of frames through the scorer."""
        detector = self._detector
        self._run(self._readings())
        jobs = [
            [
                (0, 0, detector._streams[reading.asset], frame)
                for reading in batch
                for frame in detector._aligner.push(detector._streams[reading.asset].align, reading)
            ]
            for batch in self._readings()
        ]

        def work() -> None:
            for some in jobs:
                done, paused = detector._scorer.advance(some)  # type: ignore[arg-type]  # all are frames
                detector._scorer.tell(some, done, paused, _nobody)  # type: ignore[arg-type]  # the same

        return work

    def align(self) -> Callable[[], object]:
        """Readings through the aligner."""
        detector = self._detector
        self._run(self._readings())
        memories = {asset: detector._streams[asset].align for asset in self._assets}
        batches = self._readings()

        def work() -> None:
            for batch in batches:
                for reading in batch:
                    for _ in detector._aligner.push(memories[reading.asset], reading):
                        pass

        return work

    def push_many(self, *, scores: bool) -> Callable[[], object]:
        """Batches of a reading a stream."""
        batches = self._readings()
        return lambda: self._run(batches, scores=scores)

    def push(self) -> Callable[[], object]:
        """One reading at a time."""
        readings = [reading for batch in self._readings() for reading in batch]
        return lambda: [self._detector.push(reading) for reading in readings]

    def decode(self) -> Callable[[], object]:
        """Payloads through the codec."""
        pairs = [
            (message.payload, Envelope("machine", "", message.arrived_ns, message.retain))
            for batch in self._messages()
            for message in batch
        ]
        decode = self._codec.decode
        return lambda: [decode(payload, envelope) for payload, envelope in pairs]

    def take(self) -> Callable[[], object]:
        """Batches of a message a stream through the engine."""
        batches = self._messages()
        return lambda: [self._engine.take(batch) for batch in batches]

    def _run(self, batches: Sequence[Sequence[Reading]], *, scores: bool = False) -> None:
        for batch in batches:
            self._detector.push_many(batch, wanted=None if scores else _nobody)

    def _readings(self) -> list[list[Reading]]:
        """The next readings, a batch a period."""
        out = []
        for row in self._values:
            self._now_ms += self._period_ms
            time_ns = self._now_ms * 1_000_000
            out.append([Reading(a, time_ns, values) for a, values in zip(self._assets, row, strict=True)])
        return out

    def _messages(self) -> list[list[Message]]:
        """The same as JSON."""
        return [
            [
                Message(
                    f"plant/{reading.asset}",
                    _ENCODER.encode({"time": reading.time_ns // 1_000_000 / 1000, **reading.values}),
                    1,
                    False,
                    reading.time_ns,
                )
                for reading in batch
            ]
            for batch in self._readings()
        ]


def _nobody(assets: Sequence[str], _statuses: Sequence[StreamStatus]) -> list[bool]:
    """No score is wanted."""
    return [False] * len(assets)


def _repeat(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def report(found: Mapping[str, float], *, streams: int, channels: int) -> str:
    """The figures as people read them."""
    single, batched = found["invoke"], found["batch_invoke"]
    lines = [f"{streams} streams of {channels} channels, microseconds a reading on one core:"]
    lines += [
        f"  {name:<12} {spent:7.2f}   {single / spent:6.2f} x a bare invoke of one, "
        f"{batched / spent:6.3f} x a share of a bare batched invoke"
        for name, spent in found.items()
    ]
    return "\n".join(lines)
