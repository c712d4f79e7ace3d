"""Notifications, against real datagram sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_lstm.io.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket and its address as systemd writes it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edge-lstm-test-{tmp_path}"
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
