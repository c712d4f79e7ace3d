"""All checks, in the order in which a person would put things right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edge_lstm.config import load_config
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.doctor.board import memory, model, power, temperature
from edge_lstm.doctor.broker import broker, no_broker
from edge_lstm.doctor.capacity import capacity
from edge_lstm.doctor.clock import clock, rtc
from edge_lstm.doctor.edgetpu import edge_tpu
from edge_lstm.doctor.finding import Finding, fail, ok, warn
from edge_lstm.doctor.needs import Needs, fragment, needs
from edge_lstm.doctor.probe import probe
from edge_lstm.doctor.python import cpu, interpreter, libc, packages
from edge_lstm.doctor.runtimes import backends, interpreters
from edge_lstm.doctor.storage import storage
from edge_lstm.errors import ConfigError

__all__ = ["Plan", "examine", "passed", "plan"]

_STATE_DIR = Path("/var/lib/edge-lstm")


def examine(
    *,
    root: Path = Path("/"),
    bundle: Path | None = None,
    config: Path | None = None,
    environ: Mapping[str, str],
) -> list[Finding]:
    """Look at this board.

    Args:
        root: Where its files are; anything but ``/`` is a copy, of a Raspberry Pi for example.
        bundle: Golden vectors to replay; ``None`` is the configuration's bundle.
        config: The site's configuration, for the broker and the folder of the states.
        environ: Environment variables, which stand over the configuration.
    """
    found, site = ([], None) if config is None else _site(config, environ)
    if bundle is None and site is not None:
        bundle = Path(site.bundle)
    state_dir = Path(site.state_dir) if site is not None else _STATE_DIR
    return [
        interpreter(),
        packages(),
        libc(root),
        model(root),
        cpu(root),
        memory(root),
        temperature(root),
        power(root),
        *interpreters(),
        *backends(bundle, site.backend if site is not None else "auto"),
        *edge_tpu(root),
        *storage(root, state_dir),
        clock(root),
        rtc(root),
        *found,
        *([no_broker(given=config is not None)] if site is None else broker(site)),
    ]


class Plan(msgspec.Struct, frozen=True):
    """What a promise needs of the broker.

    Attributes:
        needs: Computed.
        findings: What the running broker shows of it.
        settings: As a part of ``mosquitto.conf``.
    """

    needs: Needs
    findings: list[Finding]
    settings: str


def plan(
    rate: float, outage_s: float, *, message_bytes: int, config: Path | None, environ: Mapping[str, str]
) -> Plan:
    """Compute what the broker must be set to, and measure what it is set to.

    Args:
        rate: Messages a second.
        outage_s: Longest outage, seconds.
        message_bytes: Payload and topic of a usual message, bytes.
        config: The site's configuration; without one nothing is measured.
        environ: Environment variables, which stand over the configuration.
    """
    _, site = ([], None) if config is None else _site(config, environ)
    if site is None:
        need = needs(rate, outage_s, message_bytes=message_bytes)
        return Plan(need, [], fragment(need, None))
    need = needs(
        rate,
        outage_s,
        commit_s=site.durability.commit_s,
        message_bytes=message_bytes,
        session_expiry_s=site.mqtt.session_expiry_s,
        payload_bytes=site.mqtt.max_payload_bytes,
    )
    found = probe(site, inflight=need.inflight, queued=need.queued_messages)
    findings = [*_window(need, site), *capacity(need, found, site)]
    return Plan(need, findings, fragment(need, site, version=found.mosquitto))


def _window(need: Needs, site: DeviceConfig) -> Iterator[Finding]:
    """Whether the daemon lets the broker send enough ahead: fewer is slower and wears the disk."""
    if site.mqtt.inflight >= need.inflight:
        yield ok("inflight", f"mqtt.inflight is {site.mqtt.inflight}, {need.inflight} are enough")
        return
    yield warn(
        "inflight",
        f"mqtt.inflight is {site.mqtt.inflight}: readings are written down in smaller groups than once in "
        f"{need.commit_s:g} s, which wears the disk",
        f"set mqtt.inflight to {need.inflight}",
    )


def _site(path: Path, environ: Mapping[str, str]) -> tuple[list[Finding], DeviceConfig | None]:
    """The configuration, or the first thing that is wrong with it."""
    try:
        site = load_config(path, environ=environ)
    except ConfigError as error:
        return [fail("config", str(error), _config_fix(error))], None
    return [ok("config", f"{path}: node '{site.node}'")], site


def _config_fix(error: ConfigError) -> str:
    if error.key is not None:
        return "put that key right; configs/edge-lstm.yaml explains all"
    if isinstance(error.__cause__, FileNotFoundError):
        return "give the path of a file that is there; configs/edge-lstm.yaml is one to begin with"
    return "put that file right; configs/edge-lstm.yaml explains all keys"


def passed(findings: list[Finding]) -> bool:
    """Whether nothing fails."""
    return all(finding.status != "fail" for finding in findings)
