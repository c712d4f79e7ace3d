"""What no sequence of readings can do to a stream: the invariants of docs/explain-streams.md."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_lstm.contracts.frame import Frame, QualityEvent, QualityReason
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.score import Score
from edge_lstm.contracts.state import DetectorSnapshot
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.core.align import Aligner
from edge_lstm.core.detector import Detector, Event
from edge_lstm.testing import FakeBackend, fake_manifest
from edge_lstm.times import NS

NOW = 1_772_366_400 * NS
HALF = NS // 2
MANIFEST = fake_manifest(("a", "b"))
CONFIG = StreamsConfig(flatline={"a": 3}, new_assets_per_minute=60)

FEW = settings(max_examples=60, deadline=None)

Step = Reading | int
"""A reading, or the time of a tick."""

VALUES = st.none() | st.sampled_from([0.0, 1.0, -1e308, math.nan, math.inf, 5e-324]) | st.floats(-9, 9)


def detector() -> Detector:
    """A fresh detector of the fake model."""
    return Detector(MANIFEST, FakeBackend(), sha256="f" * 64, node="n", streams=CONFIG)


def run(target: Detector, steps: list[Step]) -> list[Event]:
    """Everything that steps lead to."""
    out: list[Event] = []
    for step in steps:
        out += (target.tick(step) if isinstance(step, int) else target.push(step)) or []
    return out


def scores(events: list[Event]) -> list[Score]:
    """The scores among events."""
    return [event for event in events if isinstance(event, Score)]


@st.composite
def wild(draw: st.DrawFn, assets: tuple[str, ...] = ("p", "q")) -> list[Step]:
    """Readings of sources whose clocks, counters, values and order are anything but sound; and ticks."""
    now_ns, out, clock, count = NOW, list[Step](), dict.fromkeys(assets, 0), dict.fromkeys(assets, 0)
    numbered = {asset: draw(st.booleans()) for asset in assets}
    timed = {asset: draw(st.booleans()) for asset in assets}
    window_ns = {asset: draw(st.sampled_from([0, 0, 2 * NS])) for asset in assets}
    for _ in range(draw(st.integers(1, 60))):
        what = draw(st.sampled_from("nnnnnnnnnnnnptdolsfcrjk"))
        asset = draw(st.sampled_from(assets))
        mine = [one for one in out if isinstance(one, Reading) and one.asset == asset]
        now_ns += draw(st.sampled_from([NS, NS, NS, HALF, NS // 100, 1, 20 * NS if what == "j" else NS]))
        if what == "t":
            out.append(now_ns)
            continue
        if what == "d" and mine:  # a repeat
            again = draw(st.sampled_from(mine[-8:]))
            out.append(msgspec.structs.replace(again, arrived_ns=now_ns))
            continue
        clock[asset] += {"s": -6 * NS, "f": 3600 * NS, "c": -3600 * NS}.get(what, 0)
        count[asset] = 0 if what == "r" else count[asset] + 1
        late_ns = {"o": HALF * 3, "l": 30 * NS}.get(what, 0)
        time_ns = now_ns + clock[asset] - late_ns if timed[asset] else now_ns
        names = draw(st.sampled_from(["a", "b", "ax"])) if what == "p" else "ab"
        values = {name: draw(VALUES if what in "kp" else st.floats(-9, 9)) for name in names}
        seq = count[asset] - (what == "k") if numbered[asset] else None
        out.append(Reading(asset, time_ns, values, seq, now_ns, window_ns[asset]))
    return out


@FEW
@given(wild())
def test_every_reading_is_scored_turned_away_or_waits(steps: list[Step]) -> None:
    """Conservation in one detector: rejects and what stepped or waits are what was pushed."""
    target = detector()
    events = run(target, steps)
    pushed = [step for step in steps if isinstance(step, Reading)]
    rejects = [event for event in events if isinstance(event, Reject)]
    waiting = sum(len(stream.align.held) for stream in target.snapshot().streams)

    assert len(pushed) - len(rejects) >= waiting
    whole = all(set("ab") <= set(reading.values) for reading in pushed)
    if whole:  # each one is a frame of its own
        assert len(pushed) == len(rejects) + len(scores(events)) + waiting


@FEW
@given(wild(("p",)))
def test_time_never_runs_backwards_within_an_epoch(steps: list[Step]) -> None:
    """Frames rise, until the source's clock was set."""
    aligner = Aligner(MANIFEST.channels, MANIFEST.grid, centre=(0.0, 0.0), config=CONFIG)
    memory, frames = aligner.fresh(), list[tuple[int, Frame]]()
    for step in steps:
        before = memory.epoch
        items = aligner.tick(memory, "p", step) if isinstance(step, int) else list(aligner.push(memory, step))
        jumps = [n for n, i in enumerate(items) if getattr(i, "reason", "") is QualityReason.CLOCK_JUMP]
        assert memory.epoch == before + len(jumps)
        for n, item in enumerate(items):
            if isinstance(item, Frame):
                frames.append((before + sum(jump < n for jump in jumps), item))

    for (epoch, one), (next_epoch, other) in itertools.pairwise(frames):
        assert next_epoch > epoch or one.time_ns < other.time_ns
        assert other.tick in (0, one.tick + 1)


