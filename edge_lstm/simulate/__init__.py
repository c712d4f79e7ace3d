"""A simulated plant: pumps with faults to inject, for demos, tests and trying alerts without hardware."""

from __future__ import annotations

from edge_lstm.simulate.faults import CHANNELS, FAULTS, Fault, FaultKind, parse_duration_s, parse_fault
from edge_lstm.simulate.plant import Plant, Sample, Tick
from edge_lstm.simulate.pump import SENSORS, Pump, Sensor

__all__ = [
    "CHANNELS",
    "FAULTS",
    "SENSORS",
    "Fault",
    "FaultKind",
    "Plant",
    "Pump",
    "Sample",
    "Sensor",
    "Tick",
    "parse_duration_s",
    "parse_fault",
]
