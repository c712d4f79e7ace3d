"""Wait until a daemon on this machine says over MQTT that it runs a bundle; for ``edge-lstm deploy``.

It runs on the device, with the device's configuration, because the machine that deploys
need not be able to reach the broker::

    python -m edge_lstm.wait_health --config edge-lstm.yaml --sha256 DIGEST --pid 123 --timeout 90

A retained health message may be from an earlier daemon, so it counts only when it names
the process and was written after that process began: pids are given out anew.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_lstm.config import load_config
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.errors import BrokerError, DeployError, OperatorError
from edge_lstm.io.health import Health
from edge_lstm.io.listen import listen
from edge_lstm.io.settings import mqtt_settings
from edge_lstm.times import NS, parse_time

__all__ = ["main", "process_start_ns", "wait_health"]

_SLACK_NS = 2 * NS
"""The kernel tells the time of boot in whole seconds, and so the start of a process."""


def process_start_ns(pid: int, *, proc: Path = Path("/proc")) -> int | None:
    """When a process began, nanoseconds since 1970-01-01 UTC, or ``None`` when there is none."""
    try:
        stat = (proc / str(pid) / "stat").read_text("ascii", "replace")
        boot = next(
            line for line in (proc / "stat").read_text("ascii").splitlines() if line.startswith("btime ")
        )
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name in brackets may have blanks in it
    if state == "Z":
        return None
    ticks = int(rest[18])  # proc(5): field 22, starttime
    return int(boot.split()[1]) * NS + ticks * NS // os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class _Wanted:
    """Which health message is waited for, and what came instead."""

    sha256: str
    pid: int
    started_ns: int
    found: Health | None = None
    others: list[str] = field(default_factory=list)

    def take(self, payload: bytes, _retained: bool) -> bool:  # noqa: FBT001 - a callback
        """Whether this is the one."""
        try:
            health = msgspec.json.decode(payload, type=Health)
            why = self._why_not(health)
        except (msgspec.DecodeError, ValueError) as error:
            why = f"a message that is not a health message ({error})"
        else:
            self.found = health if why is None else None
        if why is not None:
            self.others.append(why)
        return why is None

    def _why_not(self, health: Health) -> str | None:
        if health.pid != self.pid or parse_time(health.time) < self.started_ns - _SLACK_NS:
            return f"a message of another process (pid {health.pid}, {health.time})"
        if health.model.sha256 != self.sha256:
            return f"it runs bundle {health.model.sha256[:16]}, not {self.sha256[:16]}"
        return "it is still starting" if health.status == "starting" else None


def wait_health(config: DeviceConfig, *, sha256: str, pid: int, timeout_s: float) -> Health:
    """Wait for the health message of a process that runs a bundle.

    Args:
        config: The device's configuration.
        sha256: Digest of the bundle, hexadecimal.
        pid: The process.
        timeout_s: Longest wait, seconds.

    Raises:
        BrokerError: The broker cannot be reached or refuses us.
        ConfigError: A file that the configuration names cannot be used.
        DeployError: The process has ended, or says something else.
    """
    end = time.monotonic() + timeout_s
    started_ns = process_start_ns(pid)
    if started_ns is None:
        raise DeployError(f"the daemon (pid {pid}) has ended")
    wanted = _Wanted(sha256, pid, started_ns)
    problem = listen(
        mqtt_settings(config),
        f"{config.root}/health",
        client_id=f"{config.client_id}-wait-{os.getpid()}",
        end=end,
        take=wanted.take,
        goes_on=lambda: process_start_ns(pid) is not None,
    )
    if wanted.found is not None:
        return wanted.found
    if process_start_ns(pid) is None:
        raise DeployError(f"the daemon (pid {pid}) has ended")
    if problem:
        raise BrokerError(f"nothing heard within {timeout_s:g} s", got=problem, do="check mqtt in the config")
    got = wanted.others[-1] if wanted.others else f"nothing on {config.root}/health"
    raise DeployError(f"no good health message within {timeout_s:g} s", got=got)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line: the health message as one line of JSON.

    Returns:
        0 it runs, 1 it does not (one line on standard error).
    """
    parser = argparse.ArgumentParser(prog="python -m edge_lstm.wait_health", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--check", action="store_true", help="only read the configuration")
    parser.add_argument("--sha256", default="")
    parser.add_argument("--pid", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=90.0)
    options = parser.parse_args(argv)
    try:
        config = load_config(options.config, environ=os.environ)
        if not options.check:
            health = wait_health(config, sha256=options.sha256, pid=options.pid, timeout_s=options.timeout)
            sys.stdout.write(f"{msgspec.json.encode(health).decode()}\n")
    except OperatorError as error:
        sys.stderr.write(f"edge-lstm: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
