"""The C export on other processors: aarch64 and Cortex-M under QEMU, with what it needs of flash and RAM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_lstm.bundle import Bundle
from firmware_tools.c_export import export
from tests.integration.c_models import make_bundle, readings
from tests.integration.c_tools import SOURCES, compiled, drive, exported, need_programs, run

pytestmark = [pytest.mark.compilers, pytest.mark.train]

FLASH = 16 * 1024
"""Most that code and tables may take beside the weights, bytes."""
RAM = 2 * 1024
"""Most that one stream may take, bytes."""


@dataclass(frozen=True)
class Core:
    """A Cortex-M: how to compile for it, and the board of QEMU that has it (none for M0+)."""

    options: tuple[str, ...]
    board: str = ""


CORES = {
    "cortex-m0": Core(("-mcpu=cortex-m0",), "microbit"),
    "cortex-m0plus": Core(("-mcpu=cortex-m0plus",)),
    "cortex-m3": Core(("-mcpu=cortex-m3",), "mps2-an385"),
    "cortex-m4": Core(("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), "mps2-an386"),
    "cortex-m7": Core(("-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"), "mps2-an500"),
}
FOOTPRINT = SOURCES / "footprint.c"
SMALL = ("-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "--specs=nosys.specs")
REALS = {"double": (), "float": ("-DEDGE_LSTM_REAL_FLOAT",)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default model for eight channels, as SKAB has them: 16 units, two heads, autoregression."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b.elb", memory=(0.05,), lags=(1, 2))


@pytest.fixture(scope="module")
def folder(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export."""
    return exported(bundle, tmp_path_factory.mktemp("c") / "out")


def cross(core: Core, folder: Path, out: Path, *options: str, main: Path) -> Path:
    """A whole program for a Cortex-M; no warning passes."""
    machine: tuple[str | Path, ...] = ("-mthumb", *core.options, "-nostartfiles", "-T", SOURCES / "boards.ld")
    return compiled("arm-none-eabi-gcc", folder, out, *machine, SOURCES / "startup.c", *options, main=main)


def emulate(core: Core, program: Path) -> bytes:
    """What a program says on a board of QEMU; its exit code must be 0."""
    need_programs("qemu-system-arm")
    quiet = ("-nographic", "-monitor", "none", "-serial", "none")
    hosted = ("-semihosting-config", "enable=on,target=native")
    return run("qemu-system-arm", "-M", core.board, *quiet, *hosted, "-kernel", program)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", [name for name, core in CORES.items() if core.board])
def test_golden_vectors_on_cortex_m(name: str, real: str, folder: Path, tmp_path: Path) -> None:
    """The self-test passes on the emulated board, bit for bit."""
    options = ("-Os", "-DSEMIHOSTING", "--specs=rdimon.specs", *REALS[real])
    program = cross(CORES[name], folder, tmp_path / "selftest.elf", *options, main=folder / "selftest.c")

    assert b"pass: 64 steps, 0 differences" in emulate(CORES[name], program)


@dataclass(frozen=True)
class Size:
    """Bytes of a program."""

    flash: int
    ram: int


def size(program: Path) -> Size:
    """What `arm-none-eabi-size` says."""
    text, data, bss = (int(n) for n in run("arm-none-eabi-size", program).split(b"\n")[1].split()[:3])
    return Size(text + data, data + bss)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", CORES)
def test_flash_and_ram(
    name: str,
    real: str,
    bundle: Bundle,
    folder: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Below 16 kB of flash beside the weights, the compiler's arithmetic included; below 2 kB a stream."""
    facts = export(bundle).facts
    weights = facts["WEIGHT_BYTES"] + facts[f"LINEAR_{real.upper()}"]
    state, result = facts[f"STATE_{real.upper()}"], facts[f"RESULT_{real.upper()}"]
    options = (*SMALL, *REALS[real])
    whole = size(cross(CORES[name], folder, tmp_path / "a.elf", *options, "-DUSE=1", main=FOOTPRINT))
    bare = size(cross(CORES[name], folder, tmp_path / "b.elf", *options, "-DUSE=0", main=FOOTPRINT))
    record_property("flash_beside_weights", whole.flash - bare.flash - weights)

    assert 0 < whole.flash - bare.flash - weights < FLASH
    assert state < RAM
    assert state + result == whole.ram - bare.ram


@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_aarch64(level: str, bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    """Golden vectors, and 10,000 steps as on this machine: the same integers, the same verdicts."""
    need_programs("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    arm = ("aarch64-linux-gnu-gcc", folder)
    golden = compiled(*arm, tmp_path / "selftest", level, "-static", main=folder / "selftest.c")
    there = compiled(*arm, tmp_path / "there", level, "-static", main=SOURCES / "harness.c")
    here = compiled("gcc", folder, tmp_path / "here", level, main=SOURCES / "harness.c")
    values = readings(bundle.manifest, 10_000)
    on_arm, on_host = drive(bundle, ["qemu-aarch64-static", there], values), drive(bundle, [here], values)

    assert b"pass: 64 steps, 0 differences" in run("qemu-aarch64-static", golden)
    for name in ("state", "network", "said", "status", "transition"):
        assert np.array_equal(getattr(on_arm, name), getattr(on_host, name))
    np.testing.assert_allclose(on_arm.score, on_host.score, rtol=1e-12)
