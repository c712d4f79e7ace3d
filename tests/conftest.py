"""What every test may use: the recordings, a small history and a real bundle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


def need(what: str, present: object, how: str) -> None:
    """Skip with a loud reason on a developer's machine; fail in CI."""
    if present:
        return
    if IN_CI:
        pytest.fail(f"{what} is absent in CI: {how}")
    pytest.skip(f"{what} is absent: {how}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the checkout."""
    need("../shared/data", SHARED_DATA.is_dir(), "put the recordings of its README beside the checkout")
    return SHARED_DATA


def train(history: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `edge-lstm train` as a user would."""
    command = [sys.executable, "-m", "edge_lstm", "train", str(history), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one, for what flushes thousands of times."""
    memory = Path("/dev/shm")  # noqa: S108 - a parent of a folder of ours, no more
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.fixture(scope="session")
def tiny_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 readings of a simulated pump, without faults."""
    out = tmp_path_factory.mktemp("history") / "pump.csv"
    command = [sys.executable, "-m", "edge_lstm", "simulate", "--history", "1500", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return out


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_history: Path) -> Path:
    """A real, small bundle, trained once a session on a simulated pump."""
    out = tmp_path_factory.mktemp("bundle") / "tiny.elb"
    done = train(tiny_history, out, "--updates", "120")
    assert done.returncode == 0, done.stderr
    return out
