"""The board itself: model, memory, temperature and supply."""

from __future__ import annotations

from pathlib import Path

from edge_lstm.doctor.finding import Finding, fail, info, ok, warn
from edge_lstm.doctor.read import below, read_number, read_text

__all__ = ["MIB", "memory", "model", "power", "temperature"]

MIB = 2**20

_FEW_MIB, _TIGHT_MIB = 64, 160
"""Below the first the daemon does not start; below the second it has no room beside it."""

_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_NOW, _SINCE_BOOT = 0x1, 0x10000
"""Bits for under-voltage; Raspberry Pi documentation, `vcgencmd get_throttled`."""

_SUPPLY = "use the board's own power supply and a short cable; move USB devices to a powered hub"
_HOT_C = 80
"""At 80 degrees a Raspberry Pi begins to slow down (Raspberry Pi documentation, temperature limits)."""


def model(root: Path) -> Finding:
    """What the device tree or the firmware calls this board."""
    for path in (
        "proc/device-tree/model",
        "sys/firmware/devicetree/base/model",
        "sys/class/dmi/id/product_name",
    ):
        name = read_text(below(root, path))
        if name:
            return ok("board", name)
    return info("board", "unknown: no device tree and no DMI")


def memory(root: Path) -> Finding:
    """Memory of the board and of the control group we are in, MiB."""
    lines = (read_text(below(root, "proc/meminfo")) or "").splitlines()
    pairs = (line.split() for line in lines)
    kib = {parts[0].rstrip(":"): int(parts[1]) for parts in pairs if len(parts) > 1 and parts[1].isdecimal()}
    if "MemAvailable" not in kib or "MemTotal" not in kib:
        return info("memory", "unknown: no /proc/meminfo")
    free, total, limit = kib["MemAvailable"] // 1024, kib["MemTotal"] // 1024, _group_limit(root)
    fact = f"{free} MiB available of {total} MiB"
    if limit is not None:
        fact += f", limited to {limit // MIB} MiB by the control group"
        free = min(free, limit // MIB)
    fix = "stop other programs or raise the limit; the reference kernel needs least"
    if free < _FEW_MIB:
        return fail("memory", f"{fact}: too little to start", fix)
    if free < _TIGHT_MIB:
        return warn("memory", f"{fact}: tight", fix)
    return ok("memory", fact)


def _group_limit(root: Path) -> int | None:
    """Least limit of our control group and those above it, bytes; version 2, else version 1."""
    limits = []
    for line in (read_text(below(root, "proc/self/cgroup")) or "").splitlines():
        number, _, rest = line.partition(":")
        names, _, place = rest.partition(":")
        v1 = number != "0"
        if v1 and "memory" not in names.split(","):
            continue
        top = below(root, "sys/fs/cgroup/memory" if v1 else "sys/fs/cgroup")
        here = top / place.lstrip("/")
        for folder in (here, *here.parents):
            limit = read_number(folder / ("memory.limit_in_bytes" if v1 else "memory.max"))
            limits += [limit] if limit is not None else []
            if folder == top:
                break
    least = min(limits, default=None)
    return least if least is not None and least < 2**60 else None


def temperature(root: Path) -> Finding:
    """The hottest zone, degrees Celsius."""
    zones = below(root, "sys/class/thermal").glob("thermal_zone*/temp")
    found = [value for zone in sorted(zones) if (value := read_number(zone)) is not None]
    if not found:
        return info("temperature", "unknown: the system has no thermal zone")
    hottest = max(found) / 1000
    if hottest >= _HOT_C:
        fix = "give the board air or a heat sink: it slows down to cool itself"
        return warn("temperature", f"{hottest:.0f} °C", fix)
    return ok("temperature", f"{hottest:.0f} °C")


def power(root: Path) -> Finding:
    """Whether a Raspberry Pi has seen too low a supply voltage."""
    bits = read_number(below(root, _THROTTLED), 16)
    if bits is None:
        alarms = [
            read_number(folder / "in0_lcrit_alarm")
            for folder in sorted(below(root, "sys/class/hwmon").glob("hwmon*"))
            if read_text(folder / "name") == "rpi_volt"
        ]
        if not alarms:
            return info("power", "unknown: the system does not report its supply voltage")
        bits = _NOW if any(alarms) else 0
    if bits & _NOW:
        return fail("power", "under-voltage now: the board slows down and USB devices drop out", _SUPPLY)
    if bits & _SINCE_BOOT:
        return warn("power", "under-voltage since the last boot", _SUPPLY)
    return ok("power", "no under-voltage")
