"""The boards that are emulated, and what is installed on each."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BOARDS", "CPUINFO", "ROOTS", "Board", "System"]


class System(NamedTuple):
    """A Debian whose packages are unpacked into a folder, which the emulator takes for ``/``.

    Attributes:
        release: Debian's name for it; Raspberry Pi OS has the same names.
        architecture: Debian's name for the architecture.
        emulator: Program of Debian's qemu-user-static.
        python: Version of its Python.
        packages: What is unpacked, with all that it depends on.
    """

    release: str
    architecture: str
    emulator: str
    python: str
    packages: tuple[str, ...]


_PI_OS = ("libstdc++6", "python3-venv")  # python3-venv: pip, as a wheel
_DEBIAN_NUMPY = ("python3-numpy", "python3-yaml", "libpython3-dev")
"""There are no wheels for ARMv7 on PyPI: NumPy and PyYAML come from Debian, msgspec is compiled."""

ROOTS = {
    "bookworm-arm64": System("bookworm", "arm64", "qemu-aarch64-static", "3.11", _PI_OS),
    "trixie-arm64": System("trixie", "arm64", "qemu-aarch64-static", "3.13", _PI_OS),
    "bookworm-armhf": System("bookworm", "armhf", "qemu-arm-static", "3.11", (*_PI_OS, *_DEBIAN_NUMPY)),
    "trixie-armhf": System("trixie", "armhf", "qemu-arm-static", "3.13", (*_PI_OS, *_DEBIAN_NUMPY)),
}

CPUINFO = {
    "cortex-a53": ("0xd03", "fp asimd evtstrm crc32 cpuid"),
    "cortex-a72": ("0xd08", "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": (
        "0xd0b",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    ),
    "cortex-a7": (
        "0xc07",
        "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm",
    ),
}
"""Part number and features of /proc/cpuinfo, as Linux prints them for Raspberry Pi 3, 4, 5 and 2.

LiteRT 2.2 and later reads that file when an interpreter is made, and dies of SIGSEGV where it is that
of an x86 host, which is what qemu-user shows unless the root has a file of its own.
"""


class Board(NamedTuple):
    """A board with an installation of edge-lstm.

    Attributes:
        title: For people.
        root: A key of `ROOTS`.
        cpu: The emulator's name of the processor; a key of `CPUINFO`.
        packages: Requirements beside edge-lstm; none takes what its dependency ranges choose.
        interpreter: False for an installation without a TFLite interpreter.
        polars: Whether ``edge-lstm replay`` can run; there is no polars for ARMv7.
    """

    title: str
    root: str
    cpu: str
    packages: tuple[str, ...] = ()
    interpreter: bool = True
    polars: bool = False


_TFLITE = ("tflite-runtime==2.14.0", "numpy<2")

BOARDS = {
    "pi3": Board("Raspberry Pi 3, 64-bit, bookworm", "bookworm-arm64", "cortex-a53"),
    "pi4": Board("Raspberry Pi 4, 64-bit, bookworm", "bookworm-arm64", "cortex-a72", polars=True),
    "pi5": Board("Raspberry Pi 5, 64-bit, trixie", "trixie-arm64", "cortex-a76", polars=True),
    "pi4-tflite": Board(
        "Raspberry Pi 4, 64-bit, tflite-runtime",
        "bookworm-arm64",
        "cortex-a72",
        (*_TFLITE, "polars>=1.30,<3"),
        polars=True,
    ),
    "pi4-reference": Board(
        "Raspberry Pi 4, 64-bit, no interpreter", "bookworm-arm64", "cortex-a72", (), False
    ),
    "pi2": Board("Raspberry Pi 2, 32-bit, bookworm", "bookworm-armhf", "cortex-a7"),
    "pi2-reference": Board("Raspberry Pi 2, 32-bit, trixie", "trixie-armhf", "cortex-a7", (), False),
}
