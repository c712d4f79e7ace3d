"""Faults of the simulated pump: what each one looks like, and how to ask for one.

Grammar of one fault::

    NAME@START[:for=TIME][:strength=NUMBER][:grow=TIME][:channel=CHANNEL][:asset=ASSET]

``START`` and the other times are simulated time (``90``, ``90s``, ``5m``, ``2h``, ``1d``).
A fault grows linearly from nothing to ``strength`` within ``grow`` and ends after ``for``.
Growth is far faster than in the field, where a bearing wears for weeks: the order and
proportion of the symptoms are meant to be right, their pace is meant for a demonstration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from edge_lstm.errors import ConfigError

__all__ = ["CHANNELS", "FAULTS", "Fault", "FaultKind", "parse_duration_s", "parse_fault"]

CHANNELS = ("speed", "flow", "pressure", "vibration", "bearing_temperature", "motor_current")


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way in which the pump or a sensor goes wrong.

    Attributes:
        name: Name on the command line.
        signature: What it does to the channels, and why.
        contributors: Channels of which any one is a right first contributor of an alert.
            Empty for sensor faults: there it is the channel of the fault.
        grow_s: Time from nothing to full strength unless said otherwise, seconds.
        channel: The sensor unless said otherwise; ``None`` when it is the machine that fails.
    """

    name: str
    signature: str
    contributors: tuple[str, ...] = ()
    grow_s: float = 0.0
    channel: str | None = None


FAULTS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(
            "bearing_wear",
            "rolling-element damage: vibration rises and roughens at once, the bearing's temperature "
            "follows friction heat with a lag of minutes, motor current rises a little",
            contributors=("vibration", "bearing_temperature"),
            grow_s=600.0,
        ),
        FaultKind(
            "cavitation",
            "suction pressure is lost (clogged strainer): below the NPSH margin vapour bubbles "
            "make vibration loud and ragged, and head, so pressure and flow, drops and fluctuates; worst at "
            "high speed",
            contributors=("vibration", "flow", "pressure"),
            grow_s=30.0,
        ),
        FaultKind(
            "blocked_valve",
            "a discharge valve closes: the system curve steepens, the pump walks up its own curve: "
            "flow down, pressure up, current down, at the same speed",
            contributors=("flow", "pressure", "motor_current"),
            grow_s=60.0,
        ),
        FaultKind("stuck_sensor", "one channel repeats its last value", channel="flow"),
        FaultKind("drop_out", "one channel has no value (null)", channel="vibration"),
        FaultKind(
            "drift",
            "one channel goes off slowly, by 15 % of its nominal value at strength 1",
            grow_s=600.0,
            channel="pressure",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that will happen.

    Attributes:
        kind: What goes wrong.
        start_s: Simulated time since the start at which it begins, seconds.
        strength: Level it grows to; 1 is plain to see for a person.
        grow_s: Time from nothing to ``strength``, seconds.
        duration_s: Time after which it is gone, seconds.
        channel: The sensor, ``None`` when it is the machine that fails.
        asset: The only machine it happens to, ``None`` for all.
    """

    kind: FaultKind
    start_s: float
    strength: float = 1.0
    grow_s: float = 0.0
    duration_s: float = math.inf
    channel: str | None = None
    asset: str | None = None

    @property
    def contributors(self) -> tuple[str, ...]:
        """Channels of which any one is a right first contributor of an alert."""
        return self.kind.contributors or tuple(name for name in (self.channel,) if name)

    def concerns(self, asset: str) -> bool:
        """Whether it happens to this machine."""
        return self.asset is None or self.asset == asset

    def level(self, elapsed_s: float) -> float:
        """How strong it is at a simulated time, 0 when it is not there."""
        age_s = elapsed_s - self.start_s
        if age_s < 0 or age_s >= self.duration_s:
            return 0.0
        return self.strength * (min(1.0, age_s / self.grow_s) if self.grow_s > 0 else 1.0)

    def active(self, elapsed_s: float) -> bool:
        """Whether it has begun and has not ended."""
        return 0 <= elapsed_s - self.start_s < self.duration_s


def parse_fault(text: str) -> Fault:
    """Read one fault, ``bearing_wear@120s:strength=2`` for example.

    Raises:
        ConfigError: Not the grammar of this module; names the part and the nearest right name.
    """
    head, *options = text.split(":")
    name, at, start = head.partition("@")
    kind = FAULTS[_known(text, name, "fault", tuple(FAULTS))]
    if not at:
        raise _wrong(
            text, "no start time", expected=f"{name}@TIME", got=head, do="write @120s for after two minutes"
        )
    fault = Fault(kind, _time_s(text, "start", start), grow_s=kind.grow_s, channel=kind.channel)
    seen: set[str] = set()
    for option in options:
        key, equals, value = option.partition("=")
        _known(text, key, "option", tuple(_OPTIONS))
        if not equals or not value:
            raise _wrong(text, f"no value for {key}", expected=f"{key}=VALUE", got=option)
        if key in seen:
            raise _wrong(text, f"{key} is given twice")
        seen.add(key)
        fault = _OPTIONS[key](text, value, fault)
    return fault


def _wrong(
    text: str, what: str, *, expected: str | None = None, got: str | None = None, do: str | None = None
) -> ConfigError:
    """An error that stands behind the fault as it was written."""
    return ConfigError(
        what, key=f"fault {text!r}", expected=expected, got=repr(got) if got is not None else None, do=do
    )


def _known(text: str, name: str, what: str, names: Sequence[str]) -> str:
    """The name itself when it is one of the names.

    Raises:
        ConfigError: It is not; the nearest name is suggested.
    """
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else None
    raise _wrong(text, f"unknown {what}", expected=f"one of {', '.join(names)}", got=name, do=hint)


_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration_s(text: str) -> float:
    """A time span as seconds: ``90``, ``90s``, ``5m``, ``1.5h``, ``1d``.

    Raises:
        ValueError: Not a number with an optional unit.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h|d)?", text)
    if found is None:
        raise ValueError(f"{text!r} is not a time span, such as 90s, 5m or 2h")
    return float(found[1]) * _UNITS_S[found[2] or ""]


