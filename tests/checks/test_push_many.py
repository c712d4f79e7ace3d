"""However readings are cut into batches, every event and every byte of state is that of one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_lstm.backends import load_backend
from edge_lstm.backends.reference import ReferenceBackend
from edge_lstm.bundle import open_bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import CommissionConfig
from edge_lstm.contracts.manifest import AssetScaling, Manifest
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.contracts.state import StreamSnapshot
from edge_lstm.core.backend import TensorArray
from edge_lstm.core.detector import Detector, Event
from edge_lstm.core.streams import StreamTable
from edge_lstm.testing import FakeBackend, fake_manifest
from trainer.data import History, Segment
from trainer.replay import Replayed, replay

S = 1_000_000_000
START = 1_772_366_400 * S
ASSETS = [f"p{i}" for i in range(7)]
SITES: dict[str, dict[str, Any]] = {
    "as calibrated": {},
    "nervous": {
        "alarm": AlarmOverrides(threshold=0.8, update_every_s=3, open_after=1, close_after=2, refractory=3)
    },
    "commissioning": {
        "commission": CommissionConfig(readings=30, max_drift=9, max_ratio=99),
        "alarm": AlarmOverrides(threshold=1.0),
    },
}

Make = Callable[..., Detector]
Found = list[tuple[str, Event]]


def odd(manifest: Manifest) -> Manifest:
    """With a valid range, an unscored channel, a rule when to score, and a warm-up."""
    first, second, *others = manifest.channels
    first = msgspec.structs.replace(first, valid_max=20.0)
    second = msgspec.structs.replace(second, role="context")
    return msgspec.structs.replace(
        manifest,
        channels=(first, second, *others),
        score_when=f"`{first.name}` > -1",
        grid=msgspec.structs.replace(manifest.grid, warm_up=4),
    )


FAKES = {
    "one channel": fake_manifest(("a",)),
    "nine channels": fake_manifest(tuple("abcdefghi")),
    "odd": odd(fake_manifest(tuple("abc"))),
}


@pytest.fixture(params=[*FAKES, "litert", "reference"])
def model(request: pytest.FixtureRequest) -> tuple[Manifest, Make]:
    """A model, and a maker of fresh detectors of it."""
    if request.param in FAKES:
        manifest = FAKES[request.param]
        return manifest, lambda **site: Detector(manifest, FakeBackend(), sha256="f", node="n", **site)
    bundle = open_bundle(request.getfixturevalue("tiny_bundle"))
    load = ReferenceBackend if request.param == "reference" else load_backend
    facts: dict[str, Any] = {"sha256": bundle.sha256, "weights": bundle.weights(), "node": "n"}
    return bundle.manifest, lambda **site: Detector(bundle.manifest, load(bundle), **facts, **site)


def dice(seed: int) -> Random:
    """Chance that can be had again."""
    return Random(seed)  # noqa: S311 - nothing here is a secret


def recording(manifest: Manifest, *, seed: int, count: int = 500) -> list[Reading]:
    """Assets in any order; noise, loud spells, gaps, repeats, partial and impossible readings, NaN."""
    random, clock = dice(seed), dict.fromkeys(ASSETS, START)
    loud = dict.fromkeys(ASSETS, 0.0)
    usual = {
        c.name: pair
        for c, *pair in zip(manifest.channels, manifest.scaling.centre, manifest.scaling.scale, strict=True)
    }
    out = []
    for number in range(count):
        asset = random.choice(ASSETS)
        clock[asset] += random.choices([S, 30 * S, 0, -S], [94, 2, 2, 2])[0]
        if random.random() < 0.03:
            loud[asset] = random.choice([0.0, 0.0, 30.0])
        values: dict[str, float | None] = {
            name: centre + scale * (random.gauss(0, 0.3) + (loud[asset] if random.random() < 0.8 else 0))
            for name, (centre, scale) in usual.items()
        }
        some = random.choice(list(values))
        match random.choices(["whole", "null", "huge", "part", "stranger", "nan"], [86, 4, 3, 5, 1, 1])[0]:
            case "null":
                values[some] = None
            case "huge":
                values[some] = 1e12
            case "part":
                values = {some: values[some]}
            case "stranger":
                values = {"unheard of": 1.0}
            case "nan" if number > count * 0.9:  # where it is believed, it stays for good
                values[some] = float("nan")
        out.append(Reading(asset, clock[asset], values))
    return out


def cuts(readings: Sequence[Reading], *, seed: int, longest: int) -> Iterator[Sequence[Reading]]:
    """Batches of any length."""
    random, start = dice(seed), 0
    while start < len(readings):
        stop = start + random.randint(1, longest)
        yield readings[start:stop]
        start = stop


def raw(events: Sequence[Event]) -> list[bytes]:
    """Events bit for bit: NaN equals NaN."""
    return [msgspec.msgpack.encode([type(event).__name__, event]) for event in events]


def state(detector: Detector) -> bytes:
    """All that is remembered, bit for bit."""
    return msgspec.msgpack.encode(detector.snapshot())


def kinds(events: Sequence[Event]) -> Counter[str]:
    """How many of each; alerts by what they say."""
    return Counter(e.type if isinstance(e, Alert) else type(e).__name__ for e in events)


@pytest.mark.parametrize("site", SITES)
def test_any_cut_into_batches_is_one_by_one(model: tuple[Manifest, Make], site: str) -> None:
    """Batches of a few readings and of hundreds, with everything in them that a stream can bring."""
    manifest, make = model
    readings = recording(manifest, seed=len(site))
    single = make(**SITES[site])
    expected = [event for reading in readings for event in single.push(reading)]
    told = kinds(expected)
    assert min(told[kind] for kind in ("Score", "Reject", "QualityEvent", "open")) > 0
    assert site != "commissioning" or any(c.status == "done" for c in single.commissions())
    state_before_flush = state(single)
    rest = raw(single.flush())

    for longest in (5, 60, len(readings)):
        detector = make(**SITES[site])
        found: list[Event] = []
        for batch in cuts(readings, seed=longest, longest=longest):
            events = detector.push_many(batch)
            assert sorted(number for number, _ in events) == [number for number, _ in events]
            assert all(event.asset == batch[number].asset for number, event in events)
            found += [event for _, event in events]

        assert raw(expected) == raw(found)
        assert state_before_flush == state(detector)
        assert rest == raw(detector.flush())


def test_fakes_tell_everything_there_is_to_tell() -> None:
    """The recordings above open, update and close alerts; otherwise they would prove less than they say."""
    manifest = FAKES["nine channels"]
    detector = Detector(manifest, FakeBackend(), sha256="f", node="n", **SITES["nervous"])
    told = kinds([e for r in recording(manifest, seed=len("nervous")) for e in detector.push(r)])

    assert min(told[kind] for kind in ("open", "update", "close")) > 3


@pytest.mark.parametrize("site", SITES)
def test_scores_are_made_where_somebody_asks(model: tuple[Manifest, Make], site: str) -> None:
    """Each frame is offered once, in order of its asset; what is not asked for changes nothing else."""
    manifest, make = model
    readings = recording(manifest, seed=3)
    whole, partly = make(**SITES[site]), make(**SITES[site])
    expected = [event for _, event in whole.push_many(readings)]
    offered: dict[str, list[StreamStatus]] = {}

    def wanted(assets: Sequence[str], statuses: Sequence[StreamStatus]) -> list[bool]:
        for asset, status in zip(assets, statuses, strict=True):
            offered.setdefault(asset, []).append(status)
        return [asset in ("p1", "p4") for asset in assets]

    found = [
        e for batch in cuts(readings, seed=1, longest=90) for _, e in partly.push_many(batch, wanted=wanted)
    ]
    asked = [e for e in expected if not isinstance(e, Score) or e.asset in ("p1", "p4")]

    assert raw(asked) == raw(found)
    assert state(whole) == state(partly)
    for asset in ASSETS:
        assert offered[asset] == [e.status for e in expected if isinstance(e, Score) and e.asset == asset]


# ------------------------------------------------------------------------------------------ faults


class Poisoned(FakeBackend):
    """Cannot bear one number, whoever sends it and however many are beside it."""

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """As `FakeBackend`, or not at all."""
        if (frame == 77).any():
            raise RuntimeError("77")
        return super().step(frame, state)


def with_poison(seed: int) -> list[Reading]:
    """Whole readings of which some cannot be borne."""
    random = dice(seed)
    out = []
    for number in range(400):
        value = 77 * 8 / 127 if random.random() < 0.04 else random.choice([0.0, 0.0, 0.5, 7.0])
        out.append(Reading(random.choice(ASSETS), START + number * S // 4, {"a": value, "b": 0.1}))
    return out


@pytest.mark.parametrize("longest", [3, 40, 400])
def test_fault_is_held_to_its_own_asset(longest: int) -> None:
    """The reading is named, its asset starts anew, and the others do not notice."""
    readings = with_poison(longest)
    site = SITES["nervous"]
    single = Detector(fake_manifest(), Poisoned(), sha256="f", node="n", **site)
    expected: list[Event] = []
    guilty = []
    for number, reading in enumerate(readings):
        try:
            expected += single.push(reading)
        except RuntimeError:
            guilty.append(number)
            single.reset(reading.asset)
    assert len(guilty) > 5

    detector = Detector(fake_manifest(), Poisoned(), sha256="f", node="n", **site)
    found: list[Event] = []
    blamed: list[int] = []
    start = 0
    for batch in cuts(readings, seed=longest, longest=longest):
        faults: list[int] = []
        found += [e for _, e in detector.push_many(batch, failed=lambda n, _error, to=faults: to.append(n))]  # type: ignore[misc]  # a default that binds
        blamed += sorted(start + number for number in faults)
        start += len(batch)

    assert guilty == blamed
    assert raw(expected) == raw(found)
    assert state(single) == state(detector)


def test_fault_that_nobody_takes_is_raised() -> None:
    """And the detector is fit for the next batch."""
    detector = Detector(fake_manifest(), Poisoned(), sha256="f", node="n")
    bad = Reading("p1", START + 3 * S, {"a": 77 * 8 / 127, "b": 0.0})
    good = [Reading(asset, START + i * S, {"a": 0.0, "b": 0.0}) for i in (1, 2) for asset in ASSETS]
    with pytest.raises(RuntimeError, match="77"):
        detector.push_many([*good, bad, calm("p2", 4)])

    later = [msgspec.structs.replace(r, time_ns=r.time_ns + 9 * S) for r in good]
    assert len(later) == kinds([e for _, e in detector.push_many(later)])["Score"]


class Nameless(FakeBackend):
    """Cannot say its name, once, so that an alert cannot be written."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    def name(self) -> str:  # type: ignore[override]  # the fake has a constant
        """What it is, but for the first time it is asked."""
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("who am I?")
        return "fake"


