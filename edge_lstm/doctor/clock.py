"""The clock: readings without a time of their own get this one, and certificates are judged by it."""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edge_lstm.doctor.finding import Finding, fail, info, ok, warn
from edge_lstm.doctor.read import below

__all__ = ["clock", "kernel_synchronized", "rtc"]

_EARLIEST, _LATEST = 2025, 2100
_UNSYNC = 0x0040
"""STA_UNSYNC of <sys/timex.h>: nothing disciplines the kernel's clock (adjtimex(2))."""

_NTP = "switch time synchronization on: timedatectl set-ntp true (or install chrony)"


class _Timex(ctypes.Structure):
    """The beginning of ``struct timex`` (adjtimex(2)); the rest is room for what follows."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def kernel_synchronized() -> bool | None:
    """Whether the kernel's clock is disciplined by NTP; ``None`` when it cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, TypeError, AttributeError):  # not Linux
        return None
    asked = _Timex(modes=0)
    if adjtimex(ctypes.byref(asked)) < 0:
        return None
    return not asked.status & _UNSYNC


def clock(
    root: Path, *, now: float | None = None, synchronized: Callable[[], bool | None] = kernel_synchronized
) -> Finding:
    """Year and synchronization.

    Args:
        root: Where the board's files are.
        now: Seconds since 1970-01-01 UTC; ``None`` is asked for.
        synchronized: Asks the kernel.
    """
    moment = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    fact = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    if not _EARLIEST <= moment.year < _LATEST:
        return fail("clock", f"{fact}: cannot be right", _NTP)
    steered = below(root, "run/systemd/timesync/synchronized").exists() or synchronized()
    if steered is None:
        return info("clock", f"{fact}; whether it is synchronized cannot be asked here")
    if not steered:
        return warn("clock", f"{fact}, not synchronized", _NTP)
    return ok("clock", f"{fact}, synchronized")


def rtc(root: Path) -> Finding:
    """Whether a clock runs on while the power is off."""
    if any(below(root, "sys/class/rtc").glob("rtc*")):
        return ok("rtc", "there is a real-time clock (a Raspberry Pi 5 needs a battery at it)")
    return info(
        "rtc",
        "no real-time clock: after a power cut the time is wrong until the network sets it",
        "give readings a time of their own (time_field), or start the service after time-sync.target",
    )
