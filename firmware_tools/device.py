"""A device, seen through its shell: what it has, and the single changes a deployment is made of."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_lstm.errors import DeployError
from firmware_tools import scripts
from firmware_tools.hosts import Host, Result
from firmware_tools.plan import Facts, Links, Mode, State
from firmware_tools.runtime import Runtime
from firmware_tools.service import CREDENTIALS, UNIT, ServiceSpec, stand_in_text, unit_text

__all__ = ["Device", "Running", "read_facts"]

INSTALL_S = 3600.0
"""pip on a small board, with packages that it must build."""
LOG_LINES = 12


class _Model(msgspec.Struct):
    id: str
    version: str
    sha256: str


class Running(msgspec.Struct):
    """What a daemon says of itself; the part of its health message that is shown.

    Attributes:
        node: Name of the device.
        pid: The process.
        status: ``ok`` or ``degraded``.
        problems: What is wrong, one line each.
        backend: What runs the model.
        model: Which model.
    """

    node: str
    pid: int
    status: str
    problems: list[str]
    backend: str
    model: _Model

    def text(self) -> str:
        """One line for people."""
        model = f"{self.model.id} {self.model.version} (sha256 {self.model.sha256[:16]})"
        wrong = f": {'; '.join(self.problems)}" if self.problems else ""
        status = f"status {self.status}{wrong}"
        return f"{model} on node {self.node}, backend {self.backend}, {status}, pid {self.pid}"


def read_facts(host: Host, *, prefix: str, python: str) -> Facts:
    """What the machine is.

    Raises:
        DeployError: It cannot be asked.
    """
    said = host.do("look around", scripts.FACTS, prefix, python, f"/etc/systemd/system/{UNIT}", timeout_s=60)
    found = _pairs(said)
    flags = ("root", "sudo", "systemd", "unit", "stand_in", "venv", "writable")
    return Facts(
        system=found.get("system", ""),
        hostname=found.get("hostname", ""),
        python=found.get("python", ""),
        python_home=found.get("python_home", ""),
        free_mib=int(found.get("free_mib") or 0),
        missing=tuple(line.partition("=")[2] for line in said.splitlines() if line.startswith("missing=")),
        **{flag: found.get(flag) == "yes" for flag in flags},
    )


def _pairs(text: str) -> dict[str, str]:
    return {key: value for key, sign, value in (line.partition("=") for line in text.splitlines()) if sign}


def _decoded(found: dict[str, str], key: str) -> str | None:
    return base64.b64decode(found[key]).decode("utf-8", "replace") if key in found else None


@dataclass(frozen=True, slots=True)
class Device:
    """An installation on a host.

    Attributes:
        host: The machine.
        prefix: Folder of the installation.
        mode: How the daemon is run.
    """

    host: Host
    prefix: str
    mode: Mode

    @property
    def service_path(self) -> str:
        """Where the unit, or the stand-in, is."""
        return f"/etc/systemd/system/{UNIT}" if self.mode == "systemd" else f"{self.prefix}/run/start"

    def service_text(self, spec: ServiceSpec) -> str:
        """Text of the unit, or of the stand-in."""
        return unit_text(spec) if self.mode == "systemd" else stand_in_text(spec)

    def state(self, *, bundle: str = "", sha256: str = "", runtime: str = "") -> State:
        """What is installed.

        Args:
            bundle: File name of the wanted bundle.
            sha256: Its digest.
            runtime: Folder name of the wanted runtime.
        """
        args = (self.prefix, bundle, sha256, runtime, self.service_path)
        found = _pairs(self.host.do("read what is installed", scripts.STATE, *args))
        pending = Links(found["pending"], found.get("pending_runtime", "")) if "pending" in found else None
        return State(
            current=Links(found.get("current", ""), found.get("runtime", "")),
            previous=Links(found.get("previous", ""), found.get("previous_runtime", "")),
            pending=pending,
            runtime_ready="runtime_ready" in found,
            bundle_ready="bundle_ready" in found,
            config=_decoded(found, "config"),
            service=_decoded(found, "service"),
            pid=self.pid(),
        )

    def pid(self) -> int:
        """The running daemon, or 0."""
        script = scripts.SYSTEMD_PID if self.mode == "systemd" else scripts.PROCESS_PID
        said = self.host.do("ask for the service", script, self.prefix).strip()
        return int(said) if said.isdecimal() else 0

    def install(self, runtime: Runtime, name: str, *, python: str) -> None:
        """Make a virtual environment with the runtime in it.

        Raises:
            DeployError: pip fails.
        """
        requirement = runtime.requirement
        if runtime.wheel is not None:
            requirement = f"{self.prefix}/wheels/{runtime.requirement}"
            self.upload(runtime.wheel, requirement, sha256=runtime.sha256)
        args = (self.prefix, name, python, requirement)
        self.host.do("install the runtime", scripts.INSTALL, *args, timeout_s=INSTALL_S)

    def upload(self, content: bytes | Path, path: str, *, sha256: str = "", mode: str = "0644") -> None:
        """Put a file there: whole and right, or not at all.

        Raises:
            DeployError: It did not arrive as it was.
        """
        if isinstance(content, bytes):
            sha256 = hashlib.sha256(content).hexdigest()
        self.host.do(f"copy to {path}", scripts.UPLOAD, path, sha256, mode, stdin=content, timeout_s=900)

    def check_secrets(self, spec: ServiceSpec) -> None:
        """Whether the files are there that the configuration takes from systemd's credentials.

        Raises:
            DeployError: One is not; the service would not start.
        """
        if not spec.secrets:
            return
        if self.mode == "process":
            do = "name files elsewhere in the configuration"
            raise DeployError(f"{CREDENTIALS} is made by systemd, which does not run the service here", do=do)
        result = self.host.run(scripts.SECRETS, self.prefix, *spec.secrets)
        if result.code != 0:
            path = f"{self.prefix}/secrets/{result.reason}"
            do = f"put it there: sudo install -D -m 600 /dev/stdin {path}"
            raise DeployError(f"the configuration needs {path} on {self.host.name}", do=do)

    def put_service(self, text: str) -> None:
        """Lay the unit, or the stand-in, ready beside its place."""
        mode = "0644" if self.mode == "systemd" else "0755"
        self.upload(text.encode(), f"{self.service_path}.new", mode=mode)

    def check(self, links: Links, config: str) -> Result:
        """Replay the bundle's golden vectors and read the configuration, both with the new runtime."""
        bundle, runtime = Path(links.bundle).name, Path(links.runtime).name
        return self.host.run(scripts.CHECK, self.prefix, runtime, bundle, config, timeout_s=300)

    def drop(self, bundle: str) -> None:
        """Take away what was laid ready for a switch that does not come."""
        self.host.do("tidy up", scripts.DROP, self.prefix, bundle, self.service_path)

    def sha256(self, path: str) -> str:
        """Digest of a file there."""
        return self.host.do(f"read {path}", scripts.SUM, f"{self.prefix}/{path}").strip()

    def switch(self, links: Links) -> None:
        """Put bundle, runtime and what was laid ready into force; remembers what was."""
        self.host.do("switch", scripts.SWITCH, self.prefix, links.bundle, links.runtime, self.service_path)

    def restore(self, links: Links, previous: Links) -> None:
        """Put back what was, configuration and service included."""
        args = (links.bundle, links.runtime, previous.bundle, previous.runtime, self.service_path)
        self.host.do("switch back", scripts.RESTORE, self.prefix, *args)

    def done(self) -> None:
        """The deployment is finished: nothing to go back to by itself any more."""
        self.host.do("finish", scripts.DONE, self.prefix)

    def prune(self) -> list[str]:
        """Remove bundles and runtimes that nothing refers to, and say which."""
        return self.host.do("remove what is not used", scripts.PRUNE, self.prefix, timeout_s=300).split()

    def restart(self) -> int:
        """Stop the daemon, start it and return its process.

        Raises:
            DeployError: It does not start.
        """
        script = scripts.SYSTEMD_RESTART if self.mode == "systemd" else scripts.PROCESS_RESTART
        said = self.host.do("restart the service", script, self.prefix, timeout_s=240).strip()
        if not said.isdecimal() or said == "0":
            raise DeployError(f"the service does not run on {self.host.name}", got=said or "no pid")
        return int(said)

    def wait(self, sha256: str, pid: int, *, timeout_s: float) -> Running:
        """Wait until that process says over MQTT that it runs that bundle.

        Raises:
            DeployError: It does not.
        """
        result = self.host.run(
            scripts.HEALTH, self.prefix, sha256, str(pid), f"{timeout_s:g}", timeout_s=timeout_s + 60
        )
        if result.code != 0:
            raise DeployError(f"{self.host.name} does not report the bundle: {result.reason}")
        try:
            return msgspec.json.decode(result.out.strip().splitlines()[-1], type=Running)
        except (msgspec.DecodeError, IndexError) as error:
            raise self.host.failed("read the health message", result) from error

    def logs(self) -> list[str]:
        """The last lines that the service wrote."""
        script = scripts.SYSTEMD_LOGS if self.mode == "systemd" else scripts.PROCESS_LOGS
        return self.host.run(script, self.prefix, str(LOG_LINES)).out.splitlines()
