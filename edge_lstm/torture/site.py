"""One daemon under torture: its folder, its configuration, its process."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from edge_lstm.errors import TortureError
from edge_lstm.torture.lying_clock import LyingClock
from edge_lstm.torture.truth import ALARM, Tier

__all__ = ["Site"]

_STOP_S = 20.0
_EXEC_EVERY = 16
"""One start in so many is by exec, imports and all; the others are forked from a process that has
imported everything, so that kills meet the daemon at work and not at its imports."""


class _Process(Protocol):
    @property
    def pid(self) -> int | None: ...
    def ended(self, timeout_s: float) -> int | None: ...


class _Forked:
    """From the fork server of `multiprocessing`."""

    def __init__(self, argv: list[str], environ: dict[str, str], log: Path) -> None:
        from edge_lstm.torture.daemon import child  # noqa: PLC0415 - the fork server imports it first

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["edge_lstm.torture.daemon"])
        self._process = context.Process(target=child, args=(argv, environ, str(log)), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def ended(self, timeout_s: float) -> int | None:
        self._process.join(timeout_s)
        return self._process.exitcode


class _Executed:
    """A program of its own."""

    def __init__(self, argv: list[str], environ: dict[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "edge_lstm.torture.daemon", *argv]
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                command, stdout=file, stderr=file, env={**os.environ, **environ}, start_new_session=True
            )

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def ended(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


class Site:
    """Starts, kills and stops one daemon.

    Args:
        folder: For configuration and log.
        node: Its name; topics, states and client id follow from it.
        port: Where it believes the broker is.
        tier: What readings carry.
        state: Its state folder; ``None`` is one in ``folder``.
        bundle: A real bundle; ``None`` is the witness.
        weakness: What of `edge_lstm.torture.weaken` to leave out; ``None`` is nothing.

    Attributes:
        topic: Topic of the readings, with ``{asset}``.
        state: Its state folder.
        starts: How often it was started.
        faults: Ends that nobody asked for, one line each.
    """

    def __init__(
        self,
        folder: Path,
        node: str,
        port: int,
        *,
        tier: Tier,
        state: Path | None = None,
        bundle: Path | None = None,
        weakness: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.node, self.tier = folder, node, tier
        self.state = state or folder / "state"
        self.topic = f"torture/{node}/{{asset}}"
        self.starts, self.faults = 0, list[str]()
        self._port, self._bundle, self._weakness = port, bundle, weakness
        self._process: _Process | None = None
        self._clock: LyingClock | None = None
        self.log = folder / "log"

    def write_config(self) -> None:
        """Write the configuration; JSON is YAML."""
        source: dict[str, Any] = {"topic": self.topic}
        if self.tier != "bare":
            source |= {"time_field": "time", "time_format": "ms"}
        if self.tier == "seq":
            source |= {"seq_field": "seq"}
        config = {
            "node": self.node,
            "bundle": str(self._bundle or "witness"),
            "state_dir": str(self.state),
            "mqtt": {"port": self._port, "keepalive_s": 5},
            "inputs": [source],
            "alarm": {"update_every_s": ALARM.update_every_s},
            "publish": {"score_interval_s": 3600, "quality": False},
            "log_level": "info",
        }
        (self.folder / "edge-lstm.yaml").write_text(json.dumps(config, indent=1), "utf-8")

    def start(self, *, crash_at: str | None = None) -> None:
        """Start it; returns at once.

        Args:
            crash_at: Where it is to end itself, see `edge_lstm.io.crash`.
        """
        self.write_config()
        argv = [str(self.folder / "edge-lstm.yaml")]
        argv += ["--weaken", self._weakness] if self._weakness else []
        argv += ["--real"] if self._bundle else []
        argv += ["--clock", str(self._clock.path)] if self._clock else []
        environ = {"EDGE_LSTM_CRASH_AT": crash_at} if crash_at else {}
        executed = self.starts % _EXEC_EVERY == _EXEC_EVERY - 1
        self._process = (_Executed if executed else _Forked)(argv, environ, self.log)
        self.starts += 1

    def set_clock(self, off_s: float) -> None:
        """Let the machine's clock be off by so many seconds; to be called before the first start too."""
        if self._clock is None:
            self._clock = LyingClock(self.folder / "clock")
        self._clock.set(off_s)

    def ended(self, timeout_s: float = 0.0) -> int | None:
        """Its exit code, once it has ended."""
        return None if self._process is None else self._process.ended(timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return None if self._process is None else self._process.pid

    def kill(self, *, may_have_ended: bool = False) -> None:
        """SIGKILL; that it had ended before is a fault, unless it may have."""
        code = self.ended()
        if code is not None:
            self._process = None
            if may_have_ended:
                return
            self.faults.append(f"{self.node} had ended by itself with {code}: {self.last_words()}")
            return
        self.signal(signal.SIGKILL)
        self._gone()

    def crashed(self, timeout_s: float) -> bool:
        """Whether it came to its crash point within some seconds; it is gone afterwards in any case."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if (code := self.ended(0.01)) is not None:
                self._process = None
                return code in (137, -9)
        return False

    def stop(self) -> None:
        """SIGTERM, and wait until it has saved.

        Raises:
            TortureError: It does not end, or not with 0.
        """
        self.signal(signal.SIGTERM)
        code = self.ended(_STOP_S)
        if code is None:
            self.signal(signal.SIGKILL)
        self._gone()
        if code:
            self.faults.append(f"{self.node} ended with {code} after SIGTERM: {self.last_words()}")

    def _gone(self) -> None:
        if self._process is not None and self._process.ended(_STOP_S) is None:
            raise TortureError(f"the daemon {self._process.pid} does not go away")
        self._process = None

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return lines[-1] if lines else "nothing in its log"
