"""What a device has, what it should have, and so what is to be done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_lstm.errors import DeployError
from firmware_tools.service import UNIT, check_prefix, hidden_place

__all__ = [
    "Facts",
    "Links",
    "Mode",
    "State",
    "Step",
    "StepName",
    "Wanted",
    "check_facts",
    "check_runtime",
    "choose_mode",
    "make_plan",
]

Mode = Literal["systemd", "process"]
StepName = Literal["runtime", "bundle", "selftest", "config", "service", "switch", "restart"]

OLDEST, NEWEST = (3, 11), (3, 13)
RUNTIME_MIB = 500
"""Room for a runtime while it is installed: 120 MiB unpacked, the wheels beside it, and room to breathe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the machine is; nothing of it changes with a deployment.

    Attributes:
        system: Kernel and processor, ``Linux aarch64``.
        hostname: What it calls itself.
        root: Whether we are root there.
        sudo: Whether sudo works without a question.
        systemd: Whether systemd runs it.
        unit: Whether our systemd unit is there.
        stand_in: Whether our stand-in for the unit is there.
        python: Version of the Python asked for, ``3.11.2``, or the empty string.
        python_home: Where that Python lives.
        venv: Whether it can make virtual environments.
        free_mib: Free space at the prefix, MiB.
        writable: Whether we may write at the prefix without sudo.
        missing: Programs that are needed and not there.
    """

    system: str
    hostname: str
    root: bool
    sudo: bool
    systemd: bool
    unit: bool
    stand_in: bool
    python: str
    python_home: str
    venv: bool
    free_mib: int
    writable: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Links:
    """Which bundle and which runtime, as paths relative to the prefix; empty is none."""

    bundle: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is installed.

    Attributes:
        current: What is switched on.
        previous: What was switched on before.
        pending: What was switched on before a deployment that was not finished, or ``None``.
        runtime_ready: Whether the wanted runtime is installed.
        bundle_ready: Whether the wanted bundle is stored, and whole.
        config: Text of the configuration, or ``None``.
        service: Text of the unit or of the stand-in, or ``None``.
        pid: The running daemon, or 0.
    """

    current: Links = Links()
    previous: Links = Links()
    pending: Links | None = None
    runtime_ready: bool = False
    bundle_ready: bool = False
    config: str | None = None
    service: str | None = None
    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What should be installed.

    Attributes:
        links: Bundle and runtime.
        bundle: The bundle, for people.
        config: Text of the configuration.
        config_path: Where it goes.
        service: Text of the unit or of the stand-in.
        service_path: Where it goes.
    """

    links: Links
    bundle: str
    config: str
    config_path: str
    service: str
    service_path: str


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the wanted state.

    Attributes:
        name: Which part.
        needed: Whether something is to be done for it.
        detail: One line for people.
    """

    name: StepName
    needed: bool
    detail: str


def choose_mode(facts: Facts, asked: Literal["auto", "systemd", "process"]) -> Mode:
    """How the daemon is to be run: as it is run already, else by systemd where there is one.

    Raises:
        DeployError: What was asked for does not go with what is there.
    """
    if asked == "systemd" and not facts.systemd:
        raise DeployError("systemd does not run on the device", do="use --service process")
    if asked == "process" and facts.unit and facts.systemd:
        raise DeployError(
            f"{UNIT} is installed there already",
            do=f"use --service systemd, or first systemctl disable --now {UNIT} and remove its file",
        )
    if asked == "systemd" and facts.stand_in:
        raise DeployError(
            "the stand-in for the service is there already",
            do="use --service process, or stop it and remove PREFIX/run",
        )
    if asked != "auto":
        return asked
    return "systemd" if facts.systemd and not facts.stand_in else "process"


def check_facts(facts: Facts, *, mode: Mode, prefix: str) -> None:
    """Whether we can work there at all.

    Args:
        facts: What the machine is.
        mode: How the daemon is to be run.
        prefix: Folder of the installation.

    Raises:
        DeployError: The first reason why not.
    """
    if not facts.system.startswith("Linux"):
        raise DeployError("the device does not run Linux", got=facts.system)
    if (why := check_prefix(prefix, systemd=mode == "systemd")) is not None:
        raise DeployError(f"prefix {prefix} cannot be used: {why}", do="give another --prefix")
    if facts.missing:
        raise DeployError(f"{', '.join(facts.missing)} not found on the device", do="apt install util-linux")
    _check_rights(facts, mode, prefix)


def check_runtime(facts: Facts, *, mode: Mode, prefix: str, python: str) -> None:
    """Whether a runtime can be installed there.

    Args:
        facts: What the machine is.
        mode: How the daemon is to be run.
        prefix: Folder of the installation.
        python: The Python asked for.

    Raises:
        DeployError: The first reason why not.
    """
    _check_python(facts, mode, python)
    if facts.free_mib < RUNTIME_MIB:
        need, have = f"{RUNTIME_MIB} MiB", f"{facts.free_mib} MiB"
        do = "free some, or give a --prefix on a larger disk"
        raise DeployError(f"not enough space for the runtime at {prefix}", expected=need, got=have, do=do)


def _check_rights(facts: Facts, mode: Mode, prefix: str) -> None:
    if mode == "systemd" and not (facts.root or facts.sudo):
        raise DeployError(
            "no right to install a service: not root, and sudo asks for a password",
            do="log in as root, or allow sudo without a password for this user",
        )
    if mode == "process" and not facts.writable:
        raise DeployError(f"no right to write to {prefix}", do="use another --prefix, or another user")


def _check_python(facts: Facts, mode: Mode, python: str) -> None:
    span = f"Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    if not facts.python:
        do = "apt install python3, or name another: --python PATH"
        raise DeployError(f"there is no '{python}' on the device", expected=span, do=do)
    version = tuple(int(part) for part in facts.python.split(".")[:2])
    if not OLDEST <= version <= NEWEST:
        raise DeployError(
            f"'{python}' on the device has the wrong version",
            expected=span,
            got=facts.python,
            do="name another: --python PATH",
        )
    if not facts.venv:
        raise DeployError(f"'{python}' on the device has no venv module", do="apt install python3-venv")
    if mode == "systemd" and (why := hidden_place(facts.python_home)) is not None:
        raise DeployError(
            f"'{python}' cannot be used: {why}",
            got=facts.python_home,
            do="name another: --python /usr/bin/python3",
        )


def make_plan(wanted: Wanted, state: State) -> tuple[Step, ...]:
    """What is to be done, in order."""
    switch = state.current != wanted.links
    fresh = not (state.runtime_ready and state.bundle_ready)
    config, service = state.config != wanted.config, state.service != wanted.service
    restart = switch or config or service or state.pending is not None or state.pid == 0
    pair = f"{wanted.links.bundle} on {wanted.links.runtime}"
    return (
        Step("runtime", not state.runtime_ready, wanted.links.runtime),
        Step("bundle", not state.bundle_ready, wanted.bundle),
        Step("selftest", fresh or switch or config, "passed before, nothing new to test"),
        Step("config", config, wanted.config_path),
        Step("service", service, wanted.service_path),
        Step("switch", switch, pair),
        Step("restart", restart, _why(state, changed=switch or config or service)),
    )


def _why(state: State, *, changed: bool) -> str:
    """Why the daemon is restarted, or that it is not."""
    if state.pid == 0:
        return "the daemon does not run"
    if changed:
        return f"pid {state.pid} runs what was before"
    if state.pending is not None:
        return "an earlier deployment was not finished"
    return f"pid {state.pid} runs this"
