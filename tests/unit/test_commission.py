"""Commissioning: what is learned, what is refused, and that a restart in the middle changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from edge_lstm.backends import load_backend
from edge_lstm.bundle import open_bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission, CommissionConfig
from edge_lstm.contracts.manifest import AssetScaling, Channel, Manifest
from edge_lstm.contracts.reading import Reading
from edge_lstm.contracts.score import Score, StreamStatus
from edge_lstm.contracts.state import DetectorSnapshot
from edge_lstm.core.commission import unsteady
from edge_lstm.core.detector import Detector, Event
from edge_lstm.errors import ConfigError, SnapshotError
from edge_lstm.testing import FakeBackend, fake_manifest
from trainer.data import read_history
from trainer.replay import replay, replay_notes, write_scores

S = 1_000_000_000
START = 1_772_366_400 * S
CONFIG = CommissionConfig(readings=60)
Rows = np.ndarray


def detector(
    manifest: Manifest | None = None,
    commission: CommissionConfig = CONFIG,
    **alarm: Any,  # noqa: ANN401 - any field of the overrides
) -> Detector:
    """A detector of the fake model that commissions on 60 readings."""
    return Detector(
        manifest or fake_manifest(),
        FakeBackend(),
        sha256="f" * 64,
        node="n",
        commission=commission,
        alarm=AlarmOverrides(**{"threshold": 1e9, **alarm}),
    )


def steady(rows: int, seed: int = 0, channels: int = 2) -> Rows:
    """A quiet machine far from the bundle's centre, (rows, channels)."""
    return np.random.default_rng(seed).normal(
        (500.0, -20.0)[:channels], (4.0, 0.5)[:channels], (rows, channels)
    )


def readings(values: Iterable[Iterable[float]], asset: str = "new", start: int = 0) -> list[Reading]:
    """One reading a second; NaN is no value."""
    return [
        Reading(
            asset,
            START + (start + i) * S,
            {n: None if np.isnan(v) else float(v) for n, v in zip("ab", row, strict=False)},
        )
        for i, row in enumerate(values)
    ]


def run(one: Detector, some: Iterable[Reading]) -> list[Event]:
    """Push all readings."""
    return [event for reading in some for event in one.push(reading)]


def told(events: Iterable[Event]) -> list[Commission]:
    """What was told of commissioning."""
    return [event for event in events if isinstance(event, Commission)]


def statuses(events: Iterable[Event]) -> list[str]:
    """Status of each score, repeats left out."""
    found = [str(event.status) for event in events if isinstance(event, Score)]
    return [one for one, before in zip(found, ["", *found], strict=False) if one != before]


def test_asset_gets_the_scaling_of_its_own_first_readings() -> None:
    """Centre and spread come from the first N frames alone, and later frames are scored with them."""
    values = steady(200)
    one = detector()
    events = run(one, readings(values))
    began, done = told(events)

    assert ("commissioning", 0, "") == (began.status, began.readings, began.reason)
    assert ("done", 60, 60, 0) == (done.status, done.readings, done.wanted, done.refused)
    assert np.allclose(values[:60].mean(0), [c.centre for c in done.channels])
    assert np.allclose(values[:60].std(0), [c.scale for c in done.channels])
    assert done == one.commissions()[0]
    assert ["commissioning", "normal"] == statuses(events)
    assert [i / 60 for i in range(1, 61)] == [
        e.progress for e in events if isinstance(e, Score) and e.progress is not None
    ]


def test_commissioned_asset_scores_as_if_the_bundle_named_it() -> None:
    """The frozen numbers are a scaling like any other: the same scores, bit for bit."""
    values = steady(200)
    events = run(detector(), readings(values))
    done = told(events)[-1]
    scaling = AssetScaling(tuple(c.centre for c in done.channels), tuple(c.scale for c in done.channels))
    named = detector(fake_manifest(assets={"new": scaling}))
    expected = [e for e in run(named, readings(values[60:], start=60)) if isinstance(e, Score)]

    assert expected == [e for e in events if isinstance(e, Score) and e.progress is None]


def test_named_assets_and_no_wish_leave_all_as_it_was() -> None:
    """Off by default, and never for a machine that the bundle knows."""
    named = fake_manifest(assets={"new": AssetScaling((500.0, -20.0), (4.0, 0.5))})
    for one in (detector(named), detector(commission=CommissionConfig())):
        assert "commissioning" not in statuses(run(one, readings(steady(100))))
        assert [] == one.commissions()


