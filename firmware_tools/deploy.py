"""Bring a bundle to a device, prove that it runs, and go back by itself when it does not.

Everything that can fail without touching the running daemon comes first: the runtime is
installed beside the old one, the bundle copied and replayed on the device. Then one step
switches, and the daemon itself has to say over MQTT that it runs the new bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Literal

from edge_lstm.bundle import Bundle, open_bundle
from edge_lstm.errors import DeployError
from firmware_tools import scripts
from firmware_tools.device import Device, Running, read_facts
from firmware_tools.hosts import Host
from firmware_tools.plan import (
    Facts,
    Links,
    State,
    Step,
    StepName,
    Wanted,
    check_facts,
    check_runtime,
    choose_mode,
    make_plan,
)
from firmware_tools.runtime import Runtime
from firmware_tools.service import DEFAULT_PREFIX, service_spec
from firmware_tools.site import Site, check_config, site_text

__all__ = ["Report", "Settings", "deploy", "rollback"]

Report = Callable[[str, str, str], None]
"""Takes what was done (``ok``, ``changed``, ``would change``, …), to which part, and a line about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a deployment goes about it.

    Attributes:
        prefix: Folder of the installation on the device.
        service: How the daemon is run there.
        python: Python of the device that makes the runtime.
        timeout_s: Longest wait for the daemon's health message, seconds.
    """

    prefix: str = DEFAULT_PREFIX
    service: Literal["auto", "systemd", "process"] = "auto"
    python: str = "python3"
    timeout_s: float = 90.0


def deploy(
    bundle: Path,
    host: Host,
    *,
    runtime: Runtime,
    site: Site,
    settings: Settings,
    report: Report,
    dry_run: bool = False,
) -> Running | None:
    """Bring a device to the wanted state; changes nothing that is right already.

    Args:
        bundle: The bundle here.
        host: The device, connected.
        runtime: What is to be installed.
        site: What the operator says about the configuration.
        settings: How to go about it.
        report: Told of every part.
        dry_run: Only say what would change.

    Returns:
        What runs now, or ``None`` for a dry run.

    Raises:
        BundleError: The bundle is not sound.
        ConfigError: The configuration is not sound.
        DeployError: The device could not be brought there; what ran before runs again.
    """
    opened = open_bundle(bundle)
    device, facts = _meet(host, settings, report)
    lock = nullcontext() if dry_run else host.hold("begin", scripts.LOCK, device.prefix)
    with lock:
        job = _Job(device, facts, opened, runtime, site, settings, report)
        if not dry_run:
            return job.run()
        job.show()
        return None


def rollback(host: Host, *, settings: Settings, report: Report) -> Running:
    """Go back to the bundle and the runtime that ran before the last switch.

    Raises:
        DeployError: There is nothing to go back to, or it does not run.
    """
    device, _ = _meet(host, settings, report)
    with host.hold("begin", scripts.LOCK, device.prefix):
        state = device.state()
        if not state.previous.bundle or state.previous == state.current:
            raise DeployError(f"nothing to roll back to on {host.name}", do="deploy the bundle you want")
        sha256 = device.sha256(state.previous.bundle)
        device.switch(state.previous)
        report("changed", "switch", f"{state.previous.bundle} on {state.previous.runtime}")
        try:
            pid = device.restart()
            report("changed", "restart", f"pid {pid}")
            running = device.wait(sha256, pid, timeout_s=settings.timeout_s)
        except DeployError as error:
            _show_logs(device, report)
            raise DeployError(f"rolled back, but it does not run: {error}") from error
        device.done()
    report("running", "", running.text())
    return running


def _meet(host: Host, settings: Settings, report: Report) -> tuple[Device, Facts]:
    """Look at the machine and settle how things are done there."""
    facts = read_facts(host, prefix=settings.prefix, python=settings.python)
    mode = choose_mode(facts, settings.service)
    check_facts(facts, mode=mode, prefix=settings.prefix)
    host.elevated = mode == "systemd" and not facts.root
    report("ok", "host", f"{facts.hostname}, {facts.system}, {mode}{', sudo' if host.elevated else ''}")
    if mode == "process":
        report(
            "WARNING",
            "service",
            "runs as a plain process: nothing restarts it after a crash or a reboot, and nothing confines it"
            + ("" if settings.service == "process" else " (systemd does not run there)"),
        )
    return Device(host, settings.prefix, mode), facts


def _show_logs(device: Device, report: Report) -> None:
    for line in device.logs():
        report("log", "service", line)


@dataclass(slots=True)
class _Job:
    """One deployment, from what is there to what is wanted."""

    device: Device
    facts: Facts
    bundle: Bundle
    runtime: Runtime
    site: Site
    settings: Settings
    report: Report
    state: State = field(init=False)
    wanted: Wanted = field(init=False)
    steps: dict[StepName, Step] = field(init=False)

    def __post_init__(self) -> None:
        """Compare what is there with what is wanted."""
        python = ".".join(self.facts.python.split(".")[:2]) or "none"
        links = Links(f"bundles/{self.bundle.sha256[:16]}.elb", f"runtimes/{self.runtime.name}-py{python}")
        names = {"bundle": Path(links.bundle).name, "runtime": Path(links.runtime).name}
        self.state = self.device.state(sha256=self.bundle.sha256, **names)
        self.wanted = self._want(links)
        self.steps = {step.name: step for step in make_plan(self.wanted, self.state)}
        if not self.state.runtime_ready:
            device, python = self.device, self.settings.python
            check_runtime(self.facts, mode=device.mode, prefix=device.prefix, python=python)

    def _want(self, links: Links) -> Wanted:
        device, manifest = self.device, self.bundle.manifest
        bundle, path = f"{device.prefix}/current.elb", f"{device.prefix}/edge-lstm.yaml"
        text = site_text(self.site, existing=self.state.config, bundle=bundle, hostname=self.facts.hostname)
        spec = service_spec(device.prefix, check_config(text, source=f"{device.host.name}:{path}"))
        device.check_secrets(spec)
        return Wanted(
            links=links,
            bundle=f"{manifest.id} {manifest.version} (sha256 {self.bundle.sha256[:16]})",
            config=text,
            config_path=path,
            service=device.service_text(spec),
            service_path=device.service_path,
        )

    def show(self) -> None:
        """Say what would change, and change nothing."""
        for step in self.steps.values():
            tested = step.name == "selftest"
            verb = "would test" if tested else "would change"
            detail = "the bundle on the device" if tested and step.needed else step.detail
            self.report(verb if step.needed else "ok", step.name, detail)
        before = (self.state.config or "").splitlines()
        for line in unified_diff(before, self.wanted.config.splitlines(), n=0, lineterm=""):
            if not line.startswith(("---", "+++", "@@")):
                self.report("diff", "config", line)

    def run(self) -> Running:
        """Do what is to be done."""
        try:
            self._prepare()
        except DeployError:
            self._give_up()
            raise
        if self._switches:
            self.device.switch(self.wanted.links)
        for name in ("config", "service", "switch"):
            self._say(self.steps[name])
        running = self._start()
        if self._touched:
            self._finish()
        self.report("running", "", running.text())
        return running

    @property
    def _switches(self) -> bool:
        return any(self.steps[name].needed for name in ("config", "service", "switch"))

    @property
    def _touched(self) -> bool:
        return any(step.needed for step in self.steps.values())

    def _say(self, step: Step, detail: str | None = None) -> None:
        self.report("changed" if step.needed else "ok", step.name, detail or step.detail)

    def _prepare(self) -> None:
        """All that leaves the running daemon alone."""
        device, links, steps = self.device, self.wanted.links, self.steps
        if steps["runtime"].needed:
            self.report("", "runtime", f"installing {self.runtime.requirement}, some minutes …")
            device.install(self.runtime, Path(links.runtime).name, python=self.settings.python)
        self._say(steps["runtime"])
        if steps["bundle"].needed:
            device.upload(self.bundle.path, f"{device.prefix}/{links.bundle}", sha256=self.bundle.sha256)
        self._say(steps["bundle"])
        if steps["config"].needed:
            device.upload(self.wanted.config.encode(), f"{self.wanted.config_path}.new")
        if steps["service"].needed:
            device.put_service(self.wanted.service)
        tested = steps["selftest"]
        self.report("ok", "selftest", self._selftest() if tested.needed else tested.detail)

    def _selftest(self) -> str:
        """Whether this board computes what the build machine did; what runs now goes on meanwhile."""
        config = f"{self.wanted.config_path}{'.new' if self.steps['config'].needed else ''}"
        result = self.device.check(self.wanted.links, config)
        if result.code != 0:
            kept = f"refused; pid {self.state.pid} keeps running" if self.state.pid else "refused"
            name = self.device.host.name
            raise DeployError(f"selftest on {name} does not pass", got=result.reason, do=kept)
        return result.reason

    def _give_up(self) -> None:
        """Leave nothing behind of a bundle that was not switched to."""
        bundle = self.wanted.links.bundle
        linked = bundle in (self.state.current.bundle, self.state.previous.bundle)
        self.device.drop("" if linked or self.state.bundle_ready else bundle)

    def _start(self) -> Running:
        """Restart where it is needed, and hear from the daemon itself that it runs the bundle."""
        try:
            pid = self.device.restart() if self.steps["restart"].needed else self.state.pid
            self._say(self.steps["restart"], f"pid {pid}" if self.steps["restart"].needed else None)
            return self.device.wait(self.bundle.sha256, pid, timeout_s=self.settings.timeout_s)
        except DeployError as error:
            _show_logs(self.device, self.report)
            if not self._switches and self.state.pending is None:
                raise
            raise self._go_back(error) from error

    def _go_back(self, error: DeployError) -> DeployError:
        """Bring back what ran before; the error that says how that went."""
        before = self.state.pending or self.state.current
        if not before.bundle:
            return DeployError(f"{error}; nothing ran here before, so nothing can be brought back")
        self.report("WARNING", "switch", f"going back to {before.bundle} on {before.runtime}")
        try:
            sha256 = self.device.sha256(before.bundle)
            self.device.restore(before, self.state.previous)
            running = self.device.wait(sha256, self.device.restart(), timeout_s=self.settings.timeout_s)
        except DeployError as second:
            what = f"{error}; going back failed too: {second}"
            return DeployError(what, do="look at the log, then deploy again")
        self.report("running", "", running.text())
        return DeployError(f"{error}", do="rolled back: what ran before runs again")

    def _finish(self) -> None:
        self.device.done()
        for name in self.device.prune():
            self.report("removed", name.partition("/")[0], name)
