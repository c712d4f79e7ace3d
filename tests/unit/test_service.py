from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from edge_lstm.contracts.config import DeviceConfig, InputConfig, MetricsConfig, MqttConfig, TlsConfig
from firmware_tools.service import ServiceSpec, check_prefix, service_spec, stand_in_text, unit_text

ROOT = Path(__file__).parents[2]
CHECKED_IN = ROOT / "configs" / "systemd" / "edge-lstm.service"

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze: apt install systemd"
)


def config(mqtt: MqttConfig) -> DeviceConfig:
    """A configuration with this broker."""
    return DeviceConfig(node="n", bundle="b.elb", mqtt=mqtt, inputs=(InputConfig(topic="a/{asset}"),))


def lines_of(text: str, key: str) -> list[str]:
    """The values of a key that may be given several times."""
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def test_unit_checked_in_is_current() -> None:
    """The unit that people read is the one that is installed."""
    assert unit_text(ServiceSpec()) == CHECKED_IN.read_text("utf-8")


def test_unit_supervises_by_notification() -> None:
    """A daemon that hangs is restarted, and only the daemon itself can say that it does not."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit_text(ServiceSpec()))

    service = parser["Service"]

    said = {key: service[key] for key in ("Type", "NotifyAccess", "WatchdogSec", "Restart", "StateDirectory")}
    assert said == {
        "Type": "notify",
        "NotifyAccess": "main",
        "WatchdogSec": "30",
        "Restart": "always",
        "StateDirectory": "edge-lstm",
    }
    assert (
        service["ExecStart"]
        == "/opt/edge-lstm/runtime/bin/edge-lstm run --config /opt/edge-lstm/edge-lstm.yaml"
    )


@analyze
def test_unit_exposure_is_at_most_one(tmp_path: Path) -> None:
    """The hardening stays as good as it was measured to be."""
    unit = tmp_path / "edge-lstm.service"
    unit.write_text(unit_text(ServiceSpec(broker="192.168.1.10", secrets=("password",))), "utf-8")

    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=10", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    found = re.search(r"exposure level for edge-lstm.service: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= 1.0


@analyze
def test_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    """No key is misspelt, none stands in the wrong section."""
    unit = tmp_path / "edge-lstm.service"
    unit.write_text(unit_text(ServiceSpec(secrets=("password",))), "utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=30
    )

    complaints = [line for line in done.stderr.splitlines() if "edge-lstm.service" in line]
    assert [] == [line for line in complaints if "is not executable" not in line]


@pytest.mark.parametrize(
    ("broker", "allowed"),
    [
        ("127.0.0.1", ["localhost"]),
        ("localhost", ["localhost"]),
        ("::1", ["localhost"]),
        ("192.168.1.10", ["192.168.1.10"]),
        ("fd00::5", ["fd00::5"]),
        ("broker.example", []),
    ],
)
def test_unit_allows_the_broker_and_no_other_address(broker: str, allowed: list[str]) -> None:
    """Where the address is known beforehand, nothing else can be reached; a name needs its resolver."""
    text = unit_text(ServiceSpec(broker=broker))

    assert allowed == lines_of(text, "IPAddressAllow")
    assert (["any"] if allowed else []) == lines_of(text, "IPAddressDeny")


@pytest.mark.parametrize(
    ("broker", "metrics", "allowed"),
    [
        ("192.168.1.10", MetricsConfig(listen="127.0.0.1:9464"), ["192.168.1.10 localhost"]),
        ("192.168.1.10", MetricsConfig(listen="[::1]:9464"), ["192.168.1.10 localhost"]),
        ("127.0.0.1", MetricsConfig(listen="127.0.0.1:9464"), ["localhost"]),
        ("192.168.1.10", MetricsConfig(listen="192.168.1.9:9464", allow_remote=True), []),
        ("broker.example", MetricsConfig(listen="127.0.0.1:9464"), []),
    ],
)
def test_unit_lets_scrapers_in(broker: str, metrics: MetricsConfig, allowed: list[str]) -> None:
    """A scraper on the machine itself must get through the filter that holds all others off."""
    site = msgspec.structs.replace(config(MqttConfig(host=broker)), metrics=metrics)

    assert allowed == lines_of(unit_text(service_spec("/opt/x", site)), "IPAddressAllow")


def test_unit_reloads_and_does_not_fight_over_a_client_id() -> None:
    """SIGHUP is what systemctl reload sends; 75 is another daemon with our id, and no restart helps."""
    text = unit_text(ServiceSpec())

    assert ["/bin/kill -HUP $MAINPID"] == lines_of(text, "ExecReload")
    assert ["75"] == lines_of(text, "RestartPreventExitStatus")


def test_unit_loads_the_secrets_that_the_configuration_uses() -> None:
    """Credentials, by name or by their place, come from PREFIX/secrets; other files are the operator's."""
    place = "/run/credentials/edge-lstm.service"
    tls = TlsConfig(ca_file="/etc/ssl/ca.pem", cert_file=f"{place}/cert", key_file="credential:key")
    mqtt = MqttConfig(host="h", username="u", password_file=f"{place}/password", tls=tls)

    spec = service_spec("/opt/x", config(mqtt))

    assert ("cert", "key", "password") == spec.secrets
    assert [f"{name}:/opt/x/secrets/{name}" for name in spec.secrets] == lines_of(
        unit_text(spec), "LoadCredential"
    )


@pytest.mark.parametrize(
    ("prefix", "systemd", "why"),
    [
        ("/opt/edge-lstm", True, None),
        ("/srv/a.b_c+d-e", True, None),
        ("/home/pi/edge", True, "the hardened service cannot see /home"),
        ("/home/pi/edge", False, None),
        ("/homework", True, None),
        ("/tmp/x", True, "the hardened service cannot see /tmp"),  # noqa: S108 - a name, not a file
        ("relative", False, "absolute"),
        ("/", False, "absolute"),
        ("/opt/a b", False, "letters"),
        ("/opt/$(reboot)", False, "letters"),
        ("/opt/50%", False, "letters"),
        ("/opt/../etc", False, "letters"),
        ("/opt/x\n", False, "letters"),
    ],
)
def test_prefix_that_would_break_the_unit_is_refused(prefix: str, *, systemd: bool, why: str | None) -> None:
    """The prefix goes into the unit and into shell scripts, and the service must be able to see it."""
    said = check_prefix(prefix, systemd=systemd)

    assert (said is None) == (why is None)
    assert (why or "") in (said or "")


def test_stand_in_runs_the_units_command_with_its_environment(tmp_path: Path) -> None:
    """Executed for real: the program at the unit's path sees the unit's environment and arguments."""
    program = tmp_path / "runtime" / "bin" / "edge-lstm"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$EDGE_LSTM__STATE_DIR" "$PYTHONNOUSERSITE" "$@"\n', "utf-8")
    program.chmod(0o755)
    start = tmp_path / "start"
    start.write_text(stand_in_text(ServiceSpec(prefix=str(tmp_path))), "utf-8")
    start.chmod(0o755)

    done = subprocess.run([start], capture_output=True, text=True, check=True, timeout=10)

    assert f"{tmp_path}/state 1 run --config {tmp_path}/edge-lstm.yaml\n" == done.stdout
