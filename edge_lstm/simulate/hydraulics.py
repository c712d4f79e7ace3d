"""Hydraulics and motor of the simulated pump: pure functions of speed and system.

A frequency converter drives the pump; the duty point is where the pump's curve (affinity laws:
flow ~ n, head ~ n^2, power ~ n^3) meets the system's curve (static head plus losses ~ flow^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "NOMINAL_FLOW",
    "NOMINAL_RPM",
    "SYSTEM_LOSS",
    "WEIGHT",
    "Duty",
    "duty_point",
    "motor_current",
    "vapour",
]

NOMINAL_RPM = 2900.0
NOMINAL_FLOW = 60.0  # m3/h, at the best efficiency point
SHUT_OFF_HEAD = 50.0  # m, at nominal speed and no flow
NOMINAL_HEAD = 36.0  # m, at the best efficiency point
STATIC_HEAD = 8.0  # m
PUMP_LOSS = (SHUT_OFF_HEAD - NOMINAL_HEAD) / NOMINAL_FLOW**2  # m per (m3/h)^2
SYSTEM_LOSS = (NOMINAL_HEAD - STATIC_HEAD) / NOMINAL_FLOW**2  # m per (m3/h)^2
EFFICIENCY = 0.75  # at the best efficiency point
WEIGHT = 9810.0  # N/m3, water


@dataclass(frozen=True, slots=True)
class Duty:
    """Where pump and system meet.

    Attributes:
        flow: Volume flow, m3/h.
        head: Head across the pump, m.
        power: Shaft power, W.
        load: Flow over the flow of best efficiency at this speed.
    """

    flow: float
    head: float
    power: float
    load: float


def duty_point(
    ratio: float,
    *,
    static_head: float = STATIC_HEAD,
    system_loss: float = SYSTEM_LOSS,
    flow_scale: float = 1.0,
) -> Duty:
    """Meet the pump's curve with the system's curve.

    The pump's head is ``ratio^2 * shut-off head - loss * flow^2``; its efficiency is a parabola
    in the load, highest at load 1, so that shaft power stays finite at no flow.

    Args:
        ratio: Speed over nominal speed, above 0.
        static_head: Head of the system at no flow, m.
        system_loss: Losses of the system, m per (m3/h)^2.
        flow_scale: Flow of this pump over the nominal pump's at the same head.
    """
    pump_loss = PUMP_LOSS / flow_scale**2
    drive = max(0.0, ratio**2 * SHUT_OFF_HEAD - static_head)
    flow = math.sqrt(drive / (pump_loss + system_loss))
    head = ratio**2 * SHUT_OFF_HEAD - pump_loss * flow**2
    best = ratio * NOMINAL_FLOW * flow_scale
    load = flow / best
    power = WEIGHT * head * (best / 3600.0) / (EFFICIENCY * max(2.0 - load, 0.2))
    return Duty(flow=flow, head=head, power=power, load=load)


def vapour(ratio: float, duty: Duty, *, suction_loss: float) -> float:
    """How much the pump cavitates: 0 with more than 1 m of NPSH margin, 1 when 2 m are missing."""
    available = 10.0 + 1.0 - 0.24 - 2.5 * (duty.flow / NOMINAL_FLOW) ** 2 - suction_loss  # m
    required = ratio**2 * (1.5 + 2.0 * duty.load**2)  # m, affinity law
    return max(0.0, 1.0 - (available - required)) / 3.0


def motor_current(power: float, ratio: float) -> float:
    """Current of a 400 V motor behind a converter with constant voltage per hertz, A."""
    active = power / (math.sqrt(3.0) * 400.0 * ratio * 0.88)
    magnetising = 6.0
    return math.hypot(active, magnetising)
