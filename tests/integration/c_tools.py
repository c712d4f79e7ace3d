"""Compiles exports and runs them: on the host, as aarch64, and on a Cortex-M of QEMU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.bundle import Bundle
from firmware_tools.c_export import export
from firmware_tools.c_folder import write_folder
from tests.conftest import need

__all__ = ["SOURCES", "Target", "compiled", "drive", "exported", "need_programs", "run"]

SOURCES = Path(__file__).parent / "c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-ffp-contract=off")

_PACKAGE = {
    "gcc": "gcc libc6-dev",
    "clang": "clang",
    "cmake": "cmake",
    "g++": "g++",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "qemu-aarch64-static": "qemu-user-static",
}


def need_programs(*names: str) -> None:
    """Skip loudly, or fail in CI, when one is not installed."""
    for name in names:
        need(name, shutil.which(name), f"apt install {_PACKAGE[name]}")


def exported(bundle: Bundle, out: Path, **options: Any) -> Path:  # noqa: ANN401 - of `export`
    """The folder of an export."""
    write_folder(out, export(bundle, **options).files, bundle=bundle.sha256)
    return out


def run(*command: str | Path, stdin: bytes = b"", code: int = 0) -> bytes:
    """Run a program to its end; its standard output. Any other exit code fails, with what it said."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=250)
    told = (done.stdout[-2000:] + done.stderr[-4000:]).decode(errors="replace")
    assert done.returncode == code, f"{command}\n{told}"
    return done.stdout


def compiled(compiler: str, folder: Path, out: Path, *options: str | Path, main: Path) -> Path:
    """The export with a main program; no warning passes."""
    need_programs(compiler)
    source = next(folder.glob("*_model.c"))
    run(compiler, *STRICT, f"-I{folder}", source, main, "-o", out, *options)
    return out


@dataclass(frozen=True)
class Target:
    """What an export said to readings.

    Attributes:
        rows: One record a reading.
    """

    rows: NDArray[Any]

    def __getattr__(self, name: str) -> NDArray[Any]:
        return np.asarray(self.rows[name])


def drive(bundle: Bundle, command: Sequence[str | Path], values: NDArray[np.float64]) -> Target:
    """Hand readings to a program made from ``harness.c``.

    Args:
        bundle: What was exported.
        command: The program.
        values: (steps, channels); a row of 1e300 is a silence.
    """
    manifest = bundle.manifest
    width = len(manifest.channels)
    outputs = {tensor.name for tensor in manifest.outputs}
    said = width * sum(head.output in outputs for head in manifest.scoring.heads)
    after = {state.input for state in manifest.states}
    state = sum(tensor.shape[-1] for tensor in manifest.inputs if tensor.name in after)
    record = np.dtype(
        [
            ("status", "u1"),
            ("transition", "u1"),
            ("score", "<f8"),
            ("shares", "<f8", (width,)),
            ("expected", "<f8", (width,)),
            ("masked", "u1", (width,)),
            ("missing", "u1", (width,)),
            ("state", "i1", (state,)),
            ("network", "i1", (state,)),
            ("said", "i1", (said,)),
        ]
    )
    answer = run(*command, stdin=np.ascontiguousarray(values, "<f8").tobytes())
    return Target(np.frombuffer(answer, record))
