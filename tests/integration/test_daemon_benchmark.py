"""The daemon's benchmark as ``make bench-daemon ARGS=--quick`` runs it: real broker, real processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]


def test_benchmark_accounts_for_every_reading_and_writes_its_block(tiny_bundle: Path, tmp_path: Path) -> None:
    """A short run of everything ends well only when all that was given was scored; no time is judged."""
    present = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    need("mosquitto", present, "apt install mosquitto mosquitto-clients")
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\nwords\n", encoding="utf-8")
    options: list[str | Path] = [
        "--quick",
        "--bundle",
        tiny_bundle,
        "--folder",
        tmp_path / "site",
        "--out",
        page,
    ]

    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmark.daemon", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n\nwords\n")
    assert re.search(
        r"^\| readings scored once and alerts heard.* \| all \| all \| reached \|$", text, re.MULTILINE
    )
    scored = re.findall(r"^\| daemon, .* \| 0 of 501 \|$", text, re.MULTILINE)
    assert len(scored) == 2, text