def test_alert_that_cannot_be_written_takes_no_other_with_it() -> None:
    """Three alerts fall due at once; the first fails, its asset starts anew, the others go out."""
    detector = Detector(fake_manifest(), Nameless(), sha256="f", node="n", alarm=AlarmOverrides(open_after=2))
    blamed: list[int] = []
    loud = [Reading(asset, START + i * S, {"a": 7.5, "b": -7.5}) for i in (1, 2) for asset in ("x", "y", "z")]
    events = detector.push_many(loud, failed=lambda number, _error: blamed.append(number))
    after = detector.push(Reading("x", START + 3 * S, {"a": 0.0, "b": 0.0}))

    assert [3] == blamed
    assert [4, 5] == [number for number, event in events if isinstance(event, Alert)]
    assert [0] == [event.tick for event in after if isinstance(event, Score)]


# ------------------------------------------------------------------------------------------ eviction


@pytest.mark.parametrize("site", SITES)
def test_evicted_assets_come_back_as_they_were(model: tuple[Manifest, Make], site: str) -> None:
    """Assets let go and brought back at any moment: nothing changes but the memory in use."""
    manifest, make = model
    readings, random = recording(manifest, seed=9), dice(9)
    stays, moves = make(**SITES[site]), make(**SITES[site])
    disk: dict[str, bytes] = {}

    def fetch(asset: str) -> StreamSnapshot | None:
        content = disk.pop(asset, None)
        return None if content is None else msgspec.msgpack.decode(content, type=StreamSnapshot)

    moves.fetch = fetch
    expected, found = [], []
    for batch in cuts(readings, seed=9, longest=30):
        expected += [event for _, event in stays.push_many(batch)]
        found += [event for _, event in moves.push_many(batch)]
        for asset in random.sample(moves.assets, min(3, len(moves.assets))):
            disk[asset] = msgspec.msgpack.encode(moves.evict(asset))
        assert len(disk) == moves.away
    for asset in list(disk):
        saved = fetch(asset)
        assert saved is not None
        moves.adopt(saved)

    assert raw(expected) == raw(found)
    assert {a: msgspec.msgpack.encode(stays.dump(a)) for a in ASSETS} == {
        a: msgspec.msgpack.encode(moves.dump(a)) for a in ASSETS
    }
    assert 0 == moves.away


