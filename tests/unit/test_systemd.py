"""Notifications, against real datagram sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_lstm.io.systemd import Notifier, Watchdog


@dataclass
class ManualClock:
    """Time that goes when it is told to."""

    now_s: float = 100.0

    def time_ns(self) -> int:
        """Not asked for."""
        raise AssertionError

    def monotonic(self) -> float:
        """Seconds."""
        return self.now_s


def heard(manager: socket.socket) -> list[str]:
    """Every datagram that waits."""
    manager.setblocking(False)
    found = []
    while True:
        try:
            found.append(manager.recv(200).decode())
        except BlockingIOError:
            return found


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket and its address as systemd writes it (108 bytes at most)."""
    folder = tmp_path_factory.mktemp("n")
    address = str(folder / "notify") if request.param == "path" else f"@edge-lstm-test-{folder}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        found.settimeout(5)
        yield found, address


def test_notifier_says_what_happens(manager: tuple[socket.socket, str]) -> None:
    """Each word is one datagram; a status is sent when it changes."""
    found, address = manager
    notifier = Notifier(address)
    notifier.ready()
    notifier.status("waiting")
    notifier.status("waiting")
    notifier.alive()
    notifier.stopping()
    notifier.close()

    expected = ["READY=1", "STATUS=waiting", "WATCHDOG=1", "STOPPING=1"]
    assert expected == [found.recv(100).decode() for _ in expected]


def test_notifier_takes_the_variables_out() -> None:
    """Programs that we start must not speak for us."""
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "HOME": "/"}
    notifier = Notifier.from_environment(environ, pid=7)
    notifier.close()

    assert {"HOME": "/"} == environ
    assert 30.0 == notifier.watchdog_s


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "8"}],
)
def test_notifier_without_a_watchdog(environ: dict[str, str]) -> None:
    """None is wanted, or it is another process's."""
    assert Notifier.from_environment(dict(environ), pid=7).watchdog_s is None


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "vsock:2:1234"}, {"NOTIFY_SOCKET": ""}])
def test_notifier_is_silent_elsewhere(environ: dict[str, str]) -> None:
    """Without a service manager, nothing happens."""
    notifier = Notifier.from_environment(dict(environ))
    notifier.ready()
    notifier.status("here")
    notifier.close()


def test_notifier_survives_a_manager_that_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A socket that nobody reads is a line in the log, not the end."""
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready()
    notifier.close()

    assert 'systemd.not_told text="READY=1"' in caplog.text


def test_notifier_reload_names_its_time(manager: tuple[socket.socket, str]) -> None:
    """RELOADING and the time are one datagram (sd_notify(3)), and READY ends it."""
    found, address = manager
    notifier = Notifier(address)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    notifier.ready()
    notifier.close()

    first, second = heard(found)
    words = dict(line.split("=") for line in first.splitlines())
    assert {"RELOADING", "MONOTONIC_USEC"} == set(words)
    assert before <= int(words["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert "READY=1" == second


def test_notifier_progress_is_not_told_every_time(manager: tuple[socket.socket, str]) -> None:
    """A recovery may say it after every block: one datagram a quarter of the time it asks for."""
    found, address = manager
    notifier = Notifier(address)
    for _ in range(1000):
        notifier.progress(600)
    notifier.close()

    assert ["EXTEND_TIMEOUT_USEC=600000000\nWATCHDOG=1"] == heard(found)


def test_watchdog_is_fed_while_all_works(manager: tuple[socket.socket, str]) -> None:
    """Three signs of life within systemd's time, whatever number of turns."""
    found, address = manager
    clock = ManualClock()
    with closing(Notifier(address, watchdog_s=30)) as notifier:
        dog = Watchdog(notifier, clock)
        for _ in range(120):
            dog.turn(transport_alive=True)
            clock.now_s += 0.25

    assert ["WATCHDOG=1"] * 3 == heard(found)
    assert 0.0 == dog.left_s()


@pytest.mark.parametrize(
    ("alive", "uncommitted_s", "paused", "fed"),
    [
        (True, 0.0, False, True),
        (True, 29.0, False, True),
        (True, 31.0, False, False),
        (True, 3100.0, True, True),
        (False, 0.0, False, False),
        (False, 0.0, True, False),
    ],
)
def test_watchdog_wants_transport_and_storage(
    manager: tuple[socket.socket, str],
    caplog: pytest.LogCaptureFixture,
    alive: bool,  # noqa: FBT001 - a column of the table
    uncommitted_s: float,
    paused: bool,  # noqa: FBT001
    fed: bool,  # noqa: FBT001
) -> None:
    """It goes hungry when the transport is dead or the storage hangs, and the log says why."""
    found, address = manager
    clock = ManualClock()
    with closing(Notifier(address, watchdog_s=30)) as notifier:
        dog = Watchdog(notifier, clock)
        for _ in range(3):
            dog.turn(transport_alive=alive, uncommitted_s=uncommitted_s, paused=paused)
            clock.now_s += 10

    assert (["WATCHDOG=1"] * 3 if fed else []) == heard(found)
    assert (0 if fed else 1) == caplog.text.count("watchdog.withheld")


def test_watchdog_that_nobody_wants() -> None:
    """Without systemd's time there is nothing to feed."""
    dog = Watchdog(Notifier(), ManualClock())
    dog.turn(transport_alive=False)

    assert float("inf") == dog.left_s()
