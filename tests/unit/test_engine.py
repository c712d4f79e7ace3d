"""The engine: batches of messages in, publications out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import pytest

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.detector import Detector
from edge_lstm.engine import Engine
from edge_lstm.io.transport import Message, Publication
from edge_lstm.testing import FakeBackend, fake_manifest
from edge_lstm.times import NS

START_S = 1_772_366_400
ASSETS = ("north", "south", "east")


@dataclass
class ManualClock:
    """Time that goes when it is told to."""

    now_s: float = 0.0

    def time_ns(self) -> int:
        """Wall clock."""
        return START_S * NS + round(self.now_s * NS)

    def monotonic(self) -> float:
        """Seconds since the start of the test."""
        return self.now_s


class Poisoned(FakeBackend):
    """Cannot bear one number, whoever sends it and however many are beside it."""

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """As `FakeBackend`, or not at all."""
        if (frame == 77).any():
            raise RuntimeError("77")
        return super().step(frame, state)


POISON = 77 * 8 / 127


def engine(clock: ManualClock | None = None, *, interval_s: float = 0, **changes: Any) -> Engine:  # noqa: ANN401 - any key
    """An engine that has seen nothing."""
    config = msgspec.convert(
        {
            "node": "n",
            "bundle": "b",
            "inputs": [{"topic": "plant/{asset}", "time_field": "t"}],
            "publish": {"score_interval_s": interval_s, "quality": True},
            "alarm": {"threshold": 1.5, "open_after": 2, "close_after": 2, "refractory": 0},
            **changes,
        },
        DeviceConfig,
    )
    manifest = fake_manifest()
    detector = Detector(
        manifest,
        Poisoned(),
        sha256="ab" * 32,
        node="n",
        alarm=config.alarm,
        max_assets=config.max_assets,
    )
    return Engine(config, detector, manifest=manifest, clock=clock or ManualClock())


def message(number: int, *, asset: str = "north", a: object = 0.5, b: object = 0.5) -> Message:
    """A reading of both channels, one a second."""
    body = json.dumps({"t": START_S + number, "a": a, "b": b})
    return Message(f"plant/{asset}", body.encode(), 1, False, (START_S + number) * NS)


def traffic(seed: int, count: int = 400) -> list[Message]:
    """Good readings, loud ones, and everything that is turned away."""
    random = Random(seed)  # noqa: S311 - nothing here is a secret
    out: list[Message] = []
    for number in range(count):
        loud = random.choice((-7.5, 7.5)) if number % 100 > 70 else 0.5
        one = message(number, asset=random.choice(ASSETS), a=loud)
        match random.choices(
            ["good", "garbage", "elsewhere", "word", "again", "poison", "long"], [60, 2, 2, 2, 2, 3, 1]
        )[0]:
            case "garbage":
                one = msgspec.structs.replace(one, payload=b"{")
            case "elsewhere":
                one = msgspec.structs.replace(one, topic="nobody/asked")
            case "word":
                one = message(number, b="high")
            case "again" if out:
                one = random.choice(out)
            case "poison":
                one = message(number, asset=random.choice(ASSETS), a=POISON)
            case "long":
                one = msgspec.structs.replace(one, payload=b" " * 100_000)
        out.append(one)
    return out


def batches(messages: Sequence[Message], longest: int) -> Iterator[Sequence[Message]]:
    """Batches of any length."""
    random, start = Random(longest), 0  # noqa: S311 - nothing here is a secret
    while start < len(messages):
        stop = start + random.randint(1, longest)
        yield messages[start:stop]
        start = stop


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("longest", [4, 64, 400])
def test_batches_are_taken_as_one_by_one(longest: int, forgetful: bool) -> None:  # noqa: FBT001 - a parameter
    """Publications in the same order, the same counts and the same states, faults included."""
    single, many = engine(max_assets=2), engine(max_assets=2)
    single.forgetful = many.forgetful = forgetful
    messages = traffic(longest)
    expected = [found for one in messages for found in single.take([one])]
    found = [out for batch in batches(messages, longest) for out in many.take(batch)]

    assert {"score", "alert", "anomaly"} <= {out.topic.rsplit("/", 1)[1] for out in expected}
    assert single.counters.failures > 5
    assert expected == found
    assert single.counters == many.counters
    assert msgspec.msgpack.encode(single.detector.snapshot()) == msgspec.msgpack.encode(
        many.detector.snapshot()
    )


def test_score_is_published_after_its_interval_or_with_a_new_status() -> None:
    """Once every ten seconds an asset; an episode that opens does not wait."""
    clock = ManualClock()
    one = engine(clock, interval_s=10)
    statuses = []
    for number in range(30):
        clock.now_s = float(number)
        value = 7.5 * (-1) ** number if 13 <= number < 17 else 0.5
        statuses += [
            (number, json.loads(out.payload)["status"])
            for out in one.take([message(number, a=value, b=value), message(number, asset="south")])
            if out.topic.endswith("north/score")
        ]

    assert [(0, "normal"), (10, "normal")] == statuses[:2]
    changes = [number for number, status in statuses if status == "open"]
    assert 13 < changes[0] < 17
    assert 30 * 2 == one.counters.frames


def test_alert_comes_without_a_score_that_nobody_wants() -> None:
    """Scores held back do not hold back what is decided."""
    one = engine(interval_s=86_400)
    told = one.take([message(n, a=7.5 * (-1) ** n) for n in range(12)])

    assert ["open"] == [json.loads(out.payload)["type"] for out in told if out.topic.endswith("/alert")][:1]
    assert {"normal", "open"} == {json.loads(o.payload)["status"] for o in told if o.topic.endswith("/score")}


def test_faults_in_a_row_are_counted_over_batches(caplog: pytest.LogCaptureFixture) -> None:
    """The longest run that reached into the newest batch; one good message ends it."""
    one = engine()
    with caplog.at_level(logging.ERROR):
        one.take([message(1), message(2, a=POISON), message(3, a=POISON)])
    assert 2 == one.failing
    assert "77" in str(one.fault)
    assert "message.failed topic=plant/north" in caplog.text
    one.take([message(4, a=POISON), message(5), message(6, a=POISON)])
    assert 3 == one.failing
    one.take([message(7)])
    assert 0 == one.failing
    one.take([message(8, a=POISON)])
    assert 1 == one.failing
    assert 5 == one.counters.failures


class Broken:
    """A codec with a fault of its own."""

    def decode(self, payload: bytes, envelope: object) -> None:
        """Never anything else."""
        raise ZeroDivisionError(payload, envelope)


def test_fault_in_reading_a_message_starts_its_asset_anew() -> None:
    """What came before it in the batch is scored first, what comes after begins at the first frame."""
    one = engine()
    route = one._router.route("plant/north")
    assert not isinstance(route, str)
    one.take([message(n, asset=asset) for n in (1, 2) for asset in ("north", "south")])
    one._router._known["plant/broken"] = route._replace(codec=Broken())  # type: ignore[arg-type]  # it never returns
    bad = msgspec.structs.replace(message(4), topic="plant/broken")
    out = one.take([message(3), message(3, asset="south"), bad, message(5), message(5, asset="south")])
    ticks = {stream.asset: stream.align.tick for stream in one.detector.snapshot().streams}

    assert 4 == len([found for found in out if found.topic.endswith("/score")])
    assert {"north": 1, "south": 4} == ticks


def test_forgetful_engine_clears_what_the_broker_may_keep_before_anything_else() -> None:
    """Once an asset, right before the publications of its first reading."""
    one = engine()
    one.forgetful = True
    out = one.take([message(1), message(1, asset="south"), message(2)])
    topics = [found.topic.removeprefix("edge-lstm/n/") for found in out]

    assert [
        *("north/alarm/anomaly", "north/commission", "north/score"),
        *("south/alarm/anomaly", "south/commission", "south/score", "north/score"),
    ] == topics
    assert Publication("edge-lstm/n/north/commission", b"", qos=1, retain=True, essential=False) in out
