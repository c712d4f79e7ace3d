"""Properties every detector must keep, with the fake model and with a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_lstm.backends import load_backend
from edge_lstm.bundle import open_bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.frame import QualityEvent, QualityReason
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.contracts.state import DetectorSnapshot
from edge_lstm.core.detector import Detector, Event
from edge_lstm.errors import SnapshotError
from edge_lstm.testing import FakeBackend, fake_manifest

S = 1_000_000_000
START = 1_772_366_400 * S

Make = Callable[..., Detector]


@pytest.fixture(params=["fake", "litert"])
def make(request: pytest.FixtureRequest) -> Make:
    """A maker of fresh detectors, all of one model."""
    if request.param == "fake":
        return lambda **options: Detector(
            fake_manifest(("speed", "flow")), FakeBackend(), sha256="f" * 64, node="n", **options
        )
    bundle = open_bundle(request.getfixturevalue("tiny_bundle"))
    return lambda **options: Detector(
        bundle.manifest,
        load_backend(bundle),
        sha256=bundle.sha256,
        node="n",
        weights=bundle.weights(),
        **options,
    )


def recording(make: Make, asset: str, *, rows: int = 200, seed: int = 0) -> list[Reading]:
    """Random readings of all of the model's channels, with a loud stretch in the middle."""
    detector = make()
    names = [channel.name for channel in detector.channels]
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, len(names)))
    values[rows // 2 : rows // 2 + 40] += 50
    return [
        Reading(asset, START + i * S, dict(zip(names, row.tolist(), strict=True)))
        for i, row in enumerate(values)
    ]


def run(detector: Detector, readings: Iterable[Reading]) -> list[Event]:
    """Push all readings."""
    return [event for reading in readings for event in detector.push(reading)]


def scores(events: Iterable[Event]) -> list[Score]:
    """The scores among events."""
    return [event for event in events if isinstance(event, Score)]


def alerts(events: Iterable[Event]) -> list[Alert]:
    """The alerts among events."""
    return [event for event in events if isinstance(event, Alert)]


def test_each_reading_is_scored_once(make: Make) -> None:
    """As many scores as readings, none more when they are delivered again."""
    detector, readings = make(), recording(make, "p")

    assert len(readings) == len(scores(run(detector, readings)))
    again = run(detector, readings)
    assert [] == scores(again)
    assert {RejectReason.DUPLICATE, RejectReason.LATE} == {e.reason for e in again if isinstance(e, Reject)}


def test_interleaved_assets_score_as_each_alone(make: Make) -> None:
    """Two machines in one process have the scores they have alone, bit for bit."""
    first, second = recording(make, "p1", seed=1), recording(make, "p2", seed=2)
    both = run(make(), [reading for pair in zip(first, second, strict=True) for reading in pair])

    for readings in (first, second):
        alone = run(make(), readings)
        mine = [e for e in both if not isinstance(e, Reject) and e.asset == readings[0].asset]
        assert alone == mine


def test_restored_detector_goes_on_bit_for_bit(make: Make) -> None:
    """A snapshot taken at any reading, written down and read back, changes nothing."""
    readings = recording(make, "p")
    expected = run(make(), readings)
    for cut in (1, 99, 110, 150):
        before = make()
        events = run(before, readings[:cut])
        raw = msgspec.msgpack.encode(before.snapshot())
        after = make()
        after.restore(msgspec.msgpack.decode(raw, type=DetectorSnapshot))
        events += run(after, readings[cut:])

        assert expected == events


def test_input_is_not_changed(make: Make) -> None:
    """A reading can be used again by its sender."""
    reading = recording(make, "p", rows=1)[0]
    before = dict(reading.values)
    make().push(reading)

    assert before == reading.values


def test_reset_equals_fresh(make: Make) -> None:
    """After a reset, and after a gap, the scores are those of a fresh detector."""
    detector, readings = make(), recording(make, "p")
    fresh = [s.score for s in scores(run(make(), readings[:50]))]
    run(detector, readings)
    detector.reset("p")
    later = [msgspec.structs.replace(r, time_ns=r.time_ns + 3600 * S) for r in readings[:50]]

    assert fresh == [s.score for s in scores(run(detector, later))]


def test_muted_state_equals_unmuted(make: Make) -> None:
    """The state advances whether or not alerts can open."""
    readings = recording(make, "p")
    muted = make(alarm=AlarmOverrides(threshold=1e9))

    assert [s.score for s in scores(run(make(), readings))] == [s.score for s in scores(run(muted, readings))]


def test_episode_has_one_id_and_says_who_when_and_why(make: Make) -> None:
    """Open, updates and close share an id; contributors come largest first."""
    readings = recording(make, "p")
    said = alerts(run(make(alarm=AlarmOverrides(threshold=1.0, update_every_s=5)), readings))
    kinds = [alert.type for alert in said]

    assert kinds[0] == "open"
    assert "update" in kinds
    first = said[: kinds.index("close") + 1] if "close" in kinds else said
    assert 1 == len({alert.id for alert in first})
    for alert in said:
        shares = [c.share for c in alert.contributors]
        assert sorted(shares, reverse=True) == shares
        assert alert.started <= alert.time


def test_alert_ids_are_the_same_in_a_second_run(make: Make) -> None:
    """A replay gives the ids the device gave."""
    readings = recording(make, "p")

    assert [a.id for a in alerts(run(make(), readings))] == [a.id for a in alerts(run(make(), readings))]


def test_gap_closes_no_door_on_an_open_episode() -> None:
    """An asset that comes back healthy after a gap ends its episode although it is warming up."""
    manifest = fake_manifest(("a",))
    manifest = msgspec.structs.replace(manifest, grid=msgspec.structs.replace(manifest.grid, warm_up=50))
    detector = Detector(manifest, FakeBackend(), sha256="0", node="n")
    quiet = [Reading("p", START + i * S, {"a": 0.0}) for i in range(60)]
    loud = [Reading("p", START + (60 + i) * S, {"a": 50.0}) for i in range(20)]
    after = [Reading("p", START + (600 + i) * S, {"a": 0.0}) for i in range(40)]
    events = run(detector, [*quiet, *loud, *after])

    assert [QualityReason.GAP] == [e.reason for e in events if isinstance(e, QualityEvent)]
    kinds = [alert.type for alert in alerts(events)]
    assert ["open", "close"] == [kinds[0], kinds[-1]]
    assert [] == detector.open_alerts()


def test_missing_channel_is_not_scored_and_becomes_a_quality_event() -> None:
    """A silent channel is a fault of the sensor: its error does not grow, and it is named."""
    detector = Detector(fake_manifest(("a", "b")), FakeBackend(), sha256="0", node="n")
    there: dict[str, float | None] = {"a": 0.0, "b": 0.0}
    values = [*[there] * 5, *[there | {"b": None}] * 6, there]
    events = run(detector, [Reading("p", START + i * S, v) for i, v in enumerate(values)])
    faults = [(e.reason, e.channel, e.active) for e in events if isinstance(e, QualityEvent)]

    assert [(QualityReason.MISSING, "b", True), (QualityReason.MISSING, "b", False)] == faults


def test_value_out_of_its_valid_range_is_masked() -> None:
    """An impossible value is a sensor fault, not an anomaly of the machine."""
    manifest = fake_manifest(("a", "b"))
    ranged = tuple(msgspec.structs.replace(c, valid_min=-5.0, valid_max=5.0) for c in manifest.channels)
    manifest = msgspec.structs.replace(manifest, channels=ranged)

    def events(odd: float | None) -> list[Event]:
        detector = Detector(manifest, FakeBackend(), sha256="0", node="n")
        rows = [{"a": 0.0, "b": odd if i == 3 else 0.0} for i in range(6)]
        return run(detector, [Reading("p", START + i * S, row) for i, row in enumerate(rows)])

    assert [] == alerts(events(999.0))
    assert [True, False] == [e.active for e in events(999.0) if isinstance(e, QualityEvent)]
    assert scores(events(None)) == scores(events(999.0))
    assert scores(events(4.9)) != scores(events(999.0))


def test_more_assets_than_allowed_are_rejected() -> None:
    """A flood of made-up asset names cannot eat the memory."""
    detector = Detector(fake_manifest(("a",)), FakeBackend(), sha256="0", node="n", max_assets=2)
    events = run(detector, [Reading(f"p{i}", START, {"a": 0.0}) for i in range(4)])

    assert [RejectReason.TOO_MANY_ASSETS] * 2 == [e.reason for e in events if isinstance(e, Reject)]


def test_many_assets_keep_their_states_when_the_table_grows() -> None:
    """Growing the table moves rows, not their content."""

    def readings(asset: str) -> list[Reading]:
        return [Reading(asset, START + i * S, {"a": float(i % 3)}) for i in range(10)]

    detector = Detector(fake_manifest(("a",)), FakeBackend(), sha256="0", node="n")
    columns = zip(*(readings(f"p{i}") for i in range(40)), strict=True)
    together = scores(run(detector, [reading for column in columns for reading in column]))
    alone = Detector(fake_manifest(("a",)), FakeBackend(), sha256="0", node="n")

    assert [s.score for s in scores(run(alone, readings("p7")))] == [
        s.score for s in together if s.asset == "p7"
    ]


def test_snapshot_of_another_bundle_is_refused(make: Make) -> None:
    """States of another model would be plausible nonsense."""
    detector = make()
    run(detector, recording(make, "p", rows=3))
    foreign = msgspec.structs.replace(detector.snapshot(), bundle_sha256="0" * 64)

    with pytest.raises(SnapshotError, match="another bundle"):
        make().restore(foreign)


def test_snapshot_that_does_not_fit_is_refused(make: Make) -> None:
    """Arrays of other sizes are refused by name, not cast."""
    detector = make()
    run(detector, recording(make, "p", rows=3))
    snapshot = detector.snapshot()
    snapshot.streams[0].arrays["smoothed"] = b"short"

    with pytest.raises(SnapshotError, match="does not fit"):
        make().restore(snapshot)


def test_warming_frames_open_nothing(tiny_bundle: Path) -> None:
    """A state younger than the warm-up is marked, and no alert opens."""
    bundle = open_bundle(tiny_bundle)
    detector = Detector(
        bundle.manifest,
        load_backend(bundle),
        sha256=bundle.sha256,
        node="n",
        weights=bundle.weights(),
        alarm=AlarmOverrides(threshold=1e-9),
    )
    names = [channel.name for channel in bundle.manifest.channels]
    warm_up = bundle.manifest.grid.warm_up
    readings = [Reading("p", START + i * S, dict.fromkeys(names, 1.0)) for i in range(warm_up + 2)]
    statuses = [s.status for s in scores(run(detector, readings))]

    assert [StreamStatus.WARMING] * warm_up == statuses[:warm_up]
    assert StreamStatus.OPEN is statuses[-1]


def test_alert_shows_the_expectation_that_was_missed() -> None:
    """A level that falls and stays: the forecast follows it, the alert still says what was usual."""
    manifest = fake_manifest(("flow",))
    detector = Detector(manifest, FakeBackend(), sha256="0", node="n")
    values = [0.0] * 40 + [-30.0] * 40
    events = run(detector, [Reading("p", START + i * S, {"flow": v}) for i, v in enumerate(values)])
    shown = [alert.contributors[0] for alert in alerts(events) if alert.type != "close"]

    assert shown
    assert all(abs(one.actual - one.expected) > 1 for one in shown)