def calm(asset: str, number: int) -> Reading:
    """A reading of both channels, one a second."""
    return Reading(asset, START + number * S, {"a": 0.0, "b": 0.0})


def test_evicted_assets_still_count() -> None:
    """Letting assets go makes no room for made-up names, and one that comes back needs none."""
    detector = Detector(fake_manifest(), FakeBackend(), sha256="f", node="n", max_assets=2)
    detector.push_many([calm("x", 1), calm("y", 1)])
    saved = detector.evict("x")
    refused = [event for event in detector.push(calm("z", 1)) if isinstance(event, Reject)]
    detector.fetch = lambda asset: saved if asset == "x" else None
    back = detector.push(calm("x", 2))

    assert [RejectReason.TOO_MANY_ASSETS] == [event.reason for event in refused]
    assert [1] == [event.tick for event in back if isinstance(event, Score)]


def test_adopting_an_asset_twice_is_refused() -> None:
    """Two memories of one machine cannot both be right."""
    detector = Detector(fake_manifest(), FakeBackend(), sha256="f", node="n")
    detector.push(calm("x", 1))
    with pytest.raises(ValueError, match="in memory already"):
        detector.adopt(detector.dump("x"))


def test_what_has_changed_is_asked_for_once() -> None:
    """Only assets with readings, or that were reset, since the last time."""
    detector = Detector(fake_manifest(), FakeBackend(), sha256="f", node="n")
    detector.push_many([calm("x", 1), calm("y", 1), calm("z", 1)])
    assert ["x", "y", "z"] == detector.take_dirty()
    assert [] == detector.take_dirty()
    detector.push(calm("y", 2))
    detector.reset("z")
    assert detector.changed("y")
    assert not detector.changed("x")
    assert ["y", "z"] == detector.take_dirty()