@FEW
@given(wild())
def test_one_stream_cannot_touch_another(steps: list[Step]) -> None:
    """The bytes of q are those it has alone, whatever p does."""
    alone = [step for step in steps if isinstance(step, int) or step.asset == "q"]
    together, apart = detector(), detector()
    said = [event for event in run(together, steps) if event.asset == "q"]

    assert said == run(apart, alone)
    both, one = ({s.asset: s for s in d.snapshot().streams} for d in (together, apart))
    assert msgspec.msgpack.encode(one.get("q")) == msgspec.msgpack.encode(both.get("q"))


@FEW
@given(wild(), st.integers(0, 60))
def test_restored_stream_goes_on_as_if_nothing_had_been(steps: list[Step], cut: int) -> None:
    """At any point, with readings that wait and suspicions half proved, bit for bit."""
    straight = detector()
    expected = run(straight, steps)
    first, second = detector(), detector()
    events = run(first, steps[:cut])
    raw = msgspec.msgpack.encode(first.snapshot())
    second.restore(msgspec.msgpack.decode(raw, type=DetectorSnapshot))
    events += run(second, steps[cut:])

    assert expected == events
    assert msgspec.msgpack.encode(straight.snapshot()) == msgspec.msgpack.encode(second.snapshot())


@FEW
@given(wild())
def test_no_state_is_ever_not_a_number(steps: list[Step]) -> None:
    """NaN, infinity, the largest and the smallest number there are: all states stay numbers."""
    target = detector()
    for score in scores(run(target, steps)):
        assert math.isfinite(score.score)
    for stream in target.snapshot().streams:
        assert all(math.isfinite(value) for value in stream.align.values)
        for name in ("forecast", "bias", "smoothed"):
            assert np.isfinite(np.frombuffer(stream.arrays[name])).all()


@FEW
@given(wild(("p",)))
def test_tick_that_says_nothing_changes_nothing(steps: list[Step]) -> None:
    """So the daemon need not write it down."""
    aligner = Aligner(MANIFEST.channels, MANIFEST.grid, centre=(0.0, 0.0), config=CONFIG)
    memory = aligner.fresh()
    for step in steps:
        if not isinstance(step, int):
            list(aligner.push(memory, step))
        now_ns = step if isinstance(step, int) else step.arrived_ns + HALF
        before = msgspec.msgpack.encode(memory)
        assert aligner.tick(memory, "p", now_ns) or before == msgspec.msgpack.encode(memory)


