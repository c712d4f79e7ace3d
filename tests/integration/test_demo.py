from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_lstm.errors import MissingExtraError, OperatorError
from trainer.demo.broker import EmbeddedBroker
from trainer.demo.child import Child
from trainer.demo.command import _folder
from trainer.demo.watch import Watcher
from trainer.extras import need_extra

PROGRAM = [sys.executable, "-m", "edge_lstm"]


def child_of(process: int, verb: str) -> int:
    """The child of a process that runs a verb, as soon as there is one."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
        for child in children:
            if verb.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return int(child)
        time.sleep(0.01)
    pytest.fail(f"no child runs {verb}")


@pytest.mark.train
@pytest.mark.timeout(300)
def test_demo_shows_the_alert_with_its_cause(tmp_path: Path) -> None:
    """The whole line, once: exit code 0, the alert, the right first contributor, nothing left running."""
    folder = tmp_path / "kept"

    done = subprocess.run(
        [*PROGRAM, "demo", "--keep", folder], capture_output=True, text=True, check=False, timeout=280
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"ALERT  pump-1: ", done.stdout)
    assert re.search(r"score \d+\.\d+ against threshold \d+\.\d+", done.stdout)
    assert re.search(
        r"right: the first contributor is (vibration|bearing_temperature); bearing_wear shows in "
        r"vibration or bearing_temperature",
        done.stdout,
    )
    kept = {path.name for path in folder.iterdir()}
    assert {"history.parquet", "pump.elb", "edge-lstm.yaml", "daemon.log", "simulate.log"} <= kept


@pytest.mark.train
def test_demo_interrupted_stops_its_children_and_cleans_up(tmp_path: Path) -> None:
    """SIGTERM, as Ctrl-C, ends the children and removes the folder."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*PROGRAM, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    ) as process:
        child = child_of(process.pid, "train")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert process.returncode == 130
    assert not Path(f"/proc/{child}").exists()
    assert [] == [path for path in tmp_path.iterdir() if path.name.startswith("edge-lstm-demo-")]


def test_demo_without_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line before any work."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(MissingExtraError, match=r"the demo needs amqtt; pip install 'edge-lstm\[demo\]'"):
        need_extra("demo", ("amqtt",), what="the demo")


def test_demo_keeps_files_in_an_empty_folder_only(tmp_path: Path) -> None:
    """A folder in use is left alone: an older run's states must not answer for this one."""
    (tmp_path / "mine").write_text("mine", encoding="utf-8")

    with ExitStack() as stack:
        with pytest.raises(OperatorError, match="is not empty; name a new folder for --keep"):
            _folder(tmp_path, stack)

        assert _folder(tmp_path / "new", stack).is_dir()
        assert (temporary := _folder(None, stack)).is_dir()

    assert not temporary.exists()


def test_embedded_broker_serves_any_client(tmp_path: Path) -> None:
    """The simulator, a process of its own, reaches a subscriber through it, and in order."""
    pytest.importorskip("amqtt", reason="pip install 'edge-lstm[demo]'")
    with EmbeddedBroker() as broker, Watcher(broker.port, "plant/#") as watcher:
        arguments = ["simulate", "--port", str(broker.port), "--count", "50", "--speedup", "0"]
        with Child(arguments, cwd=tmp_path, log=tmp_path / "log") as child:
            messages = [watcher.next(20.0) for _ in range(50)]
            child.wait()

    times = [message.json()["time"] for message in messages if message is not None]
    assert 50 == len(times)
    assert sorted(times) == times
    assert "published 50 messages" in child.tail()


def test_child_that_fails_is_an_error_with_its_command(tmp_path: Path) -> None:
    """The error names the command and its exit code; the log has the reason."""
    with Child(["simulate", "--fault", "rust@1s"], cwd=tmp_path, log=tmp_path / "log") as child:
        with pytest.raises(
            OperatorError, match="'edge-lstm simulate --fault rust@1s' ended by itself: got exit code 2"
        ):
            child.wait()

        assert "unknown fault" in child.tail()
