"""What the sensors sent, and what must have come of it: by the same detector, without any fault."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from edge_lstm.backends import load_backend
from edge_lstm.bundle import Bundle
from edge_lstm.clock import SystemClock
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.reading import Reading
from edge_lstm.core.backend import Backend
from edge_lstm.daemon import make_engine
from edge_lstm.times import NS
from edge_lstm.torture.witness import CHANNELS, SEEN, WitnessBackend, samples, witness_bundle

__all__ = ["Expected", "Stream", "Subject", "Tier", "essence", "expect"]

Tier = Literal["time", "seq", "bare"]
"""How readings can be told apart: by source time, by the source's count, or not at all."""

Values = dict[str, float]

_DAY_NS = 86_400 * NS
_OF_TIME = ("id", "time", "started", "ended", "text", "state")
"""Fields of an alert that follow from the time of its frame, which is the arrival's for bare values."""
_OF_DEVICE = ("seq",)
"""Fields that count a device's alerts, in the order in which its machines are heard."""


class Subject(NamedTuple):
    """What is under torture: the witness, or a real bundle.

    Attributes:
        bundle: Its facts.
        backend: Makes what runs it, for the reference.
        source: Seed to the endless readings of a stream.
        witness: Whether it is the witness, whose state says what is missing.
    """

    bundle: Bundle
    backend: Callable[[], Backend]
    source: Callable[[str], Iterable[Values]]
    witness: bool

    @classmethod
    def of_witness(cls) -> Subject:
        """The perfect witness."""

        def source(seed: str) -> Iterable[Values]:
            return (dict(zip(CHANNELS, map(float, one.values), strict=True)) for one in samples(seed))

        return cls(witness_bundle(), WitnessBackend, source, witness=True)

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Subject:
        """A real bundle, with readings that wander about the centre of each channel."""
        manifest = bundle.manifest
        names = [channel.name for channel in manifest.channels]
        centre, scale = np.array(manifest.scaling.centre), np.array(manifest.scaling.scale)

        def source(seed: str) -> Iterable[Values]:
            chance = np.random.default_rng(list(seed.encode()))
            z = np.zeros(len(names))
            while True:
                z = 0.9 * z + 0.6 * chance.standard_normal(len(names))
                yield dict(zip(names, np.round(centre + scale * z, 4).tolist(), strict=True))

        return cls(bundle, lambda: load_backend(bundle), source, witness=False)


class Stream:
    """Everything one sensor has sent.

    Args:
        asset: Its machine.
        subject: Says what readings look like.
        seed: They are the same for the same seed.
        tier: What a reading carries besides its values.

    Attributes:
        sent: Values of every reading, in order.
        times_ns: Their source times.
    """

    def __init__(self, asset: str, subject: Subject, seed: str, tier: Tier) -> None:
        self.asset, self.tier = asset, tier
        self.sent: list[Values] = []
        self.times_ns: list[int] = []
        self._source = iter(subject.source(f"{seed}/{asset}"))
        self._begin_ns = (time.time_ns() - 20 * _DAY_NS) // NS * NS
        self._jump_ns = 0
        self._pace = random.Random(f"{seed}/{asset}/pace")  # noqa: S311 - to be made again from the seed

    def next(self) -> bytes:
        """One more reading, as its payload."""
        last_ns = self.times_ns[-1] + self._jump_ns if self.times_ns else self._begin_ns
        self._jump_ns = 0
        self.times_ns.append(last_ns + self._pace.randint(1, 2000) * (NS // 1000))
        self.sent.append(next(self._source))
        return self.again(len(self.sent) - 1)

    def step(self, ahead_ms: int) -> None:
        """Let the sensor's clock jump ahead."""
        self._jump_ns += ahead_ms * (NS // 1000)

    def again(self, index: int) -> bytes:
        """The payload of a reading that was sent."""
        extra: dict[str, Any] = {}
        if self.tier in ("time", "seq"):
            extra["time"] = self.times_ns[index] // (NS // 1000)
        if self.tier == "seq":
            extra["seq"] = index + 1
        return msgspec.json.encode({**extra, **self.sent[index]})

    def frame(self, index: int) -> bytes:
        """The bytes that the witness is given for a reading."""
        return np.array(list(self.sent[index].values()), np.int8).tobytes()


class Expected(NamedTuple):
    """What a daemon without faults would remember and have said.

    Attributes:
        states: Asset to its arrays.
        alerts: Essence of every alert to how often it is due.
    """

    states: dict[str, dict[str, bytes]]
    alerts: Counter[str]


def expect(
    subject: Subject,
    config: DeviceConfig,
    streams: Sequence[Stream],
    kept: Mapping[str, Sequence[int]] | None = None,
) -> Expected:
    """Run the detector over what was sent.

    Args:
        subject: What runs.
        config: The daemon's.
        streams: What was sent.
        kept: Asset to the indexes that count; ``None`` is all.
    """
    detector = make_engine(config, subject.bundle, subject.backend(), clock=SystemClock()).detector
    alerts: Counter[str] = Counter()
    for stream in streams:
        chosen = range(len(stream.sent)) if kept is None else kept[stream.asset]
        for index in chosen:
            seq = index + 1 if stream.tier == "seq" else None
            reading = Reading(stream.asset, stream.times_ns[index], dict(stream.sent[index]), seq)
            said = detector.push(reading)
            alerts.update(
                essence(msgspec.json.encode(one), stream.tier) for one in said if isinstance(one, Alert)
            )
    states = {one.asset: one.arrays for one in detector.snapshot().streams}
    return Expected(states, alerts)


def essence(payload: bytes, tier: Tier) -> str:
    """What of an alert must come out the same, as one line.

    Raises:
        ValueError: The payload is no alert.
    """
    try:
        said = msgspec.to_builtins(msgspec.json.decode(payload, type=Alert))
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    for key in (*_OF_DEVICE, *(_OF_TIME if tier == "bare" else ())):
        said.pop(key, None)
    return msgspec.json.encode(said, order="sorted").decode()


def seen_counts(arrays: Mapping[str, bytes], length: int) -> list[int]:
    """How often the witness was given each reading of a stream.

    Args:
        arrays: The stream's arrays.
        length: Readings that were sent; at most `SEEN`.
    """
    if length > SEEN:
        raise ValueError(f"the witness tells {SEEN} readings of a stream apart, got {length}")
    return [int(count) for count in np.frombuffer(arrays["seen_in"], np.int8)[:length]]
