"""`edge-lstm deploy` and `rollback` over a real sshd, into a real virtual environment, to a real broker.

Everything is the test's own: sshd with its port, host key and user key, mosquitto, the
prefix. systemd does not take part: the stand-in runs the unit's command.
"""

from __future__ import annotations

import fcntl
import getpass
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from edge_lstm.bundle import GOLDEN, MANIFEST, open_bundle, write_bundle

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, Listener, Row, Sensor

ROOT = Path(__file__).parents[2]
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

# The runtime is installed from the package index, once for all tests here.
pytestmark = [pytest.mark.sshd, pytest.mark.broker, pytest.mark.timeout(600)]

Done = subprocess.CompletedProcess[str]


def free_port() -> int:
    """A TCP port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def keygen(path: Path) -> Path:
    """A key pair without a passphrase."""
    command: list[str | Path] = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=30)
    return path


@dataclass(frozen=True)
class Sshd:
    """A running sshd, and how to get in.

    Attributes:
        port: Where it listens.
        key: The private key it lets in.
        known_hosts: Holds its host key.
    """

    port: int
    key: Path
    known_hosts: Path

    def options(self, *, key: Path | None = None, known_hosts: Path | None = None) -> list[str]:
        """Options of deploy and rollback that reach it, and nothing of the developer's own ssh."""
        settings = {
            "UserKnownHostsFile": known_hosts or self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentityAgent": "none",
            "PreferredAuthentications": "publickey",
        }
        words = [word for name, value in settings.items() for word in ("--ssh-option", f"{name}={value}")]
        return ["--port", str(self.port), "--identity", str(key or self.key), *words]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd of our own, for the user who runs the tests."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None:
        (pytest.fail if IN_CI else pytest.skip)("sshd is absent: apt install openssh-server openssh-client")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd will not start as root without it
    folder = tmp_path_factory.mktemp("sshd")
    host, key = keygen(folder / "host"), keygen(folder / "user")
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    port = free_port()
    (folder / "known_hosts").write_text(
        f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text('ascii')}", "ascii"
    )
    (folder / "sshd_config").write_text(sshd_config(folder, port, host), "utf-8")
    with (folder / "log").open("wb") as log:
        command: list[str | Path] = [program, "-D", "-e", "-f", folder / "sshd_config"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_port(port, process, folder / "log")
        yield Sshd(port, key, folder / "known_hosts")
    finally:
        process.terminate()
        process.wait(10)


def sshd_config(folder: Path, port: int, host: Path) -> str:
    """Keys only, loopback only; pip there sees the index as pip here does."""
    variables = " ".join(f'"{k}={v}"' for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_CERT_")))
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {host}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        "PidFile none",
        "StrictModes no",  # the folder of the tests lies below one that all may write to
        "UsePAM no",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        *([f"SetEnv {variables}"] if variables else []),
    ]
    return "\n".join([*lines, ""])


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it listens, or has given up."""
    end = time.monotonic() + 20
    while True:
        assert process.poll() is None, log.read_text("utf-8")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, log.read_text("utf-8")
        time.sleep(0.02)


def edge_lstm(*words: str | Path) -> Done:
    """Run the program as a user would, away from any terminal."""
    command = [sys.executable, "-m", "edge_lstm", *words]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=500
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder,
        ROOT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@dataclass(frozen=True)
class Target:
    """A device behind sshd, and the wheel it gets."""

    sshd: Sshd
    wheel: Path
    prefix: Path

    @property
    def name(self) -> str:
        """The target of deploy and rollback."""
        return f"{getpass.getuser()}@127.0.0.1"

    def deploy(self, bundle: Path, *words: str | Path, ssh: list[str] | None = None) -> Done:
        """Deploy a bundle to it."""
        words = ("--wheel", self.wheel, "--python", sys.executable, *words)
        return edge_lstm("deploy", bundle, self.name, *self._common(ssh), *words)

    def rollback(self, *words: str) -> Done:
        """Roll it back."""
        return edge_lstm("rollback", self.name, *self._common(None), *words)

    def _common(self, ssh: list[str] | None) -> list[str]:
        options = ssh if ssh is not None else self.sshd.options()
        return [*options, "--prefix", str(self.prefix), "--service", "process", "--timeout", "60"]

    @property
    def pid(self) -> int:
        """The daemon's process, or 0."""
        file = self.prefix / "run" / "pid"
        pid = int(file.read_text("ascii")) if file.exists() else 0
        return pid if pid and str(self.prefix).encode() in cmdline(pid) else 0

    @property
    def current(self) -> str:
        """First 16 digits of the digest of the bundle that is switched on."""
        return (self.prefix / "current.elb").readlink().stem

    def picture(self) -> dict[str, tuple[int, int, str]]:
        """Every file and folder of it that a deployment may touch: mode, time of change and link."""
        found = {}
        for path in sorted(self.prefix.rglob("*")):
            name = str(path.relative_to(self.prefix))
            # What the daemon writes by itself, and what Python may cache, are nobody's deployment.
            if not name.startswith(("state", "run/log")) and "__pycache__" not in name:
                stat = path.lstat()
                found[name] = (
                    stat.st_mode,
                    stat.st_mtime_ns,
                    str(path.readlink()) if path.is_symlink() else "",
                )
        return found


def cmdline(pid: int) -> bytes:
    """A process's command line; empty when there is none."""
    file = Path(f"/proc/{pid}/cmdline")
    return file.read_bytes() if file.exists() else b""


@pytest.fixture(scope="module")
def installation(sshd: Sshd, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A prefix that keeps its runtime from test to test."""
    target = Target(sshd, wheel, tmp_path_factory.mktemp("device") / "edge-lstm")
    yield target
    if target.pid:
        os.kill(target.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def good(tiny_bundle: Path) -> Path:
    """A bundle."""
    return tiny_bundle


@pytest.fixture(scope="module")
def better(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model under another version: another bundle that passes."""
    return repacked(tiny_bundle, tmp_path_factory.mktemp("better") / "better.elb", shift=0)


@pytest.fixture(scope="module")
def wrong(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle whose golden vectors no board can reproduce."""
    return repacked(tiny_bundle, tmp_path_factory.mktemp("wrong") / "wrong.elb", shift=60)


def repacked(source: Path, path: Path, *, shift: int) -> Path:
    """A bundle with another version, and golden outputs that are off by so many quantization steps."""
    bundle = open_bundle(source)
    members = {name: raw for name, raw in bundle.members.items() if name != MANIFEST}
    with np.load(io.BytesIO(members[GOLDEN])) as archive:
        golden = {name: archive[name] for name in archive.files}
    moved = {n: np.bitwise_xor(a, np.int8(shift)) if a.dtype == np.int8 else a for n, a in golden.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **moved)
    write_bundle(
        path, msgspec.structs.replace(bundle.manifest, version="2"), {**members, GOLDEN: buffer.getvalue()}
    )
    return path


@pytest.fixture
def device(installation: Target, good: Path, broker: Broker) -> Target:
    """A device that runs the good bundle, talks to this test's broker, and has no other bundle."""
    done = installation.deploy(good, "--broker", f"127.0.0.1:{broker.port}", "--node", "press-3")
    assert done.returncode == 0, done.stdout + done.stderr
    for link in ("previous.elb", "previous-runtime"):
        (installation.prefix / link).unlink(missing_ok=True)
    for bundle in (installation.prefix / "bundles").iterdir():
        if bundle.stem != installation.current:
            bundle.unlink()
    return installation


def last_health(listener: Listener) -> Any:  # noqa: ANN401 - JSON
    """The newest health message."""
    heard = listener.objects("edge-lstm/press-3/health")
    return heard[-1] if heard else {}


def test_deploy_brings_up_a_daemon_that_answers(
    device: Target, good: Path, listener: Listener, sensor: Sensor, rows: list[Row]
) -> None:
    """Another client hears that it is there and what it runs, sends a reading and gets its score."""
    listener.wait(lambda: last_health(listener).get("status") == "ok", "health")
    sensor.send("plant/pump-1/readings", rows[:3])
    listener.wait(lambda: listener.objects("edge-lstm/press-3/pump-1/score"), "a score")

    assert b"online" == listener.on("edge-lstm/press-3/availability")[-1]
    assert (device.pid, open_bundle(good).sha256) == (
        last_health(listener)["pid"],
        last_health(listener)["model"]["sha256"],
    )


def test_deploy_a_second_time_changes_nothing(device: Target, good: Path) -> None:
    """Each part is said to be right already; the daemon goes on; no file is touched."""
    before, pid = device.picture(), device.pid

    done = device.deploy(good)

    assert (0, "nothing to change") == (done.returncode, done.stdout.splitlines()[-1]), done.stderr
    states = [line.split()[0] for line in done.stdout.splitlines()[:-1]]
    assert ["ok"] * 8 + ["running"] == states
    assert (before, pid) == (device.picture(), device.pid)


def test_deploy_prints_what_runs(device: Target, better: Path) -> None:
    """Model, digest, node, backend and status, as the daemon itself says over MQTT."""
    done = device.deploy(better)

    digest = open_bundle(better).sha256[:16]
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("running"))
    said = f"2 (sha256 {digest}) on node press-3, backend litert, status ok, pid {device.pid}"
    assert said in line
    assert digest == device.current


def test_bundle_that_fails_its_selftest_is_refused(device: Target, wrong: Path, listener: Listener) -> None:
    """The old daemon is not even restarted, and nothing of the refused bundle stays."""
    before, pid = device.picture(), device.pid

    done = device.deploy(wrong)

    assert (1, 1) == (done.returncode, done.stderr.count("edge-lstm:"))
    assert "does not pass: got FAIL: 256 steps on litert" in done.stderr
    assert f"refused; pid {pid} keeps running" in done.stderr
    assert pid == device.pid
    moved = {"bundles"}  # the bundle came and went
    assert {k: v for k, v in before.items() if k not in moved} == {
        k: v for k, v in device.picture().items() if k not in moved
    }
    listener.wait(lambda: last_health(listener).get("pid") == pid, "the old daemon")


def test_rollback_goes_back_and_forth(device: Target, good: Path, better: Path) -> None:
    """To what ran before, and from there forward again."""
    old, new = (open_bundle(path).sha256[:16] for path in (good, better))
    assert device.deploy(better).returncode == 0

    back = device.rollback()
    after_back = device.current
    forth = device.rollback()

    assert (0, 0) == (back.returncode, forth.returncode), back.stderr + forth.stderr
    assert (old, new) == (after_back, device.current)
    assert f"(sha256 {old}) on node press-3" in back.stdout


def test_rollback_without_anything_before_says_so(device: Target) -> None:
    """One line, and the daemon goes on."""
    pid = device.pid

    done = device.rollback()

    assert (1, pid) == (done.returncode, device.pid)
    assert "nothing to roll back to" in done.stderr


def test_dry_run_says_what_would_change_and_changes_nothing(
    device: Target, better: Path, tmp_path: Path
) -> None:
    """On a device that is installed, and on one that is not."""
    before, pid = device.picture(), device.pid

    done = device.deploy(better, "--node", "other", "--dry-run")
    fresh = Target(device.sshd, device.wheel, tmp_path / "none")
    empty = fresh.deploy(better, "--dry-run")

    assert (0, 0) == (done.returncode, empty.returncode), done.stderr + empty.stderr
    changes = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("would change")]
    assert ["bundle", "config", "switch", "restart"] == changes
    assert "diff         config    +node: other" in done.stdout
    assert "6 parts would change; nothing was changed" == empty.stdout.splitlines()[-1]
    assert (before, pid, False) == (device.picture(), device.pid, fresh.prefix.exists())


def test_deploy_without_health_brings_back_what_ran(
    device: Target, good: Path, better: Path, listener: Listener
) -> None:
    """A configuration that leads nowhere: old bundle and old configuration run again, exit code 1."""
    config = (device.prefix / "edge-lstm.yaml").read_text("utf-8")

    done = device.deploy(better, "--broker", f"127.0.0.1:{free_port()}", "--timeout", "3")

    assert done.returncode == 1
    assert "rolled back: what ran before runs again" in done.stderr
    assert "Connection refused" in done.stderr
    assert any(line.startswith("log ") for line in done.stderr.splitlines())
    digest = open_bundle(good).sha256
    assert (digest[:16], config) == (device.current, (device.prefix / "edge-lstm.yaml").read_text("utf-8"))
    listener.wait(lambda: last_health(listener).get("pid") == device.pid, "the old daemon")
    assert digest == last_health(listener)["model"]["sha256"]


def test_deploy_starts_a_daemon_that_was_killed(device: Target, good: Path) -> None:
    """Nothing else is done for it."""
    killed = device.pid
    os.kill(killed, signal.SIGKILL)
    while device.pid:  # until the kernel has taken it away
        time.sleep(0.01)

    done = device.deploy(good)

    assert done.returncode == 0, done.stderr
    assert "1 part changed" == done.stdout.splitlines()[-1]
    assert device.pid not in (0, killed)


def test_deploy_beside_another_one_is_refused(installation: Target, better: Path) -> None:
    """Two deployments must not interleave."""
    installation.prefix.mkdir(exist_ok=True)
    with (installation.prefix / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = installation.deploy(better)

    assert 1 == done.returncode
    assert "another deployment to this prefix is under way" in done.stderr


def test_deploy_with_the_wrong_key_says_so(installation: Target, good: Path, tmp_path: Path) -> None:
    """One line that names the way out."""
    other = keygen(tmp_path / "other")

    done = installation.deploy(good, ssh=installation.sshd.options(key=other))

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert "refuses the key: got" in done.stderr
    assert "--identity FILE, or install yours with ssh-copy-id" in done.stderr


def test_deploy_to_an_unknown_host_says_so(installation: Target, good: Path, tmp_path: Path) -> None:
    """A host key is never accepted silently."""
    nobody = tmp_path / "known_hosts"
    nobody.touch()

    done = installation.deploy(good, ssh=installation.sshd.options(known_hosts=nobody))

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert "its host key has never been accepted" in done.stderr


def test_deploy_where_no_ssh_server_is_says_so(installation: Target, good: Path) -> None:
    """One line."""
    nowhere = Sshd(free_port(), installation.sshd.key, installation.sshd.known_hosts)

    done = installation.deploy(good, ssh=nowhere.options())

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert "has no ssh server there" in done.stderr


def test_deploy_without_that_python_says_so(installation: Target, good: Path, tmp_path: Path) -> None:
    """Before anything is copied."""
    fresh = Target(installation.sshd, installation.wheel, tmp_path / "none")

    done = fresh.deploy(good, "--python", "python3.99")

    assert 1 == done.returncode
    assert "there is no 'python3.99' on the device: expected Python 3.11 to 3.13" in done.stderr


def test_deploy_of_a_wheel_that_pip_refuses_leaves_the_daemon_alone(
    device: Target, good: Path, tmp_path: Path
) -> None:
    """Pip's own last line, and no half-made runtime."""
    junk = tmp_path / "edge_lstm-9.9-py3-none-any.whl"
    junk.write_bytes(b"not a zip")
    runtimes, pid = sorted((device.prefix / "runtimes").iterdir()), device.pid

    done = device.deploy(good, "--wheel", junk)

    assert (1, pid) == (done.returncode, device.pid)
    assert "cannot install the runtime" in done.stderr
    assert "edge_lstm-9.9-py3-none-any.whl" in done.stderr
    assert runtimes == sorted((device.prefix / "runtimes").iterdir())
