"""``make test-runtimes``: every interpreter of the dependency ranges replays bundles of every kind.

Each version gets an environment with edge-lstm and nothing else, for each Python that is
given; every bundle's golden vectors are replayed there by ``edge-lstm selftest``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from tests.boards.bundles import all_bundles
from tests.boards.paths import CACHE, REFERENCE_REQUIREMENTS, ROOT, last_line, run, wheel

__all__ = ["Verdict", "main", "verdict"]

LITERT, TFLITE = "ai-edge-litert", "tflite-runtime"
_LAST_TFLITE = "2.14.0"
_REFERENCE = "reference"


class Verdict(NamedTuple):
    """What ``edge-lstm selftest`` said.

    Attributes:
        passed: Whether the golden vectors came out.
        backend: What ran the network.
        text: ``0`` steps off for example, or why there is no figure.
    """

    passed: bool
    backend: str
    text: str


def verdict(returncode: int, stdout: str, stderr: str) -> Verdict:
    """Read the end of ``edge-lstm selftest --json``."""
    try:
        said = json.loads(stdout)
    except json.JSONDecodeError:
        reason = f"signal {-returncode}" if returncode < 0 else last_line(stderr)
        return Verdict(passed=False, backend="", text=reason)
    return Verdict(said["passed"], said["backend"], f"{said['greatest']:g}")


def versions(python: str, *, beyond: bool) -> list[str]:
    """Versions of LiteRT that this project allows here and that have a wheel for that Python."""
    listed = run([python, "-m", "pip", "index", "versions", LITERT]).stdout
    (found,) = re.findall(r"Available versions: (.*)", listed)
    known = found.split(", ")
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(text) for text in facts["project"]["dependencies"]]
    ours = [r for r in wanted if r.name == LITERT and (r.marker is None or r.marker.evaluate())]
    return [v for v in known if beyond or all(r.specifier.contains(v) for r in ours)]


def environment(python: str, name: str, packages: list[str], built: Path) -> Path:
    """The interpreter of an environment that holds edge-lstm and these packages."""
    folder = CACHE / "venvs" / name
    inside = folder / "bin" / "python"
    run([python, "-m", "venv", "--clear", folder])
    pip: list[str | Path] = [inside, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    try:
        run([*pip, "--requirement", REFERENCE_REQUIREMENTS, *packages])
        run([*pip, "--no-deps", "--force-reinstall", built])
    except RuntimeError:
        shutil.rmtree(folder)
        raise
    return inside


def tries(pythons: list[str], *, beyond: bool) -> Iterator[tuple[str, str, str, list[str]]]:
    """Python, its version, the runtime's name and the packages that bring it."""
    for python in pythons:
        short = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).stdout.strip()
        for version in versions(python, beyond=beyond):
            yield python, short, f"{LITERT} {version}", [f"{LITERT}=={version}"]
        if short == "3.11":
            yield python, short, f"{TFLITE} {_LAST_TFLITE}", [f"{TFLITE}=={_LAST_TFLITE}", "numpy<2"]
        yield python, short, _REFERENCE, []


def main(argv: list[str]) -> int:
    """Print the table; 1 when a cell of it is not a pass."""
    parser = argparse.ArgumentParser(prog="make test-runtimes", description=__doc__)
    parser.add_argument("bundles", nargs="*", type=Path, help="bundles; none: one of every kind is trained")
    parser.add_argument("--python", action="append", help="an interpreter; may be given several times")
    parser.add_argument("--beyond", action="store_true", help="versions outside the ranges too")
    options = parser.parse_args(argv)
    bundles, built, failed = all_bundles(options.bundles), wheel("runtimes"), 0
    print(f"| Python | runtime | {' | '.join(path.stem for path in bundles)} |")
    print(f"|---|---|{'---|' * len(bundles)}")
    for python, short, runtime, packages in tries(options.python or [sys.executable], beyond=options.beyond):
        try:
            inside = environment(python, f"{short}-{runtime.replace(' ', '-')}", packages, built)
        except RuntimeError as error:
            print(f"| {short} | {runtime} | cannot be installed: {last_line(str(error))} |", flush=True)
            failed += not options.beyond
            continue
        cells = []
        for bundle in bundles:
            done = run([inside, "-m", "edge_lstm", "selftest", bundle, "--json"], folder=CACHE, check=False)
            said = verdict(done.returncode, done.stdout, done.stderr)
            failed += not said.passed
            cells.append(said.text if said.passed else f"**{said.text}**")
        print(f"| {short} | {runtime} | {' | '.join(cells)} |", flush=True)
        shutil.rmtree(inside.parents[1])  # up to 300 MB each
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