def _time_s(text: str, key: str, value: str) -> float:
    """A time span inside a fault, seconds."""
    try:
        return parse_duration_s(value)
    except ValueError:
        what = f"{key} is not a time span"
        raise _wrong(text, what, expected="a number with s, m, h or d, like 90s", got=value) from None


def _strength(text: str, value: str, fault: Fault) -> Fault:
    """The fault with another strength."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number != 0):
        raise _wrong(text, "strength is not a number", expected="a number other than 0, like 2", got=value)
    if number < 0 and fault.kind.name != "drift":
        raise _wrong(
            text,
            "strength is negative",
            expected="a number above 0",
            got=value,
            do="only drift has a direction",
        )
    return replace(fault, strength=number)


def _for(text: str, value: str, fault: Fault) -> Fault:
    """The fault with an end."""
    duration_s = _time_s(text, "for", value)
    if duration_s == 0:
        raise _wrong(text, "the fault would end as it begins", expected="for=TIME above 0", got=value)
    return replace(fault, duration_s=duration_s)


def _channel(text: str, value: str, fault: Fault) -> Fault:
    """The fault at another sensor."""
    if fault.kind.channel is None:
        sensors = [name for name, kind in FAULTS.items() if kind.channel]
        raise _wrong(
            text,
            f"{fault.kind.name} is a fault of the machine and has no channel",
            do=f"leave channel= out, or use {', '.join(sensors)}",
        )
    return replace(fault, channel=_known(text, value, "channel", CHANNELS))


_OPTIONS: dict[str, Callable[[str, str, Fault], Fault]] = {
    "channel": _channel,
    "strength": _strength,
    "for": _for,
    "grow": lambda text, value, fault: replace(fault, grow_s=_time_s(text, "grow", value)),
    "asset": lambda _text, value, fault: replace(fault, asset=value),
}
