"""The service that runs on a device: a systemd unit, or a stand-in where systemd does not run.

Why the unit is as it is: configs/systemd/README.md. The unit there is the one for the
default prefix and a broker on the same machine, and a test holds it against this module::

    python -m firmware_tools.service > configs/systemd/edge-lstm.service
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from edge_lstm.addresses import parse_address
from edge_lstm.contracts.config import CREDENTIAL, DeviceConfig, MetricsConfig

__all__ = [
    "CREDENTIALS",
    "DEFAULT_PREFIX",
    "MEMORY_ENVIRONMENT",
    "UNIT",
    "ServiceSpec",
    "check_prefix",
    "hidden_place",
    "service_spec",
    "stand_in_text",
    "unit_text",
]

UNIT = "edge-lstm.service"
DEFAULT_PREFIX = "/opt/edge-lstm"
CREDENTIALS = f"/run/credentials/{UNIT}"
"""Where systemd puts the files of ``LoadCredential`` for this unit, readable by its user alone."""

_PREFIX = re.compile(r"(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+")
# ProtectHome, PrivateTmp and the kernel's own trees: the service could not see a runtime there.
_HIDDEN = ("/home", "/root", "/run", "/tmp", "/var/tmp", "/proc", "/sys", "/dev")  # noqa: S108 - named to refuse
MEMORY_ENVIRONMENT = {
    # One stream is one small matrix at a time: a pool of threads would only cost memory and tasks.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # mallopt(3): a fixed threshold; glibc would raise it, and checkpoints tear holes into the heap.
    "MALLOC_MMAP_THRESHOLD_": "524288",
}
"""What keeps the daemon's memory small and level, bytes where a size."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What differs from one device's unit to another's.

    Attributes:
        prefix: Folder of the installation on the device.
        broker: Name or address of the broker.
        secrets: Names of the files in ``<prefix>/secrets`` that the configuration uses.
        metrics: Who may ask for metrics: nobody, this machine or anybody.
    """

    prefix: str = DEFAULT_PREFIX
    broker: str = "127.0.0.1"
    secrets: tuple[str, ...] = ()
    metrics: Literal["off", "local", "remote"] = "off"

    @property
    def config(self) -> str:
        """The configuration on the device."""
        return f"{self.prefix}/edge-lstm.yaml"

    @property
    def command(self) -> tuple[str, ...]:
        """What is run."""
        return (f"{self.prefix}/runtime/bin/edge-lstm", "run", "--config", self.config)

    def environment(self, *, state_dir: str) -> dict[str, str]:
        """What it is run with.

        The folder for the states is a fact of the service, which makes it, so it stands
        over what a configuration written elsewhere may say.
        """
        return {
            "EDGE_LSTM__STATE_DIR": state_dir,
            **MEMORY_ENVIRONMENT,
            "PYTHONNOUSERSITE": "1",
        }


def service_spec(prefix: str, config: DeviceConfig) -> ServiceSpec:
    """The service for a configuration."""
    tls = config.mqtt.tls
    files = [config.mqtt.password_file, *((tls.ca_file, tls.cert_file, tls.key_file) if tls else ())]
    said = [file for file in files if file is not None]
    paths = [PurePosixPath(file) for file in said]
    secrets = {path.name for path in paths if path.parent == PurePosixPath(CREDENTIALS)}
    secrets |= {file.removeprefix(CREDENTIAL) for file in said if file.startswith(CREDENTIAL)}
    return ServiceSpec(prefix, config.mqtt.host, tuple(sorted(secrets)), _askers(config.metrics))


def _askers(metrics: MetricsConfig) -> Literal["off", "local", "remote"]:
    if metrics.listen is None:
        return "off"
    return "local" if parse_address(metrics.listen)[0].is_loopback else "remote"


def check_prefix(prefix: str, *, systemd: bool) -> str | None:
    """Why a folder cannot be the prefix, or ``None`` when it can."""
    if not _PREFIX.fullmatch(prefix) or ".." in prefix.split("/"):
        return "it must be an absolute path of letters, digits and . _ + - without .."
    return hidden_place(prefix) if systemd else None


def hidden_place(path: str) -> str | None:
    """Why the hardened service cannot use what is at a path, or ``None`` when it can."""
    hidden = next((place for place in _HIDDEN if f"{path}/".startswith(f"{place}/")), None)
    return None if hidden is None else f"the hardened service cannot see {hidden}"


def unit_text(spec: ServiceSpec) -> str:
    """The systemd unit."""
    values = spec.environment(state_dir="/var/lib/edge-lstm")
    environment = "\n".join(f"Environment={name}={value}" for name, value in values.items())
    secrets = "".join(f"LoadCredential={name}:{spec.prefix}/secrets/{name}\n" for name in spec.secrets)
    return _UNIT.format(
        command=" ".join(spec.command),
        environment=environment,
        secrets=secrets,
        network=_network(spec),
    )


def _network(spec: ServiceSpec) -> str:
    """Which addresses the service may talk to: the broker's, where it can be known beforehand."""
    if spec.metrics == "remote":
        return (
            "# No IPAddressAllow: metrics.listen lets other machines ask, and who they are is not known here."
        )
    try:
        address = ipaddress.ip_address("127.0.0.1" if spec.broker == "localhost" else spec.broker)
    except ValueError:
        return f"# No IPAddressAllow: the address of '{spec.broker}' is known only when it is looked up."
    allowed = ["localhost"] if address.is_loopback else [str(address)]
    if spec.metrics == "local" and "localhost" not in allowed:
        allowed.append("localhost")
    return f"IPAddressDeny=any\nIPAddressAllow={' '.join(allowed)}"


def stand_in_text(spec: ServiceSpec) -> str:
    """A shell script that runs the unit's command with the unit's environment."""
    environment = spec.environment(state_dir=f"{spec.prefix}/state")
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    return "\n".join(
        [
            "#!/bin/sh",
            f"# Stands in for {UNIT} where systemd does not run. Written by 'edge-lstm deploy'.",
            "umask 077",
            *lines,
            f"exec {shlex.join(spec.command)}",
            "",
        ]
    )


_UNIT = """\
# Written by 'edge-lstm deploy'; own additions go into a drop-in: systemctl edit edge-lstm
[Unit]
Description=edge-lstm, anomaly detection over MQTT
# An order only, and not network-online: a board that is cut off must still start. It connects by itself.
After=network.target time-sync.target
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
{environment}
ExecReload=/bin/kill -HUP $MAINPID
{secrets}Restart=always
RestartSec=1
RestartPreventExitStatus=75
WatchdogSec=30
TimeoutStartSec=120
TimeoutStopSec=30

# Who it is and where it may write
DynamicUser=yes
User=edge-lstm
StateDirectory=edge-lstm
StateDirectoryMode=0700
RuntimeDirectory=edge-lstm
RuntimeDirectoryMode=0700
UMask=0077

# What it sees of the file system
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
DevicePolicy=closed
ProtectProc=invisible
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectClock=yes
ProtectHostname=yes
RemoveIPC=yes

# What it may ask the kernel for
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @obsolete
SystemCallErrorNumber=EPERM

# Whom it talks to; 'edge-lstm deploy --broker' keeps this in step with the configuration
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
{network}

# What it may use up
MemoryMax=256M
TasksMax=32
LimitNOFILE=1024

[Install]
WantedBy=multi-user.target
"""

if __name__ == "__main__":
    sys.stdout.write(unit_text(ServiceSpec()))
