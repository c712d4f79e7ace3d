"""One daemon under torture: its folder, its configuration, its process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from edge_lstm.config import load_config
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.errors import TortureError
from edge_lstm.torture.lying_clock import LyingClock
from edge_lstm.torture.process import Forks, Process, execute
from edge_lstm.torture.truth import Tier

__all__ = ["Site"]

_STOP_S = 30.0
_NEVER_S = 1e9
"""Alerts are updated with a worse score only: times of arrival must not decide about them here."""
_EXEC_EVERY = 16
"""One start in so many is by exec, imports and all; the others are forked from a process that has
imported everything, so that kills meet the daemon at work and not at its imports."""
_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"mqtt": {"client": "paho"}},
    {"mqtt": {"inflight": 20}},
    {"resident_assets": 6},
    {"mqtt": {"protocol": "3.1.1"}},
)
"""Both clients, both protocols, a wide window, and streams that go to the disk and come back."""


class Site:
    """Starts, kills and stops one daemon.

    Args:
        folder: For configuration and log.
        node: Its name; topics, states and client id follow from it.
        port: Where it believes the broker is.
        forks: Makes the process.
        tier: What readings carry.
        state: Its state folder; ``None`` is one in ``folder``.
        bundle: A real bundle; ``None`` is the witness.
        weakness: What of `edge_lstm.torture.weaken` to leave out; ``None`` is nothing.
        quiet: Whether no reading is alarming.
        variant: Which of some settings that must make no difference.

    Attributes:
        topic: Topic of the readings, with ``{asset}``.
        state: Its state folder.
        starts: How often it was started.
        faults: Ends that nobody asked for, one line each.
    """

    def __init__(  # noqa: PLR0913 - a daemon's place, name and settings
        self,
        folder: Path,
        node: str,
        port: int,
        *,
        forks: Forks,
        tier: Tier,
        state: Path | None = None,
        bundle: Path | None = None,
        weakness: str | None = None,
        quiet: bool = False,
        variant: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.node, self.tier = folder, node, tier
        self.state = state or folder / "state"
        self.topic = f"torture/{node}/{{asset}}"
        self.starts, self.faults = 0, list[str]()
        self._port, self._bundle, self._weakness = port, bundle, weakness
        self._forks, self._quiet, self._variant = forks, quiet, variant
        self._process: Process | None = None
        self._clock: LyingClock | None = None
        self.log = folder / "log"
        self._file = folder / "edge-lstm.yaml"
        self._write_config()

    def config(self) -> DeviceConfig:
        """The configuration, read as the daemon reads it."""
        return load_config(self._file, environ={})

    def _write_config(self) -> None:
        """JSON is YAML."""
        source: dict[str, Any] = {"topic": self.topic}
        if self.tier != "bare":
            source |= {"time_field": "time", "time_format": "ms"}
        if self.tier == "seq":
            source |= {"seq_field": "seq"}
        variant = _VARIANTS[self._variant % len(_VARIANTS)]
        config = {
            "node": self.node,
            "bundle": str(self._bundle or "witness"),
            "state_dir": str(self.state),
            "mqtt": {"port": self._port, "keepalive_s": 5, **variant.get("mqtt", {})},
            "inputs": [source],
            "alarm": {"update_every_s": _NEVER_S, "threshold": 1e9 if self._quiet else None},
            "publish": {"score_interval_s": 3600, "quality": False},
            "log_level": "info",
            "resident_assets": variant.get("resident_assets", 10_000),
        }
        self._file.write_text(json.dumps(config, indent=1), "utf-8")

    def start(self, *, crash_at: str | None = None) -> None:
        """Start it; returns at once.

        Args:
            crash_at: Where it is to end itself, see `edge_lstm.io.crash`.
        """
        argv = [str(self._file)]
        argv += ["--weaken", self._weakness] if self._weakness else []
        argv += ["--real"] if self._bundle else []
        argv += ["--clock", str(self._clock.path)] if self._clock else []
        environ = {"EDGE_LSTM_CRASH_AT": crash_at} if crash_at else {}
        if crash_at or self.starts % _EXEC_EVERY == _EXEC_EVERY - 1:
            self._process = execute(argv, environ, self.log)
        else:
            self._process = self._forks.start(argv, self.log)
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
        """Send it a signal; that it has just ended is no fault of this."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
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

    def stop(self) -> None:
        """SIGTERM, and wait until it has saved; that it does not, or ends with anything but 0, is a fault.

        Raises:
            TortureError: SIGKILL does not end it either.
        """
        self.signal(signal.SIGTERM)
        code = self.ended(_STOP_S)
        if code is None:
            self.faults.append(
                f"{self.node} did not end within {_STOP_S:g} s of SIGTERM: {self.last_words()}"
            )
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
