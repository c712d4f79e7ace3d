"""Whether an Edge TPU can be seen, and what stands between it and us.

A USB Accelerator has two identities: 1a6e:089a until libedgetpu has loaded its firmware,
18d1:9302 from then on. A board that shows it by the first has never used it since it was plugged in.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from edge_lstm.doctor.finding import Finding, info, ok, warn
from edge_lstm.doctor.isolate import Died, isolated
from edge_lstm.doctor.read import below, read_number, read_text

__all__ = ["edge_tpu"]

_BEFORE, _AFTER = ("1a6e", "089a"), ("18d1", "9302")
_LIBRARY = "libedgetpu.so.1"
_FOLDERS = ("lib", "lib/*-linux-gnu*", "usr/lib", "usr/lib/*-linux-gnu*", "usr/local/lib")
_USB3_MBIT = 5000
_PEAK_MA = 900
_LOAD_S = 20.0
_RULE = (
    'add a udev rule that gives the plugdev group SUBSYSTEM=="usb" devices 1a6e:089a and 18d1:9302, '
    "and the daemon's user to that group"
)


def edge_tpu(root: Path) -> list[Finding]:
    """Devices, their permissions, their supply, and the driver library.

    Args:
        root: Where the board's files are; the library is loaded for a try only from ``/``.
    """
    found = [*_usb(root), *_pcie(root)]
    if not found:
        fix = "to use one, plug it in (lsusb shows 1a6e:089a or 18d1:9302); without one the CPU does the work"
        return [info("edge-tpu", "none on USB or PCIe", fix)]
    return [*found, _library(root)]


def _usb(root: Path) -> Iterator[Finding]:
    for folder in sorted(below(root, "sys/bus/usb/devices").glob("*")):
        ids = (read_text(folder / "idVendor"), read_text(folder / "idProduct"))
        if ids in {_BEFORE, _AFTER}:
            yield _identity(folder, booted=ids == _AFTER)
            yield from _access(root, folder)
            yield _speed(folder)
            yield from _supply(root, folder)


def _identity(folder: Path, *, booted: bool) -> Finding:
    if booted:
        return ok("edge-tpu", f"USB device {folder.name} as 18d1:9302: firmware loaded")
    fix = "nothing yet: the first program that uses it loads the firmware, and it comes back as 18d1:9302"
    return info("edge-tpu", f"USB device {folder.name} as 1a6e:089a: firmware not loaded yet", fix)


def _access(root: Path, folder: Path) -> Iterator[Finding]:
    """Whether this user may talk to the device."""
    bus, number = read_number(folder / "busnum"), read_number(folder / "devnum")
    if bus is None or number is None:
        return
    node = below(root, f"dev/bus/usb/{bus:03d}/{number:03d}")
    if not node.exists():
        fix = "in a container, pass /dev/bus/usb through: its number changes when the firmware is loaded"
        yield warn("edge-tpu-access", f"/dev/bus/usb/{bus:03d}/{number:03d} is not there", fix)
    elif not os.access(node, os.W_OK):
        yield warn("edge-tpu-access", f"no right to write to {node}", _RULE)


def _speed(folder: Path) -> Finding:
    """A USB 2 port works, at the price of every transfer."""
    speed = read_number(folder / "speed")
    if speed is None:
        return info("edge-tpu-speed", "unknown: the system does not say at which speed it is connected")
    if speed < _USB3_MBIT:
        fix = "use a USB 3 port (blue) and its own cable; before the firmware is loaded this may look slower"
        return warn("edge-tpu-speed", f"{speed} Mbit/s: USB 2", fix)
    return ok("edge-tpu-speed", f"{speed} Mbit/s: USB 3")


def _supply(root: Path, folder: Path) -> Iterator[Finding]:
    """What the device asks for, and whether a Raspberry Pi 5 hands it out."""
    asked = read_text(folder / "bMaxPower")
    chosen = below(root, "proc/device-tree/chosen/power")
    limit = _big_endian(chosen / "max_current")
    enabled = _big_endian(chosen / "usb_max_current_enable")
    if limit is not None and limit < 5000 and not enabled:
        yield warn(
            "edge-tpu-power",
            f"asks for {asked or 'an unknown current'}, draws up to {_PEAK_MA} mA, and this supply "
            f"({limit} mA) limits all USB ports to 600 mA together",
            "use a 5 V 5 A supply or a powered hub (usb_max_current_enable=1 only with a supply that can)",
        )
    else:
        yield info(
            "edge-tpu-power",
            f"asks for {asked or 'an unknown current'}, draws up to {_PEAK_MA} mA for moments",
            "if it drops out under load: a powered hub, a shorter cable, libedgetpu1-std and not -max",
        )


def _big_endian(path: Path) -> int | None:
    """A cell of the device tree."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    return int.from_bytes(raw, "big") if len(raw) == 4 else None


def _pcie(root: Path) -> Iterator[Finding]:
    for node in sorted(below(root, "dev").glob("apex_*")):
        if os.access(node, os.W_OK):
            yield ok("edge-tpu", f"PCIe device /dev/{node.name}")
        else:
            fix = "add the daemon's user to the group of the device (apex)"
            yield warn("edge-tpu", f"PCIe device /dev/{node.name}: no right to write to it", fix)


def _library(root: Path) -> Finding:
    """The closed driver library that both kinds of device need."""
    seen = [path for folder in _FOLDERS for path in below(root, "/").glob(f"{folder}/{_LIBRARY}")]
    if not seen:
        fix = "install libedgetpu1-std from the vendor's package source (docs/howto-raspberry-pi.md)"
        return warn("edge-tpu-driver", f"{_LIBRARY} is not installed", fix)
    if root != Path("/"):
        return ok("edge-tpu-driver", f"{seen[0]}")
    fix = "install the libedgetpu built for this system's libusb and architecture"
    try:
        problem = isolated(_try_library, _LOAD_S)
    except Died as death:
        return warn("edge-tpu-driver", f"{seen[0]}: {death.why}", fix)
    return warn("edge-tpu-driver", f"{problem}", fix) if problem else ok("edge-tpu-driver", f"{seen[0]}")


def _try_library() -> str:
    """Empty, or why the library cannot be loaded."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError as error:
        return str(error)
    return ""
