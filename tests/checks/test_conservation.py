"""The law of conservation: what was received was accepted or turned away, exactly, over restarts."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.contracts.frame import QualityReason
from edge_lstm.contracts.reading import RejectReason
from edge_lstm.contracts.state import DetectorSnapshot
from edge_lstm.core.detector import Detector
from edge_lstm.engine import Engine
from edge_lstm.io.counters import Counters, balance
from edge_lstm.io.transport import Message
from edge_lstm.testing import FakeBackend, fake_manifest
from edge_lstm.times import NS

NOW = 1_772_366_400 * NS


class StoppedClock:
    """A clock that nothing here should ask."""

    def time_ns(self) -> int:
        """The wall."""
        return NOW

    def monotonic(self) -> float:
        """The steady one."""
        return 0.0


class FailingBackend(FakeBackend):
    """Breaks down when it is told to."""

    broken = False

    def step(self, frame: Any, state: Any) -> Any:  # noqa: ANN401 - of the fake
        """As the fake, or not at all."""
        if self.broken:
            raise RuntimeError("interpreter lost")
        return super().step(frame, state)


def engine(backend: FakeBackend | None = None, **changes: Any) -> Engine:  # noqa: ANN401 - any key
    """An engine that has seen nothing."""
    source = {"topic": "plant/{asset}", "time_field": "t", "reorder_s": changes.pop("reorder_s", 0)}
    said = {"node": "n", "bundle": "b", "inputs": [source], "max_assets": 3, **changes}
    config = msgspec.convert(said, DeviceConfig)
    detector = Detector(
        fake_manifest(),
        backend or FakeBackend(),
        sha256="f" * 64,
        node="n",
        streams=config.streams,
        max_assets=config.max_assets,
    )
    return Engine(config, detector, manifest=fake_manifest(), clock=StoppedClock())


def message(number: float, *, at: float | None = None, asset: str = "p", **values: Any) -> Message:  # noqa: ANN401
    """A reading of second ``number`` that arrives then, or at ``at``."""
    body = json.dumps({"t": NOW // NS + number, **(values or {"a": number, "b": 0.5})}).encode()
    arrived_ns = NOW + round((number + 0.1 if at is None else at) * NS)
    return Message(f"plant/{asset}", body, 1, False, arrived_ns, 0, 1)


def restarted(old: Engine, **changes: Any) -> Engine:  # noqa: ANN401
    """The engine of the next process: states and counters through bytes."""
    new = engine(**changes)
    states = msgspec.msgpack.encode(old.detector.snapshot())
    new.detector.restore(msgspec.msgpack.decode(states, type=DetectorSnapshot))
    new.counters = msgspec.msgpack.decode(msgspec.msgpack.encode(old.counters), type=Counters)
    return new


MESSAGES = st.lists(
    st.one_of(
        st.builds(message, st.integers(0, 40), asset=st.sampled_from("pqrstu")),
        st.builds(message, st.integers(0, 40), at=st.integers(0, 60)),
        st.builds(message, st.integers(0, 40), a=st.floats(-9, 9)),
        st.builds(message, st.integers(0, 40), x=st.just(1)),
        st.builds(message, st.just(10**7)),
        st.binary(max_size=12).map(lambda raw: Message("plant/p", raw, 1, False, NOW, 0, 1)),
        st.just(Message("plant/p", b" " * 70_000, 1, False, NOW, 0, 1)),
        st.just(Message("elsewhere", b"{}", 1, False, NOW, 0, 1)),
        st.just(Message("plant/+", b"{}", 1, False, NOW, 0, 1)),
        st.integers(0, 90),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(MESSAGES, st.sampled_from([0, 5]), st.integers(0, 40))
def test_conservation_holds_after_every_message(
    messages: list[Message | int], reorder_s: int, restart: int
) -> None:
    """Accepted + duplicate + late + bad + unknown + quarantined = received, at any time, restart or not."""
    target, sent = engine(reorder_s=reorder_s), 0
    for n, one in enumerate(messages):
        if n == restart:
            target = restarted(target, reorder_s=reorder_s)
        if isinstance(one, int):
            target.tick(NOW + one * NS)
        else:
            sent += 1
            target.take([one])
        assert sent == target.counters.received == sum(balance(target.counters).values())


def test_conservation_counts_each_class() -> None:
    """One of each, and what it is called."""
    target = engine()
    for n in range(5):
        target.take([message(n)])
    target.take([message(4, at=6)])
    target.take([message(1.5, at=6)])
    target.take([message(3600 * 5, at=7)])
    target.take([Message("elsewhere", b"{}", 1, False, NOW, 0, 1)])
    target.take([Message("plant/p", b"?", 1, False, NOW, 0, 1)])

    expected = {"accepted": 5, "duplicate": 1, "late": 1, "bad": 1, "unknown": 1, "quarantined": 1}
    assert expected == balance(target.counters)
    assert {"future": 1} == target.counters.quality


def test_conservation_counts_a_fault_of_ours_as_bad() -> None:
    """A reading that met one was received, and is not forgotten."""
    backend = FailingBackend()
    target = engine(backend)
    target.take([message(1)])
    backend.broken = True
    target.take([message(2)])
    backend.broken = False
    target.take([message(3)])

    counters = target.counters
    assert (3, 2, 1) == (counters.received, counters.accepted, counters.spoiled)
    assert 3 == sum(balance(counters).values())


CLASSES = {
    "duplicate": {"duplicate", "redelivered"},
    "late": {"late"},
    "bad": {"bad_time", "future", "seq_conflict", "stale_retained"},
    "unknown": {
        "bad_topic",
        "bad_asset",
        "not_born",
        "not_data",
        "no_channel",
        "too_many_assets",
        "too_many_new",
    },
    "quarantined": {"undecodable", "too_large", "schema_unsupported"},
}


def test_every_reason_has_its_class() -> None:
    """As docs/explain-streams.md says; one more reason needs a decision here."""
    assert {reason.value for reason in RejectReason} == set().union(*CLASSES.values())
    for name, reasons in CLASSES.items():
        for reason in reasons:
            assert 1 == balance(Counters(received=1, rejects={reason: 1}))[name]


def test_reason_of_another_version_is_bad() -> None:
    """Counters outlive the version that wrote them, and the law holds."""
    assert 1 == balance(Counters(received=1, rejects={"gone": 1}))["bad"]


def test_flood_of_new_assets_is_limited_and_told_once_a_minute() -> None:
    """Credit grows with the time of arrival; those that are known are never touched."""
    target = engine(max_assets=1000, streams={"new_assets_per_minute": 6})
    published = [p for n in range(300) for p in target.take([message(n / 2, at=n / 2, asset=f"x{n}")])]
    told = [p for p in published if p.topic == "edge-lstm/n/quality"]

    assert 6 + 14 <= len(target.detector.assets) <= 6 + 15
    assert 300 - len(target.detector.assets) == target.counters.rejects["too_many_new"]
    assert 3 == len(told)
    assert "new_assets" == json.loads(told[0].payload)["reason"]
    assert sum(balance(target.counters).values()) == 300
    target.take([message(151, asset="x0")])
    assert target.counters.rejects["too_many_new"] == 300 - len(target.detector.assets)


def test_flood_is_remembered_over_a_restart() -> None:
    """A restart gives nobody new credit."""
    limited: dict[str, Any] = {"max_assets": 1000, "streams": {"new_assets_per_minute": 6}}
    first = engine(**limited)
    for n in range(10):
        first.take([message(1 + n / 1000, asset=f"x{n}")])
    second = restarted(first, **limited)
    for n in range(10):
        second.take([message(2 + n / 1000, asset=f"y{n}")])

    assert 6 == len(second.detector.assets)
    assert 14 == second.counters.rejects["too_many_new"]


def test_silence_is_published_by_a_tick() -> None:
    """Start and end on the asset's quality topic, and counted."""
    target = engine()
    for n in range(3):
        target.take([message(n)])
    (silent,) = target.tick(NOW + 60 * NS) or []
    back = target.take([message(61)])

    assert "edge-lstm/n/p/quality" == silent.topic
    assert ("silent", True) == tuple(json.loads(silent.payload)[key] for key in ("reason", "active"))
    assert ("silent", False) == tuple(json.loads(back[0].payload)[key] for key in ("reason", "active"))
    assert 1 == target.counters.quality["silent"]


def test_what_may_come_with_every_reading_is_counted_and_not_published() -> None:
    """Short gaps and readings that were put in order."""
    target = engine(reorder_s=2)
    published = [p for n in (1, 2, 7, 6, 11, 16) for p in target.take([message(n, at=n)])]

    assert [] == [p for p in published if p.topic.endswith("/quality")]
    assert {QualityReason.SHORT_GAP: 3, QualityReason.REORDERED: 1} == target.counters.quality


def test_readings_that_waited_are_scored_by_a_tick() -> None:
    """`reorder_s` of the input reaches the stream, and silence ends the wait."""
    target = engine(reorder_s=2)

    assert [] == target.take([message(1, at=1)])
    (score,) = target.tick(NOW + 3 * NS) or []
    assert "edge-lstm/n/p/score" == score.topic
