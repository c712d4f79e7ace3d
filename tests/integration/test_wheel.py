"""The built wheel, alone in a fresh environment: what a device gets is enough to run one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from edge_lstm import __version__

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Listener, Row, Sensor

ROOT = Path(__file__).parents[2]
EXTRAS = ("amqtt", "keras", "polars", "rich", "tensorflow")

# The installation comes from the package index.
pytestmark = pytest.mark.timeout(600)


def _run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program away from the checkout, so that nothing of it can be imported."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "EDGE_LSTM"))
    }
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=500
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    done = _run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, folder=folder
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder of programs of a fresh environment that holds the wheel and no extra."""
    folder = tmp_path_factory.mktemp("device")
    made = _run(sys.executable, "-m", "venv", folder / "env", folder=folder)
    assert made.returncode == 0, made.stderr
    found = folder / "env" / "bin"
    done = _run(
        found / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q", wheel, folder=folder
    )

    assert done.returncode == 0, done.stderr
    return found


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Three packages, typed, with the licence; no tests, documents or recordings."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    information = f"edge_lstm-{__version__}.dist-info"

    assert {"edge_lstm", "firmware_tools", "trainer", information} == tops
    assert "edge_lstm/py.typed" in names
    assert "firmware_tools/c/model.c.in" in names
    assert f"{information}/licenses/LICENSE" in names


def test_bare_install_has_no_package_of_an_extra(programs: Path, tmp_path: Path) -> None:
    """No TensorFlow comes with the device, by no dependency's dependency."""
    script = f"import importlib.util as u; print([n for n in {EXTRAS!r} if u.find_spec(n)])"

    assert "[]\n" == _run(programs / "python", "-c", script, folder=tmp_path).stdout


def test_bare_install_lists_every_command(programs: Path, tmp_path: Path) -> None:
    """Help names all commands, those that need an extra too."""
    done = _run(programs / "edge-lstm", "--help", folder=tmp_path)
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line.strip()}

    assert (0, "") == (done.returncode, done.stderr)
    assert {entry.name for entry in entry_points(group="edge_lstm.commands")} <= listed


@pytest.mark.train
@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("train", "history.csv", "--out", "model.elb"), "train"),
        (("replay", "history.csv", "--bundle", "model.elb"), "history"),
        (("demo",), "demo"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_bare_install_names_the_missing_extra(
    programs: Path, tmp_path: Path, tiny_bundle: Path, command: tuple[str, ...], extra: str
) -> None:
    """A command without its packages ends in one line that says what to install, and exit code 1."""
    (tmp_path / "history.csv").write_text("time,flow\n2026-01-01T00:00:00Z,1.0\n", encoding="utf-8")
    (tmp_path / "model.elb").symlink_to(tiny_bundle)
    done = _run(programs / "edge-lstm", *command, folder=tmp_path)

    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert f"pip install 'edge-lstm[{extra}]'" in done.stderr


@pytest.mark.train
def test_bare_install_passes_the_selftest(programs: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    """A bundle of the trainer computes on the device what it did on the build machine."""
    done = _run(programs / "edge-lstm", "selftest", tiny_bundle, "--json", folder=tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    assert json.loads(done.stdout)["passed"]


@pytest.mark.train
@pytest.mark.broker
def test_bare_install_runs_the_daemon(
    programs: Path,
    tmp_path: Path,
    tiny_bundle: Path,
    broker: Broker,
    listener: Listener,
    sensor: Sensor,
    rows: list[Row],
) -> None:
    """The daemon of the bare install scores every reading of a real broker and ends well on SIGTERM."""
    config = {
        "node": "bare",
        "bundle": str(tiny_bundle),
        "state_dir": "state",
        "mqtt": {"port": broker.port},
        "inputs": [{"topic": "plant/{asset}/readings", "time_field": "time"}],
        "publish": {"score_interval_s": 0},
    }
    (tmp_path / "edge-lstm.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command: list[str | Path] = [programs / "edge-lstm", "run", "--config", "edge-lstm.yaml"]
    process = subprocess.Popen(command, cwd=tmp_path)
    try:
        listener.wait(lambda: listener.on("edge-lstm/bare/availability"), "the daemon to be online")
        sensor.send("plant/pump-1/readings", rows[:50])
        listener.wait(lambda: len(listener.on("edge-lstm/bare/pump-1/score")) == 50, "all scores")
        process.terminate()
        assert 0 == process.wait(20)
    finally:
        process.kill()
        process.wait(20)

    assert [b"online", b"offline"] == listener.on("edge-lstm/bare/availability")
