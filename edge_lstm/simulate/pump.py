"""One centrifugal pump: six channels, a daily load, and faults on command.

It is simple and honest: everything follows from the duty point of
`edge_lstm.simulate.hydraulics`:

* motor current from shaft power at constant voltage per hertz, plus magnetising current;
* vibration from speed, distance to the best efficiency point and missing NPSH margin;
* bearing temperature from friction heat through a first-order lag, on top of the day's ambient;
* the load from set-points that change every few minutes around a daily course.

The pump never stops. It knows no clock: time is counted in periods from midnight (or
``start_s``), and the same seed gives the same readings. Random numbers do not depend on the
faults, so two pumps with one seed differ by the fault alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_lstm.simulate.faults import FAULTS, Fault
from edge_lstm.simulate.hydraulics import (
    NOMINAL_FLOW,
    NOMINAL_RPM,
    SYSTEM_LOSS,
    WEIGHT,
    Duty,
    duty_point,
    motor_current,
    vapour,
)

__all__ = ["SENSORS", "Pump", "Sensor"]

DAY_S = 86400.0
BEARING_LAG_S = 480.0
DRIVE_RAMP = 20.0 / NOMINAL_RPM  # of nominal speed per second
# Time constants of the AR(1) parts.
SWING_LAGS_S = {"demand": 1200.0, "turbulence": 8.0, "roughness": 20.0, "bubbles": 1.5}


@dataclass(frozen=True, slots=True)
class Sensor:
    """How one channel is measured.

    Attributes:
        name: The channel.
        unit: Its unit.
        nominal: A usual value, in the unit.
        noise: Standard deviation of the white measurement noise, in the unit.
        digits: Digits after the point that the transmitter sends.
    """

    name: str
    unit: str
    nominal: float
    noise: float
    digits: int


SENSORS = (
    Sensor("speed", "rpm", nominal=NOMINAL_RPM, noise=2.0, digits=1),
    Sensor("flow", "m3/h", nominal=NOMINAL_FLOW, noise=0.15, digits=2),
    Sensor("pressure", "bar", nominal=3.5, noise=0.01, digits=3),
    Sensor("vibration", "mm/s", nominal=1.5, noise=0.02, digits=3),
    Sensor("bearing_temperature", "degC", nominal=40.0, noise=0.1, digits=2),
    Sensor("motor_current", "A", nominal=14.0, noise=0.05, digits=2),
)


class Pump:
    """One simulated pump.

    Args:
        seed: The run: noise and set-points. The same seed gives the same readings.
        asset: The machine: pumps of different names differ by a few per cent, whatever the seed.
        period_s: Simulated time between readings, seconds.
        start_s: Time of day of the first reading, seconds after midnight.
        faults: What will go wrong; faults of other assets are ignored.
    """

    def __init__(
        self,
        seed: int,
        asset: str,
        period_s: float = 1.0,
        *,
        start_s: float = 0.0,
        faults: Sequence[Fault] = (),
    ) -> None:
        identity = zlib.crc32(asset.encode())
        traits = np.random.default_rng(identity).uniform(0.97, 1.03, 3)
        self._flow_scale, self._vibration_scale, self._friction_scale = (float(trait) for trait in traits)
        self._noise = np.random.default_rng((seed, identity, 0))
        self._orders = np.random.default_rng((seed, identity, 1))
        self.asset, self.period_s = asset, period_s
        self._start_s, self._faults = start_s, tuple(fault for fault in faults if fault.concerns(asset))
        self._count = 0
        self._ratio = self._target = self._new_target(start_s)
        self._next_order_s = self._orders.uniform(180.0, 900.0)
        self._swings = dict.fromkeys(SWING_LAGS_S, 0.0)
        self._bearing = self._bearing_target(0.0, wear=0.0)
        self._held: dict[Fault, float] = {}
        self._last: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        """Simulated time of the newest reading since the first one, seconds."""
        return max(0, self._count - 1) * self.period_s

    @property
    def faulty(self) -> bool:
        """Whether a fault was there in the newest reading."""
        return any(fault.active(self.elapsed_s) for fault in self._faults)

    def step(self) -> dict[str, float | None]:
        """Advance by one period and measure.

        Returns:
            Channel to value in the unit of `SENSORS`; ``None`` where a sensor has dropped out.
        """
        time_s = self._count * self.period_s
        self._count += 1
        normal = self._noise.standard_normal(len(self._swings) + len(SENSORS)).tolist()
        self._swing(normal)
        self._follow_orders(time_s)
        state = self._machine(time_s)
        measured = {
            sensor.name: round(value + sensor.noise * white, sensor.digits)
            for sensor, value, white in zip(SENSORS, state, normal[len(self._swings) :], strict=True)
        }
        return self._sensed(time_s, measured)

    def _level(self, name: str, time_s: float) -> float:
        """Summed strength of the machine's faults of one kind."""
        return sum(fault.level(time_s) for fault in self._faults if fault.kind is FAULTS[name])

    def _new_target(self, time_s: float) -> float:
        """A set-point, of nominal speed: the day's course (peak in the afternoon) and chance."""
        day = 0.79 + 0.06 * math.sin(2 * math.pi * (time_s / DAY_S - 0.375))
        return float(np.clip(day + self._orders.uniform(-0.14, 0.14), 0.58, 1.0))

    def _follow_orders(self, time_s: float) -> None:
        """Take new set-points when they are due, and ramp towards the one in force."""
        while time_s >= self._next_order_s:
            self._target = self._new_target(self._start_s + self._next_order_s)
            self._next_order_s += self._orders.uniform(180.0, 900.0)
        reach = DRIVE_RAMP * self.period_s
        self._ratio += float(np.clip(self._target - self._ratio, -reach, reach))

    def _swing(self, normal: list[float]) -> None:
        """Advance the slow random parts, AR(1) of unit variance with a time constant each."""
        for white, (name, lag_s) in zip(normal, SWING_LAGS_S.items(), strict=False):
            keep = math.exp(-self.period_s / lag_s)
            self._swings[name] = keep * self._swings[name] + math.sqrt(1 - keep**2) * white

    def _machine(self, time_s: float) -> tuple[float, ...]:
        """The true value of every channel, in the order and units of `SENSORS`."""
        wear, swings = self._level("bearing_wear", time_s), self._swings
        valves = 1.0 + 0.06 * swings["demand"] + 0.01 * swings["turbulence"]
        duty = duty_point(
            self._ratio,
            system_loss=SYSTEM_LOSS * max(valves, 0.5) * (1.0 + 2.0 * self._level("blocked_valve", time_s)),
            flow_scale=self._flow_scale,
        )
        bubbles = vapour(self._ratio, duty, suction_loss=8.0 * self._level("cavitation", time_s))
        lost = min(0.5, 0.08 * bubbles * abs(1.0 + 0.8 * swings["bubbles"]))  # of head, ragged
        power = duty.power * (1.0 - lost) * (1.0 + 0.02 * wear)
        return (
            self._ratio * NOMINAL_RPM,
            duty.flow * math.sqrt(1.0 - lost),
            duty.head * (1.0 - lost) * WEIGHT / 1e5,
            self._vibration(duty, wear=wear, bubbles=bubbles),
            self._warm(time_s, wear=wear),
            motor_current(power, self._ratio),
        )

    def _vibration(self, duty: Duty, *, wear: float, bubbles: float) -> float:
        """Velocity at the bearing, mm/s RMS; healthy it stays in zone A (good) of ISO 10816-7."""
        unbalance = 0.7 + 0.8 * self._ratio**2 + 0.5 * (duty.load - 1.0) ** 2
        rough = 0.04 * (1.0 + 2.0 * wear) * self._swings["roughness"]
        collapse = bubbles * (1.2 + 0.8 * abs(self._swings["bubbles"]))
        return max(0.05, self._vibration_scale * unbalance + rough + 2.0 * wear * self._ratio + collapse)

    def _bearing_target(self, time_s: float, *, wear: float) -> float:
        """Temperature the bearing would settle at: ambient plus friction heat, degC."""
        ambient = 18.0 + 4.0 * math.sin(2 * math.pi * ((self._start_s + time_s) / DAY_S - 0.375))
        return ambient + 22.0 * self._friction_scale * math.pow(self._ratio, 1.5) * (1.0 + 0.8 * wear)

    def _warm(self, time_s: float, *, wear: float) -> float:
        """Advance the bearing's temperature by its first-order lag, degC."""
        pull = -math.expm1(-self.period_s / BEARING_LAG_S)
        self._bearing += pull * (self._bearing_target(time_s, wear=wear) - self._bearing)
        return self._bearing

    def _sensed(self, time_s: float, measured: dict[str, float]) -> dict[str, float | None]:
        """What the sensors say of what was measured: faults of sensors come last."""
        said: dict[str, float | None] = dict(measured)
        for fault in self._faults:
            if fault.channel is None:
                continue
            if not fault.active(time_s):
                self._held.pop(fault, None)
                continue
            said[fault.channel] = self._falsified(fault, time_s, measured[fault.channel])
        self._last = measured
        return said

    def _falsified(self, fault: Fault, time_s: float, value: float) -> float | None:
        """One channel through one faulty sensor."""
        channel = str(fault.channel)
        if fault.kind.name == "drop_out":
            return None
        if fault.kind.name == "stuck_sensor":
            return self._held.setdefault(fault, self._last.get(channel, value))
        sensor = next(sensor for sensor in SENSORS if sensor.name == channel)
        return round(value + 0.15 * sensor.nominal * fault.level(time_s), sensor.digits)
