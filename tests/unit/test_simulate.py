from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from edge_lstm.commands.simulate import simulate
from edge_lstm.errors import ConfigError, HistoryError, MissingExtraError
from edge_lstm.io.recording import check_recording, write_recording
from edge_lstm.simulate import CHANNELS, FAULTS, SENSORS, Plant, Pump, parse_duration_s, parse_fault
from edge_lstm.simulate.hydraulics import duty_point, motor_current, vapour
from edge_lstm.times import parse_time

Array = npt.NDArray[np.float64]
START_NS = parse_time("2026-01-05T00:00:00Z")
FAULT_AT = 1000


def run(
    *faults: str, count: int = 3000, seed: int = 1, asset: str = "pump-1", period_s: float = 1.0
) -> Array:
    """Readings of one pump, an array of (readings, channels) with NaN where a sensor has dropped out."""
    pump = Pump(seed, asset, period_s, faults=[parse_fault(text) for text in faults])
    rows = [[math.nan if value is None else value for value in pump.step().values()] for _ in range(count)]
    return np.array(rows)


def effect(fault: str) -> dict[str, Array]:
    """What a fault alone adds to each channel once it is grown: the same run with and without it."""
    difference = run(fault) - run()
    return dict(zip(CHANNELS, difference[FAULT_AT + 700 :].T, strict=True))


# ------------------------------------------------------------------------------------------------ hydraulics


@pytest.mark.parametrize("ratio", [0.6, 0.8, 0.9])
def test_duty_point_at_other_speed_follows_affinity_laws(ratio: float) -> None:
    """Without static head, flow goes with speed, head with its square, power with its cube."""
    full, slow = duty_point(1.0, static_head=0.0), duty_point(ratio, static_head=0.0)

    assert pytest.approx(ratio) == slow.flow / full.flow
    assert pytest.approx(ratio**2) == slow.head / full.head
    assert pytest.approx(ratio**3) == slow.power / full.power


def test_duty_point_at_nominal_speed_is_best_efficiency() -> None:
    """The system is sized for the pump: 60 m3/h against 36 m, 7.85 kW at 75 %."""
    duty = duty_point(1.0)

    assert pytest.approx((60.0, 36.0, 1.0)) == (duty.flow, duty.head, duty.load)
    assert pytest.approx(9810 * 60 / 3600 * 36 / 0.75) == duty.power


def test_duty_point_below_static_head_delivers_nothing() -> None:
    """Too slow to lift the static head: no flow, and a finite power."""
    duty = duty_point(0.3)

    assert duty.flow == 0.0
    assert 0 < duty.power < 1000


def test_motor_current_without_load_is_magnetising_current() -> None:
    """An idle motor draws its magnetising current."""
    assert motor_current(0.0, 1.0) == 6.0


def test_vapour_with_npsh_margin_is_zero() -> None:
    """A pump with a flooded suction does not cavitate; one without suction head does."""
    duty = duty_point(1.0)

    assert vapour(1.0, duty, suction_loss=0.0) == 0.0
    assert vapour(1.0, duty, suction_loss=8.0) > 1.0


# ------------------------------------------------------------------------------------------------------ pump


def test_pump_with_same_seed_repeats() -> None:
    """The same seed gives the same readings; another seed gives others."""
    assert np.array_equal(run(count=200), run(count=200))
    assert not np.array_equal(run(count=200), run(count=200, seed=2))


def test_pump_of_other_name_is_another_machine() -> None:
    """Pumps differ by a few per cent, and by their set-points."""
    assert not np.array_equal(run(count=200), run(count=200, asset="pump-2"))


def test_pump_over_a_day_stays_in_plausible_ranges() -> None:
    """Every channel varies and stays where such a pump can be."""
    day = dict(zip(CHANNELS, run(count=8640, period_s=10.0).T, strict=True))

    ranges = {
        "speed": (1600, 2950),
        "flow": (25, 65),
        "pressure": (1.2, 4.2),
        "vibration": (0.5, 2.5),
        "bearing_temperature": (15, 50),
        "motor_current": (6.5, 16),
    }
    for channel, (low, high) in ranges.items():
        assert low < day[channel].min() < day[channel].max() < high, channel
        assert day[channel].std() > 0, channel