@FEW
@given(wild(("p",)))
def test_short_way_is_the_long_way(steps: list[Step]) -> None:
    """Plain readings take a short way through the aligner; to the same end, to the last bit."""
    ways = []
    for calm in (True, False):
        aligner = Aligner(MANIFEST.channels, MANIFEST.grid, centre=(0.0, 0.0), config=CONFIG)
        memory, items = aligner.fresh(), list[Any]()
        for step in steps:
            if not calm:
                memory.calm = memory.plain = False
            push = aligner.tick(memory, "p", step) if isinstance(step, int) else aligner.push(memory, step)
            items += push
        kept = msgspec.to_builtins(memory)
        for name in ("calm", "plain", "newest_ns"):  # newest_ns is not read while newer frames are there
            kept.pop(name, None)
        ways.append((items, kept))

    assert ways[0] == ways[1]


@st.composite
def sound(draw: st.DrawFn) -> list[Reading]:
    """Readings of one source, whole or one channel a message, numbered or not, with a gap or two."""
    numbered, parts = draw(st.booleans()), draw(st.booleans())
    out, time_ns = list[Reading](), NOW
    for n in range(draw(st.integers(2, 40))):
        time_ns += draw(st.sampled_from([NS] * 9 + [20 * NS]))
        values = {"a": draw(st.floats(-9, 9)), "b": draw(st.floats(-9, 9))}
        seq = n if numbered else None
        for names in (["a"], ["b"]) if parts else (["a", "b"],):
            given_: dict[str, float | None] = {name: values[name] for name in names}
            out.append(Reading("p", time_ns, given_, seq, time_ns + 1000))
    return out


@FEW
@given(sound(), st.data())
def test_order_of_arrival_within_the_window_changes_nothing(
    readings: list[Reading], data: st.DataObject
) -> None:
    """Every score is that of the readings in order."""
    window_ns = 5 * NS
    delays = data.draw(st.lists(st.integers(0, window_ns), min_size=len(readings), max_size=len(readings)))
    waiting = [msgspec.structs.replace(reading, reorder_ns=window_ns) for reading in readings]
    arrived = [
        msgspec.structs.replace(reading, arrived_ns=reading.time_ns + delay)
        for reading, delay in zip(waiting, delays, strict=True)
    ]
    arrived.sort(key=lambda reading: reading.arrived_ns)
    straight, mixed = detector(), detector()
    expected = run(straight, [*readings]) + straight.flush()
    events = run(mixed, [*arrived]) + mixed.flush()

    assert [] == [event for event in events if isinstance(event, Reject)]
    assert scores(expected) == scores(events)


@FEW
@given(sound(), st.data())
def test_repeats_change_nothing(readings: list[Reading], data: st.DataObject) -> None:
    """Any number of them, of any of the newest sixteen readings, anywhere."""
    steps: list[Step] = []
    for n, reading in enumerate(readings):
        steps.append(reading)
        for back in data.draw(st.lists(st.integers(0, min(n, 14)), max_size=3)):
            later = reading.arrived_ns + data.draw(st.integers(1, NS))
            steps.append(msgspec.structs.replace(readings[n - back], arrived_ns=later))
    expected, events = run(detector(), [*readings]), run(detector(), steps)
    rejects = [event.reason for event in events if isinstance(event, Reject)]

    assert scores(expected) == scores(events)
    assert [RejectReason.DUPLICATE] * (len(steps) - len(readings)) == rejects
    assert [e for e in expected if isinstance(e, QualityEvent)] == [
        e for e in events if isinstance(e, QualityEvent)
    ]


def test_only_a_gap_is_the_reason_of_a_new_state() -> None:
    """What else is noticed of a stream does not say that its state was reset."""
    target = detector()
    times = [1, 2, 7, 8]
    run(target, [Reading("p", NOW + t * NS, {"a": float(t), "b": 0.0}) for t in times])
    reasons = [target.snapshot().streams[0].reset_reason]
    run(target, [Reading("p", NOW + 60 * NS, {"a": 1.0, "b": 0.0})])
    reasons.append(target.snapshot().streams[0].reset_reason)

    assert ["start", "gap"] == reasons
