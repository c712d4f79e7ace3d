from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edge_lstm.io.health import Health, HealthModel
from edge_lstm.times import NS, format_time
from edge_lstm.wait_health import _Wanted, main, process_start_ns

SHA = "ab" * 32
STARTED = 1_800_000_000 * NS


def payload(*, pid: int = 5, seconds: float = 10.0, sha256: str = SHA, status: str = "ok") -> bytes:
    """A health message, so many seconds after the process was started."""
    health = Health(
        node="n",
        pid=pid,
        status="ok",
        problems=[],
        time=format_time(STARTED + round(seconds * NS)),
        uptime_s=1.0,
        version="0.1.0",
        model=HealthModel("m", "1", sha256),
        backend="litert",
        readings=0,
        frames=0,
        rejects={},
        bad_values=0,
        failures=0,
        assets=0,
        alerts=0,
        alerts_open=0,
        queue=0,
        outbox=0,
        dropped={},
        connections=1,
        last_reading=None,
        snapshot_age_s=None,
        state_reset_reason=None,
    )
    return msgspec.json.encode({**msgspec.to_builtins(health), "status": status})


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (payload(), None),
        (payload(status="degraded"), None),
        (payload(seconds=-1.0), None),
        (payload(pid=6), "another process (pid 6"),
        (payload(seconds=-60.0), "another process (pid 5"),
        (payload(sha256="cd" * 32), "runs bundle cdcdcdcdcdcdcdcd, not abababababababab"),
        (payload(status="starting"), "still starting"),
        (b"", "not a health message"),
        (b'{"pid": 5}', "not a health message"),
        (b"\xff", "not a health message"),
    ],
    ids=["good", "degraded", "slack", "pid", "before-boot", "bundle", "starting", "empty", "part", "bytes"],
)
def test_health_message_counts_only_when_it_is_the_process_with_the_bundle(
    message: bytes, why: str | None
) -> None:
    """A retained message of an earlier daemon, or of another bundle, proves nothing."""
    wanted = _Wanted(SHA, 5, STARTED)

    assert (why is None) == wanted.take(message, True)
    assert (why is None) == (wanted.found is not None)
    assert (why or "") in "".join(wanted.others)


def test_process_start_is_when_it_was_started() -> None:
    """Within the second that the kernel leaves open."""
    before = time.time_ns()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = process_start_ns(process.pid)

    assert started is not None
    assert abs(started - before) < 2 * NS


def test_process_that_has_ended_has_no_start() -> None:
    """Neither when it is gone, nor while nobody has asked for its exit code."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    zombie = process_start_ns(process.pid)
    process.wait()

    assert (None, None) == (zombie, process_start_ns(process.pid))


def write_config(folder: Path, more: str = "") -> Path:
    """A configuration for a broker that is not there."""
    file = folder / "edge-lstm.yaml"
    file.write_text(f"node: n\nbundle: b\n{more}inputs:\n  - topic: a/{{asset}}\n", "utf-8")
    return file


def test_check_passes_a_good_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said, and nothing is connected to."""
    assert 0 == main(["--config", str(write_config(tmp_path)), "--check"])
    assert ("", "") == capsys.readouterr()


def test_check_names_the_line_of_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error, exit code 1."""
    file = write_config(tmp_path, "log_level: loud\n")

    assert 1 == main(["--config", str(file), "--check"])
    assert f"edge-lstm: {file}:3: log_level: wrong value" in capsys.readouterr().err


def test_wait_for_a_process_that_has_ended_says_so_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No waiting for the time-out."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    config = str(write_config(tmp_path))

    assert 1 == main(["--config", config, "--sha256", SHA, "--pid", str(process.pid), "--timeout", "60"])
    assert f"edge-lstm: the daemon (pid {process.pid}) has ended\n" == capsys.readouterr().err