def test_pump_bearing_follows_speed_with_a_lag() -> None:
    """Temperature correlates better with the speed of minutes ago than with the speed of now."""
    speed, temperature = run(count=20000)[:, [0, 4]].T
    lag_s = 400

    now = np.corrcoef(speed, temperature)[0, 1]
    before = np.corrcoef(speed[:-lag_s], temperature[lag_s:])[0, 1]

    assert before > now + 0.1


def test_pump_vibration_noise_is_autocorrelated() -> None:
    """Roughness is AR(1), not white: neighbours are alike when the speed is taken out."""
    values = run(count=5000)
    coefficients = np.polyfit(values[:, 0], values[:, 3], 2)
    residual = values[:, 3] - np.polyval(coefficients, values[:, 0])

    assert np.corrcoef(residual[:-1], residual[1:])[0, 1] > 0.5


def test_pump_speed_ramps_between_set_points() -> None:
    """The drive never changes speed faster than its ramp (and the sensor's noise)."""
    speed = run(count=20000)[:, 0]

    assert np.abs(np.diff(speed)).max() < 20.0 + 6 * math.sqrt(2) * SENSORS[0].noise
    assert np.ptp(speed) > 400


def test_sensors_are_the_channels() -> None:
    """Faults and sensors name the same channels in the same order."""
    assert tuple(sensor.name for sensor in SENSORS) == CHANNELS


# ---------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("name", FAULTS)
def test_fault_before_its_start_changes_nothing(name: str) -> None:
    """Random numbers do not depend on faults: until the fault begins both runs are one."""
    faulty, normal = run(f"{name}@{FAULT_AT}s"), run()

    assert np.array_equal(normal[:FAULT_AT], faulty[:FAULT_AT])


@pytest.mark.parametrize("name", FAULTS)
def test_fault_after_its_end_is_gone(name: str) -> None:
    """With for=TIME the fault goes away (heat takes its time to leave the bearing)."""
    faulty, normal = run(f"{name}@{FAULT_AT}s:for=10s:grow=0s", count=6000), run(count=6000)

    assert np.abs(faulty[-1] - normal[-1]).max() <= 0.011


def test_bearing_wear_raises_vibration_then_temperature_then_current() -> None:
    """Vibration by a multiple of its noise, temperature by degrees, current by little; the rest untouched."""
    change = effect(f"bearing_wear@{FAULT_AT}s")

    assert change["vibration"].mean() > 1.0
    assert change["bearing_temperature"].mean() > 5.0
    assert 0.02 < change["motor_current"].mean() < 0.5
    for channel in ("speed", "flow", "pressure"):
        assert not change[channel].any()


def test_bearing_wear_reaches_temperature_later_than_vibration() -> None:
    """Half of the final change comes minutes later in the temperature than in the vibration."""
    change = run(f"bearing_wear@{FAULT_AT}s:grow=60s") - run()
    half = {
        name: int(np.argmax(change[:, index] > change[-500:, index].mean() / 2))
        for index, name in enumerate(CHANNELS)
        if name in ("vibration", "bearing_temperature")
    }

    assert half["vibration"] + 120 < half["bearing_temperature"]


def test_cavitation_makes_vibration_ragged_and_costs_head() -> None:
    """Louder and noisier vibration, less flow and pressure, both fluctuating."""
    change = effect(f"cavitation@{FAULT_AT}s:strength=1.5")

    assert change["vibration"].mean() > 0.5
    assert change["vibration"].std() > 5 * SENSORS[3].noise
    assert change["flow"].mean() < -0.3
    assert change["pressure"].mean() < -0.03
    assert change["flow"].std() > SENSORS[1].noise
    assert change["pressure"].std() > SENSORS[2].noise


def test_blocked_valve_moves_pump_along_its_curve() -> None:
    """Flow down, pressure up, current down, at the same speed."""
    change = effect(f"blocked_valve@{FAULT_AT}s")

    assert change["flow"].max() < -5
    assert change["pressure"].min() > 0.1
    assert change["motor_current"].max() < -0.1
    assert not change["speed"].any()


