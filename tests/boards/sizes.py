"""``make install-sizes``: what an installation puts on the disk, in MiB, without bytecode.

Wheels are chosen by pip for the platform that is asked for, so aarch64 needs no board.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.boards.paths import CACHE, ROOT, reference_requirements, run, wheel

__all__ = ["BUDGET_MIB", "main", "sizes"]

BUDGET_MIB = 5.0 * 10**6 / 2**20
"""Most that an installation with the reference kernel may take, NumPy not counted: 5 MB."""

_MIB = 2**20
_LITERT = "ai-edge-litert"
_MACHINES = ("x86_64", "aarch64")
_TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
"""Of Debian 12 and Raspberry Pi OS of that age, as far as wheels use them."""


def sizes(machine: str, built: Path, *, reference: bool, litert: str = "") -> dict[str, float]:
    """Package to MiB of an installation for CPython 3.11.

    Args:
        machine: ``x86_64`` or ``aarch64``.
        built: The wheel of this checkout.
        reference: Without an interpreter.
        litert: A version of LiteRT; empty is the newest in the ranges.
    """
    folder = CACHE / "wheels" / f"{machine}-{'reference' if reference else f'default{litert}'}"
    shutil.rmtree(folder, ignore_errors=True)
    wanted = _requirements(machine, reference=reference)
    if litert:
        wanted = [one for one in wanted if not one.startswith(_LITERT)] + [f"{_LITERT}=={litert}"]
    command: list[str | Path] = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", "3.11", "--dest", folder]
    for tag in _TAGS:
        command += ["--platform", f"{tag}_{machine}"]
    run([*command, *wanted])
    if reference:
        _without_c(folder)
    found: dict[str, float] = {}
    for archive in [built, *sorted(folder.glob("*.whl"))]:
        with zipfile.ZipFile(archive) as content:
            name = canonicalize_name(archive.name.split("-")[0])
            found[name] = sum(entry.file_size for entry in content.infolist()) / _MIB
    return found


def _without_c(folder: Path) -> None:
    """PyYAML as requirements-reference.txt has it made on a board, which has no headers of libyaml."""
    for archive in folder.glob("pyyaml-*.whl"):
        archive.unlink()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-binary", "PyYAML"]
    (wanted,) = [one for one in reference_requirements() if one.startswith("PyYAML")]
    run([*command, "--wheel-dir", folder, wanted], environ={"PYYAML_FORCE_LIBYAML": "0"})


def _requirements(machine: str, *, reference: bool) -> list[str]:
    """What pip would install beside us on that machine."""
    if reference:
        return reference_requirements()
    there: dict[str, str] = {
        "platform_machine": machine,
        "python_version": "3.11",
        "extra": "",
    }
    chosen = []
    for text in _dependencies():
        requirement = Requirement(text)
        if requirement.marker is None or Marker(str(requirement.marker)).evaluate(there):
            chosen.append(f"{requirement.name}{requirement.specifier}")
    return chosen


def _dependencies() -> list[str]:
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(facts["project"]["dependencies"])


def main() -> int:
    """Print the tables; 1 when the reference installation is over its budget."""
    CACHE.mkdir(exist_ok=True)
    built, over = wheel("sizes"), 0
    kinds = ((False, ""), (False, "1.2.0"), (True, ""))
    for machine, (reference, litert) in itertools.product(_MACHINES, kinds):
        found = sizes(machine, built, reference=reference, litert=litert)
        counted = sum(size for name, size in found.items() if name != "numpy")
        kind = "reference kernel" if reference else f"default, LiteRT {litert or 'newest'}"
        print(f"{machine}, {kind}: {counted:.1f} MiB, and NumPy {found['numpy']:.1f} MiB")
        for name, size in sorted(found.items(), key=lambda item: -item[1]):
            print(f"  {name:<20} {size:6.2f}")
        over += reference and counted > BUDGET_MIB
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