def test_no_alert_opens_while_an_asset_is_commissioned() -> None:
    """However far it is from the bundle's centre; afterwards a fault is found."""
    values = steady(200)
    values[150:] += 100
    events = run(detector(threshold=2.0), readings(values))
    alerts = [e for e in events if isinstance(e, Alert)]

    assert alerts[0].type == "open"
    assert alerts[0].state.reset_reason == "commission"
    assert alerts[0].state.age_s >= 90


@pytest.mark.parametrize("cut", [1, 30, 59, 60, 61, 119, 120, 150, 199])
def test_restart_in_mid_commissioning_goes_on_bit_for_bit(cut: int) -> None:
    """With a refused baseline before: a snapshot at any frame, written and read, changes nothing."""
    values = np.r_[np.linspace([0, 0], [900, 30], 60), steady(140)]
    expected = run(detector(), readings(values))
    before, after = detector(), detector()
    events = run(before, readings(values)[:cut])
    raw = msgspec.msgpack.encode(before.snapshot())
    after.restore(msgspec.msgpack.decode(raw, type=DetectorSnapshot))
    events += run(after, readings(values)[cut:])

    assert ["commissioning", "commissioning", "done"] == [one.status for one in told(expected)]
    assert expected == events


def test_baseline_is_kept_only_while_it_is_needed() -> None:
    """A number a channel and frame in the snapshot, and none once it is learned."""
    one = detector()
    sizes = []
    for reading in readings(steady(61)):
        one.push(reading)
        memory = one.snapshot().streams[0].commission
        assert memory is not None
        sizes.append(len(memory.rows))

    assert [16 * i for i in range(1, 60)] + [0, 0] == sizes


def test_learned_scaling_stays_when_the_wish_is_taken_back() -> None:
    """Frozen is frozen; a half-learned asset falls back to the common scaling."""
    values = readings(steady(200))
    for cut, expected in ((100, ["normal"]), (30, ["normal"])):
        before, after = detector(), detector(commission=CommissionConfig())
        run(before, values[:cut])
        after.restore(before.snapshot())
        assert expected == statuses(run(after, values[cut:]))
        assert (cut == 100) == bool(after.commissions())


def test_snapshot_of_other_channels_is_refused() -> None:
    """A baseline of another width cannot be gone on with."""
    before = detector()
    run(before, readings(steady(10)))
    snapshot = before.snapshot()
    assert snapshot.streams[0].commission is not None
    snapshot.streams[0].commission.rows += b"\0" * 8

    with pytest.raises(SnapshotError, match="does not fit"):
        detector().restore(snapshot)


def bad(kind: str) -> Rows:
    """A baseline that cannot be believed, (60, 2)."""
    x, step = steady(60), np.arange(60)
    if kind == "run-up":
        x[:, 0] = np.minimum(step / 15, 1) * 500 + x[:, 0] - 500
    elif kind == "ramp":
        x[:, 0] += step * 10
    elif kind == "step":
        x[30:, 1] += 10
    elif kind == "burst of faults":
        x[30:, 0] = 500 + (x[30:, 0] - 500) * 40
    elif kind == "stuck":
        x[25:, 1] = x[25, 1]
    elif kind == "missing":
        x[::3, 1] = np.nan
    elif kind == "dead":
        x[:] = 1.0
    return x


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("run-up", "a drifts by"),
        ("ramp", "a drifts by"),
        ("step", "b drifts by"),
        ("burst of faults", "the spread of a changes by a factor"),
        ("stuck", "b stands still for 35 of 60 readings"),
        ("missing", "b is missing in 33% of the readings"),
        ("dead", "no channel moves"),
    ],
)
def test_unsteady_baseline_is_refused_and_the_next_one_taken(kind: str, why: str) -> None:
    """The reason is told, nothing is frozen, and the asset is learned from the next frames."""
    events = run(detector(), readings(np.r_[bad(kind), steady(100)]))
    _, refused, done = told(events)

    assert why in refused.reason
    assert ("commissioning", 1, []) == (refused.status, refused.refused, refused.channels)
    assert ("done", 1, "") == (done.status, done.refused, done.reason)
    assert 500 == pytest.approx(done.channels[0].centre, abs=2)
    assert ["commissioning", "normal"] == statuses(events)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [50, 400, 3000])