def test_stuck_sensor_repeats_the_last_value() -> None:
    """Exactly one channel, exactly one value."""
    values = run(f"stuck_sensor@{FAULT_AT}s:channel=pressure", count=1500)
    normal = run(count=1500)

    assert {values[FAULT_AT - 1, 2]} == set(values[FAULT_AT:, 2])
    assert np.array_equal(np.delete(normal, 2, axis=1), np.delete(values, 2, axis=1))


def test_drop_out_leaves_no_value() -> None:
    """The channel is None while the fault lasts, and only that channel."""
    values = run("drop_out@10s:for=5s", count=30)

    assert list(range(10, 15)) == np.flatnonzero(np.isnan(values[:, 3])).tolist()
    assert not np.isnan(np.delete(values, 3, axis=1)).any()


@pytest.mark.parametrize(("strength", "expected"), [("1", 0.525), ("-2", -1.05)])
def test_drift_goes_off_by_a_part_of_nominal(strength: str, expected: float) -> None:
    """Fifteen per cent of the nominal value a unit of strength, in either direction."""
    change = effect(f"drift@{FAULT_AT}s:channel=pressure:strength={strength}")

    assert pytest.approx(expected, abs=0.001) == change["pressure"].mean()


def test_fault_grows_linearly() -> None:
    """Nothing at the start, half of it half-way, all of it at the end of growth."""
    fault = parse_fault("bearing_wear@100s:grow=50s:strength=2")

    assert [0.0, 0.0, 1.0, 2.0, 2.0] == [fault.level(time) for time in (99.0, 100.0, 125.0, 150.0, 9999.0)]


@pytest.mark.parametrize("name", FAULTS)
def test_fault_names_right_contributors(name: str) -> None:
    """Every fault says which channels are a right first contributor."""
    fault = parse_fault(f"{name}@1s")

    assert fault.contributors
    assert set(fault.contributors) <= set(CHANNELS)


@pytest.mark.parametrize(
    ("text", "start_s", "strength", "duration_s", "channel", "asset"),
    [
        ("bearing_wear@120s", 120.0, 1.0, math.inf, None, None),
        ("cavitation@2m:strength=2.5", 120.0, 2.5, math.inf, None, None),
        ("stuck_sensor@0", 0.0, 1.0, math.inf, "flow", None),
        ("drift@1h:channel=speed:for=1d", 3600.0, 1.0, 86400.0, "speed", None),
        ("drop_out@1.5min:asset=pump-2", 90.0, 1.0, math.inf, "vibration", "pump-2"),
    ],
)
def test_parse_fault_reads_grammar(
    text: str, start_s: float, strength: float, duration_s: float, channel: str | None, asset: str | None
) -> None:
    """Every option of the grammar arrives."""
    fault = parse_fault(text)

    got = (fault.start_s, fault.strength, fault.duration_s, fault.channel, fault.asset)
    assert (start_s, strength, duration_s, channel, asset) == got


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bearing_weer@120s", "did you mean bearing_wear?"),
        ("rust@120s", "unknown fault: expected one of bearing_wear, cavitation, blocked_valve"),
        ("bearing_wear", "no start time: expected bearing_wear@TIME"),
        ("bearing_wear@", "start is not a time span"),
        ("bearing_wear@soon", "got 'soon'"),
        ("bearing_wear@-3s", "start is not a time span"),
        ("bearing_wear@3s:strong=2", "unknown option: expected one of channel, strength, for, grow, asset"),
        ("bearing_wear@3s:strengh=2", "did you mean strength?"),
        ("bearing_wear@3s:strength", "no value for strength: expected strength=VALUE"),
        ("bearing_wear@3s:strength=", "no value for strength"),
        ("bearing_wear@3s:strength=much", "strength is not a number"),
        ("bearing_wear@3s:strength=nan", "strength is not a number"),
        ("bearing_wear@3s:strength=0", "a number other than 0"),
        ("bearing_wear@3s:strength=-1", "only drift has a direction"),
        ("bearing_wear@3s:for=2x", "for is not a time span"),
        ("bearing_wear@3s:for=0s", "the fault would end as it begins"),
        ("bearing_wear@3s:for=1s:for=2s", "for is given twice"),
        ("bearing_wear@3s:channel=flow", "bearing_wear is a fault of the machine and has no channel"),
        ("drift@3s:channel=flwo", "did you mean flow?"),
    ],
)
def test_parse_fault_refuses_with_the_reason(text: str, message: str) -> None:
    """One line that quotes the fault as written and says what was expected."""
    with pytest.raises(ConfigError) as caught:
        parse_fault(text)

    assert message in str(caught.value)
    assert str(caught.value).startswith(f"fault '{text}': ")
    assert "\n" not in str(caught.value)


