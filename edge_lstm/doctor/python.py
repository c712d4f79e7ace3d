"""Python, the C library and the processor: which packages can be installed here at all."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_lstm import __version__
from edge_lstm.doctor.finding import Finding, fail, info, ok, warn
from edge_lstm.doctor.read import below, read_text

__all__ = ["cpu", "interpreter", "libc", "packages"]

_FIRST, _LAST = (3, 11), (3, 13)
_GLIBC = (2, 27)
_TOLD = (
    *("neon", "asimd", "asimddp", "fphp", "asimdhp", "vfpv4", "i8mm", "sve", "sme"),  # ARM, "Features"
    *("sse4_2", "avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8"),  # x86, "flags"
)
_64_BIT_OS = "install the 64-bit system (Raspberry Pi 3 and later)"


def interpreter(machine: str = "", *, wide: bool = sys.maxsize > 2**32) -> Finding:
    """Version and width of Python.

    Args:
        machine: What the kernel calls this machine; empty is asked for.
        wide: Whether Python is a 64-bit program.
    """
    machine = machine or platform.machine()
    said = f"{platform.python_implementation()} {platform.python_version()}"
    fact = f"{said}, {64 if wide else 32}-bit, on {machine}"
    if not _FIRST <= sys.version_info[:2] <= _LAST:
        return warn("python", fact, "edge-lstm is tested on Python 3.11 to 3.13: use one of these")
    if machine == "aarch64" and not wide:
        return warn(
            "python",
            f"{fact}: a 32-bit system on a 64-bit kernel, where pip looks for packages that do not exist",
            f"{_64_BIT_OS}, or install the reference kernel (docs/howto-raspberry-pi.md)",
        )
    return ok("python", fact)


def packages() -> Finding:
    """Versions of ourselves and of what we stand on."""
    said = [f"edge-lstm {__version__}"]
    for name in ("numpy", "msgspec", "paho-mqtt", "PyYAML", "click", "flatbuffers"):
        try:
            said.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return fail("packages", f"{name} is not installed", f"pip install {name}")
    return ok("packages", ", ".join(said))


def libc(root: Path, said: str | None = None) -> Finding:
    """The C library, which decides which wheels fit.

    Args:
        root: Where the board's files are.
        said: What the C library says of itself (``glibc 2.36``); ``None`` is asked for.
    """
    said = _confstr() if said is None else said
    name, _, number = said.partition(" ")
    if name == "glibc":
        parts = tuple(int(part) for part in number.split(".")[:2] if part.isdecimal())
        if parts < _GLIBC:
            fix = "use a newer system (Debian 10 or later), or the reference kernel"
            return warn("libc", f"{said}: wheels of LiteRT need 2.27 or later", fix)
        return ok("libc", said)
    if any(below(root, "lib").glob("ld-musl-*")):
        fix = "the reference kernel runs; for LiteRT use a system with glibc (Debian, Raspberry Pi OS)"
        return info("libc", "musl: there are no wheels of LiteRT for it", fix)
    return info("libc", said or platform.system(), "")


def _confstr() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):  # musl and macOS do not know it, Windows has no confstr
        return ""


def cpu(root: Path, machine: str = "") -> Finding:
    """Cores, and the instructions that int8 kernels use.

    Args:
        root: Where the board's files are.
        machine: What the kernel calls this machine; empty is asked for.
    """
    machine = machine or platform.machine()
    lines = (read_text(below(root, "proc/cpuinfo")) or "").splitlines()
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    flags = (facts.get("Features") or facts.get("flags") or "").split()
    cores = sum(line.startswith("processor") for line in lines)
    name = facts.get("model name") or facts.get("Model") or ""
    told = [flag for flag in _TOLD if flag in flags]
    fact = f"{machine}, {cores or os.cpu_count()} core(s)"
    fact += f", {name}" if name else ""
    fact += f", {' '.join(told)}" if told else ""
    if machine.startswith("armv6"):
        fix = f"the reference kernel runs, slowly; {_64_BIT_OS} on a newer board for LiteRT"
        return warn("cpu", f"{fact}: there is no TFLite interpreter for ARMv6", fix)
    if machine.startswith(("armv7", "armv8l")) and flags and not {"neon", "asimd"} & set(flags):
        return warn("cpu", f"{fact}: no NEON, which tflite-runtime needs", "use the reference kernel")
    return ok("cpu", fact)
