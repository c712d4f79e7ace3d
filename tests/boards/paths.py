"""Where the boards' parts are kept between runs, and how programs are run for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "BUNDLES",
    "CACHE",
    "REFERENCE_REQUIREMENTS",
    "ROOT",
    "clean_environ",
    "last_line",
    "reference_requirements",
    "run",
    "wheel",
]

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".boards"
BUNDLES = CACHE / "bundles"
REFERENCE_REQUIREMENTS = ROOT / "configs" / "requirements-reference.txt"


def clean_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would let this checkout or its packages be imported."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "EDGE_LSTM", "VIRTUAL_ENV"))}
    return {**kept, "PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(extra or {})}


def run(
    command: Sequence[str | Path],
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = 1200,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program with a clean environment.

    Raises:
        RuntimeError: It failed, and ``check`` is set.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=clean_environ(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    if check and done.returncode:
        shown = " ".join(str(part) for part in command)
        raise RuntimeError(f"{shown} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def reference_requirements() -> list[str]:
    """The packages of an installation without an interpreter, without the options for pip."""
    lines = REFERENCE_REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "--"))]


def last_line(text: str) -> str:
    """The last line of an output, which says why a program failed."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def wheel(user: str) -> Path:
    """The wheel of this checkout, built anew; each user has one, so that they can run side by side."""
    folder = CACHE / "dist" / user
    for old in folder.glob("*.whl"):
        old.unlink()
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], folder=CACHE)
    (found,) = folder.glob("*.whl")
    return found