def test_parse_duration_without_unit_is_seconds() -> None:
    """A bare number is seconds."""
    assert parse_duration_s("90") == parse_duration_s("1.5m") == 90.0


# ----------------------------------------------------------------------------------------------------- plant


def test_plant_ticks_carry_time_and_changes() -> None:
    """Times are evenly spaced; a fault is announced once when it begins and once when it ends."""
    fault = parse_fault("drop_out@10s:for=10s")
    plant = Plant(["a", "b"], seed=1, period_s=5.0, start_ns=START_NS, faults=[fault])

    ticks = list(plant.ticks(6))

    assert [START_NS + k * 5_000_000_000 for k in range(6)] == [tick.time_ns for tick in ticks]
    assert [(), (), (fault,), (), (), ()] == [tick.began for tick in ticks]
    assert [(), (), (), (), (fault,), ()] == [tick.ended for tick in ticks]
    assert ["a", "b"] == [sample.asset for sample in ticks[0].samples]
    assert [False, False, True, True, False, False] == [tick.samples[0].faulty for tick in ticks]


def test_plant_fault_of_one_asset_spares_the_others() -> None:
    """asset=NAME keeps a fault to one machine."""
    plant = Plant(
        ["a", "b"], seed=1, period_s=1.0, start_ns=START_NS, faults=[parse_fault("drop_out@0:asset=b")]
    )

    (tick,) = plant.ticks(1)

    assert [False, True] == [sample.values["vibration"] is None for sample in tick.samples]


def test_plant_started_in_the_afternoon_is_warmer() -> None:
    """The time of day of the start is where the daily course begins."""
    night = Plant(["a"], seed=1, period_s=1.0, start_ns=parse_time("2026-01-05T03:00:00Z"))
    afternoon = Plant(["a"], seed=1, period_s=1.0, start_ns=parse_time("2026-01-05T15:00:00Z"))

    cold, warm = (
        next(plant.ticks(1)).samples[0].values["bearing_temperature"] for plant in (night, afternoon)
    )

    assert cold is not None
    assert warm is not None
    assert warm > cold + 5


# --------------------------------------------------------------------------------------------------- history


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_history_csv_has_time_and_channels(tmp_path: Path) -> None:
    """One pump: the time and its channels, nothing else; the same command writes the same bytes."""
    out, again = tmp_path / "a.csv", tmp_path / "b.csv"

    for path in (out, again):
        result = CliRunner().invoke(simulate, ["--history", "5", "--rate", "0.1", "--out", str(path)])
        assert result.exit_code == 0, result.output

    rows = rows_of(out)
    assert ["time", *CHANNELS] == list(rows[0])
    assert "2026-01-05T00:00:40.000Z" == rows[4]["time"]
    assert out.read_bytes() == again.read_bytes()
    assert {"a.csv", "b.csv"} == {path.name for path in tmp_path.iterdir()}