def test_coldest_are_those_that_are_silent_for_longest() -> None:
    """An asset in alarm is never among them: its alarm must be known."""
    detector = Detector(fake_manifest(), FakeBackend(), sha256="f", node="n")
    for number, asset in enumerate(["x", "y", "z", "y"]):
        detector.push(calm(asset, number))
    for number in range(4, 8):
        detector.push(Reading("loud", START + number * S, {"a": 7.5, "b": -7.5 + number}))
    detector.push(calm("z", 9))

    assert ["loud"] == [alert.asset for alert in detector.open_alerts()]
    assert ["x", "y"] == detector.coldest(2)
    assert ["x", "y", "z"] == detector.coldest(9)


def test_row_that_is_used_again_is_fresh() -> None:
    """Rows of removed streams and rows that growing brought have seen nothing, and are few."""
    manifest = fake_manifest(scaling=AssetScaling((1.0, 2.0), (3.0, 4.0)))
    table = StreamTable(manifest, capacity=2)
    table.add("first")
    untouched = table.dump("first")
    for number in range(100):
        row = table.add(f"{number}")
        assert untouched == table.dump(f"{number}")
        assert [1.0, 2.0] == table.centre[row].tolist()
        assert not table.busy[row]
        table.view("smoothed", f"{number}")[:] = 99.0
        table.rescale(f"{number}", AssetScaling((0.0, 0.0), (1.0, 1.0)))
        table.busy[row] = True
        if number > 8:
            table.remove(f"{number}")

    assert (10, 16) == (len(table), len(table.busy))


def test_replay_of_some_machines_is_that_of_each_alone(tiny_bundle: Path) -> None:
    """Machines of a recording share steps; what comes out stands in the recording's order, as before."""
    bundle = open_bundle(tiny_bundle)
    scaling, random = bundle.manifest.scaling, np.random.default_rng(0)
    channels = tuple(channel.name for channel in bundle.manifest.channels)

    def segment(asset: str, hour: int) -> Segment:
        values = random.normal(0, 3, (90, len(channels))) * scaling.scale + scaling.centre
        values[10:14, 0] = np.nan
        return Segment(asset, "a.csv", START + (3600 * hour + np.arange(90)) * S, values)

    segments = [segment(*pair) for pair in (("p1", 0), ("p2", 0), ("p3", 1), ("p1", 2), ("p2", 3))]

    def replayed(some: list[Segment]) -> Replayed:
        history = History(channels, tuple(some), 1.0)
        return replay(bundle, history, node="n", alarm=AlarmOverrides(threshold=0.5), asset="p3")

    whole = replayed(segments)
    alone = {asset: replayed([one for one in segments if one.asset == asset]) for asset in ("p1", "p2", "p3")}
    assert min(len(one.alerts) for one in alone.values()) > 0

    assert [one.asset for one in segments for _ in range(90)] == [score.asset for score in whole.scores]
    for asset, one in alone.items():
        mine = [i for i, score in enumerate(whole.scores) if score.asset == asset]
        assert one.scores == [whole.scores[i] for i in mine]
        assert np.array_equal(one.values, [whole.values[i] for i in mine], equal_nan=True)
        assert one.alerts == [alert for alert in whole.alerts if alert.asset == asset]


def test_more_streams_than_one_step_takes() -> None:
    """Six hundred assets with two readings each in one batch, as one by one."""
    readings = [
        Reading(f"m{asset}", START + second * S, {"a": asset % 7 - 3.0, "b": second * 2.0})
        for second in (1, 2)
        for asset in range(600)
    ]
    single, many = (Detector(fake_manifest(), FakeBackend(), sha256="f", node="n") for _ in range(2))
    expected = [event for reading in readings for event in single.push(reading)]

    assert raw(expected) == raw([event for _, event in many.push_many(readings)])
    assert state(single) == state(many)
