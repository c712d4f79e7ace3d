"""A Mosquitto of the harness's own, on a free loopback port, with the settings of the guide."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from edge_lstm.errors import TortureError
from edge_lstm.torture.wire import wait_for_port

__all__ = ["DOCUMENTED", "STANDARD", "STEADY", "Broker", "find_mosquitto", "mosquitto_version"]

_ROOM = ("max_queued_messages 100000", "max_inflight_messages 1000", "persistent_client_expiration 7d")

DOCUMENTED = ("persistence true", "autosave_on_changes true", "autosave_interval 1", *_ROOM)
"""The most careful that docs/howto-mosquitto.md knows: all that is kept is written at every second change."""

STEADY = ("persistence false", *_ROOM)
"""For nemeses that leave the broker alone; fifteen times as fast as `DOCUMENTED` on a disk."""

STANDARD = ("persistence true",)
"""As Mosquitto comes: what it keeps is written every half hour, and a crash takes all since then."""

_START_S = 10.0


def find_mosquitto() -> str:
    """Path of the program.

    Raises:
        TortureError: It is not installed.
    """
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise TortureError("there is no mosquitto on the PATH", do="install it: apt install mosquitto")
    return program


def mosquitto_version() -> str:
    """What the program says of itself, ``2.0.11`` for example."""
    done = subprocess.run([find_mosquitto(), "-h"], capture_output=True, text=True, check=False)  # noqa: S603 - found on the PATH
    return done.stdout.split("\n", 1)[0].removeprefix("mosquitto version ").strip()


class Broker:
    """One broker; killed and started again at will, on the same port.

    Args:
        folder: For its configuration, log and what it keeps.
        settings: Lines of its configuration about keeping messages.
    """

    def __init__(self, folder: Path, settings: Sequence[str] = STEADY) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        # Started by root it would give root up, and could then not write to our folder.
        user = ["user root"] if os.geteuid() == 0 else []
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", *user, *settings]
        lines += [f"persistence_location {folder}/", "log_dest stderr", "log_type error", ""]
        (folder / "mosquitto.conf").write_text("\n".join(lines), "utf-8")

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            TortureError: It does not.
        """
        with (self._folder / "log").open("ab") as log:
            command = [find_mosquitto(), "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - found on the PATH
        if not wait_for_port(self.port, _START_S):
            raise TortureError(f"mosquitto does not start; see {self._folder / 'log'}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_S)
            self._process = None

    def crash(self) -> None:
        """Kill it with SIGKILL and start it again."""
        self.end(signal.SIGKILL)
        self.start()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.end()