def test_steady_baselines_are_taken(seed: int, rows: int) -> None:
    """Noise, a cycle shorter than the baseline, a flag that rests, a wild value: no reason to refuse."""
    random, t = np.random.default_rng(seed), np.arange(rows)
    x = np.column_stack(
        [random.normal(size=rows), np.sin(t / 3), (random.random(rows) < 0.1), np.full(rows, 7.0)]
    ).astype(float)
    x[rows // 3, 0] = 65535.0

    assert [] == list(unsteady(x, np.ones(4), list("abcd"), CONFIG))


@pytest.mark.parametrize("value", [35.22, 0.1, 1e300])
def test_resting_baseline_is_refused_whatever_rounding_makes_of_it(value: float) -> None:
    """The mean of a hundred times 35.22 is not 35.22, and the spread about it not 0."""
    x = np.full((100, 2), value)

    assert "no channel moves" == next(unsteady(x, np.ones(2), ["a", "b"], CONFIG))


def test_quarter_without_values_hides_no_drift() -> None:
    """Where a site allows many missing values, what is there is still judged."""
    x = steady(400)
    x[:100, 0] = np.nan
    x[200:, 0] += 100
    loose = CommissionConfig(readings=400, max_missing=0.5)

    assert "a drifts by" in next(unsteady(x, np.ones(2), ["a", "b"], loose))


def test_one_wild_value_in_a_baseline_changes_nothing_much() -> None:
    """A sentinel among the first readings does not make the asset deaf."""
    values = steady(100)
    values[10] = 65535.0
    done = told(run(detector(), readings(values)))[-1]
    clean = np.delete(values[:60], 10, axis=0)

    assert np.allclose(clean.std(0), [c.scale for c in done.channels])


def test_still_channel_gets_a_share_of_the_usual_scale() -> None:
    """A channel that rests in the baseline divides by no zero, and its later noise is no anomaly."""
    values = steady(100)
    values[:, 1] = 3.0
    named = fake_manifest(assets={"known": AssetScaling((0.0, 0.0), (4.0, 2.0))})
    done = told(run(detector(named), readings(values)))[-1]

    assert (3.0, 0.2, True) == (done.channels[1].centre, done.channels[1].scale, done.channels[1].still)
    assert not done.channels[0].still


def test_context_channel_is_an_input_and_never_scored() -> None:
    """Its values reach the model; they have no share of the score and are no contributor."""
    manifest = msgspec.structs.replace(fake_manifest(), channels=(Channel("a"), Channel("b", role="context")))
    values = np.zeros((80, 2))
    values[40:, 1] = 50.0
    events = run(detector(manifest, CommissionConfig(), threshold=0.9), readings(values))
    scores = [e for e in events if isinstance(e, Score)]
    still = run(detector(manifest, CommissionConfig(), threshold=0.9), readings(values * 0))

    assert all(score.shares[1] == 0 for score in scores)
    assert any(score.shares[0] > 0.99 for score in scores)
    assert [s.score for s in scores] != [e.score for e in still if isinstance(e, Score)]
    alerts = [e for e in events if isinstance(e, Alert)]
    assert alerts
    assert {"a"} == {c.channel for alert in alerts for c in alert.contributors}


def test_context_channel_is_not_judged_and_keeps_at_least_the_usual_scale() -> None:
    """A set point may step while the machine is learned; one that rests must not be clipped later."""
    manifest = msgspec.structs.replace(fake_manifest(), channels=(Channel("a"), Channel("b", role="context")))
    values = steady(60)
    values[30:, 1] += 300
    stepped = told(run(detector(manifest), readings(values)))[-1]
    values[:, 1] = 7.0
    rested = told(run(detector(manifest), readings(values)))[-1]

    assert ("done", "done") == (stepped.status, rested.status)
    assert stepped.channels[1].scale > 100
    assert rested.channels[1].scale == 1.0


RULE = "a > 100"


def test_paused_frames_advance_the_state_and_nothing_else() -> None:
    """Scores hold while the rule is false, and afterwards the state is that of a stream never paused."""
    values = np.zeros((90, 2))
    values[:, 0] = np.r_[np.full(40, 101.0), np.full(20, 99.0), np.full(30, 101.0)]
    quiet = detector(commission=CommissionConfig(), threshold=1e9)
    paused = detector(commission=CommissionConfig(), threshold=1e9, score_when=RULE)
    plain = [e for e in run(quiet, readings(values)) if isinstance(e, Score)]
    held = [e for e in run(paused, readings(values)) if isinstance(e, Score)]

    assert plain[:40] == held[:40]
    assert {"paused"} == {str(s.status) for s in held[40:60]}
    assert {held[39].score} == {s.score for s in held[40:60]}
    arrays = [one.snapshot().streams[0].arrays for one in (quiet, paused)]
    for name in ("hidden_in_0", "cell_in_0", "forecast"):
        assert arrays[0][name] == arrays[1][name]


def test_episode_neither_opens_nor_closes_while_paused() -> None:
    """An open episode waits; it closes once the machine is scored again."""
    values = np.zeros((200, 2))
    values[:, 0] = 150.0
    values[40:60, 1] = 90.0
    values[60:140, 0] = 0.0
    one = detector(commission=CommissionConfig(), threshold=1.05, close_ratio=0.98, score_when=RULE)
    manifest_scaling = readings(values)
    before = run(one, manifest_scaling[:60])
    during = run(one, manifest_scaling[60:140])

    assert len(one.open_alerts()) == 1
    assert "open" in [e.type for e in before if isinstance(e, Alert)]
    assert [] == [e for e in during if isinstance(e, Alert)]
    assert ["paused"] == statuses(during)


def test_frames_with_a_missing_channel_of_the_rule_are_paused() -> None:
    """What is not known cannot hold."""
    values = np.full((20, 2), 150.0)
    values[10, 0] = np.nan
    scores = [
        e
        for e in run(detector(commission=CommissionConfig(), score_when=RULE), readings(values))
        if isinstance(e, Score)
    ]

    assert [10] == [i for i, s in enumerate(scores) if s.status is StreamStatus.PAUSED]


def test_paused_frames_do_not_count_for_commissioning() -> None:
    """A machine is learned while it runs."""
    values = np.r_[np.zeros((100, 2)), steady(80)]
    events = run(detector(score_when=RULE), readings(values))
    done = told(events)[-1]

    assert ["paused", "commissioning", "normal"] == statuses(events)
    assert np.allclose(values[100:160].mean(0), [c.centre for c in done.channels])


def test_site_rule_goes_over_the_bundles_and_is_checked_against_it() -> None:
    """An empty text takes the bundle's rule away; an unknown channel is named."""
    manifest = fake_manifest(score_when="a > 1000")
    values = readings(steady(10))

    assert ["paused"] == statuses(run(detector(manifest, CommissionConfig()), values))
    assert ["normal"] == statuses(run(detector(manifest, CommissionConfig(), score_when=""), values))
    with pytest.raises(ConfigError, match=r"alarm.score_when: .* there is no channel 'sped'"):
        detector(manifest, score_when="sped > 5")


def test_replay_commissions_as_the_device(tiny_bundle: Path, tiny_history: Path, tmp_path: Path) -> None:
    """The same detector: no score at first, then one a reading, and a note that says what was learned."""
    bundle = open_bundle(tiny_bundle)
    history = read_history([tiny_history], channels=[c.name for c in bundle.manifest.channels])
    config = CommissionConfig(readings=400)
    out = replay(bundle, history, node="n", alarm=AlarmOverrides(), asset="new", commission=config)
    one = Detector(
        bundle.manifest,
        load_backend(bundle),
        sha256=bundle.sha256,
        node="n",
        weights=bundle.weights(),
        commission=config,
        replayed=True,
    )
    live = run(
        one,
        (
            Reading("new", t, dict(zip(history.channels, row, strict=True)))
            for t, row in zip(
                history.segments[0].time_ns.tolist(), history.segments[0].values.tolist(), strict=True
            )
        ),
    )
    write_scores(tmp_path / "s.csv", out, history.channels, with_channels=False)
    written = pl.read_csv(tmp_path / "s.csv")

    assert out.scores == [e for e in live if isinstance(e, Score)]
    assert out.commissions == told(live)
    assert "done" == out.commissions[-1].status
    assert written["score"].is_null().to_list() == [True] * 400 + [False] * (len(written) - 400)
    assert ["'new' was learned from 400 readings"] == [n[:35] for n in replay_notes(bundle, history, out)]