def test_history_of_several_assets_has_asset_column_and_labels(tmp_path: Path) -> None:
    """Several pumps: a column for the asset; --labels adds one for the truth; no value is an empty cell."""
    out = tmp_path / "a.csv"
    arguments = [
        "--history",
        "3",
        "--asset",
        "p",
        "--asset",
        "q",
        "--labels",
        "--fault",
        "drop_out@2s:asset=q",
    ]

    result = CliRunner().invoke(simulate, [*arguments, "--out", str(out)])

    rows = rows_of(out)
    assert result.exit_code == 0, result.output
    assert ["time", "asset", *CHANNELS, "anomaly"] == list(rows[0])
    assert ["p", "q"] * 3 == [row["asset"] for row in rows]
    assert ["0"] * 5 + ["1"] == [row["anomaly"] for row in rows]
    assert "" == rows[5]["vibration"]


def test_history_parquet_equals_csv(tmp_path: Path) -> None:
    """Both forms carry the same readings; Parquet has real timestamps."""
    polars = pytest.importorskip("polars", reason="pip install 'edge-lstm[history]'")
    for name in ("a.csv", "a.parquet"):
        arguments = ["--history", "20", "--fault", "drop_out@0:for=3s", "--out", str(tmp_path / name)]
        assert CliRunner().invoke(simulate, arguments).exit_code == 0

    frame = polars.read_parquet(tmp_path / "a.parquet")
    text = polars.read_csv(tmp_path / "a.csv", try_parse_dates=True)

    assert polars.Datetime("ms", "UTC") == frame.schema["time"]
    assert frame.select(CHANNELS).equals(text.select(CHANNELS))
    assert frame["time"].dt.epoch("ms").to_list() == text["time"].dt.epoch("ms").to_list()


def test_history_parquet_without_polars_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the extra, before any work is done."""
    monkeypatch.setitem(sys.modules, "polars", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'edge-lstm\[history\]', or write \.csv"):
        check_recording(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "message"), [("a.xlsx", "expected .csv or .parquet"), ("no/a.csv", "no such folder")]
)
def test_history_into_impossible_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Wrong ending, missing folder: said before the work."""
    with pytest.raises(HistoryError, match=message):
        check_recording(tmp_path / name)


def test_history_that_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    """A file is complete or not there."""

    def rows() -> Iterator[tuple[object, ...]]:
        yield (START_NS, 1.0)
        raise OSError("disk full")

    with pytest.raises(HistoryError, match="disk full"):
        write_recording(tmp_path / "a.csv", ["time", "x"], rows())

    assert [] == list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------- cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--history", "5"], "--history and --out belong together"),
        (["--out", "a.csv"], "--history and --out belong together"),
        (["--labels"], "--labels needs --history"),
        (["--count", "1", "--duration", "1s"], "give one"),
        (["--duration", "0s"], "--duration of nothing"),
        (["--duration", "soon"], "not a time span"),
        (["--history", "5", "--out", "a.csv", "--count", "1"], "already says how many"),
        (["--assets", "2", "--asset", "p"], "use one of them"),
        (["--assets", "2", "--topic", "plant/readings"], "several pumps need {asset}"),
        (["--topic", "plant/{pump}"], "'{pump}' is not {asset} or {channel}"),
        (["--topic", "plant/{asset"], "'{asset' is not {asset} or {channel}"),
        (["--topic", "plant/#"], "is for subscribing"),
        (["--asset", "a/b"], "not a name for a pump"),
        (["--fault", "bearing_weer@1s"], "did you mean bearing_wear?"),
        (["--fault", "drift@1s:asset=q"], "--fault for 'q', but the pumps are pump-1"),
        (["--start", "yesterday"], "Invalid value for '--start'"),
        (["--start", "9999-01-01T00:00:00Z"], "Invalid value for '--start'"),
        (["--start", "2261-01-01T00:00:00Z"], "expected 1970 to 2199"),
        (["--rate", "nan"], "nan is not a rate"),
        (["--rate", "1e-300"], "1e-300 is not a rate"),
        (["--host", ""], "Invalid value for '--host': it is empty"),
        (["--rate", "1e-6", "--history", "9999999", "--out", "a.csv"], "ends after the year 2199"),
    ],
)
def test_simulate_with_wrong_usage_says_so(arguments: list[str], message: str) -> None:
    """Wrong usage is exit code 2 and one sentence."""
    result = CliRunner().invoke(simulate, arguments)

    assert 2 == result.exit_code
    assert message in " ".join(result.output.split())
