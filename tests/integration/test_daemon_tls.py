"""TLS to a real broker, with certificates made on the spot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Broker, MakeDevice

pytestmark = pytest.mark.broker


def certificate(folder: Path, name: str, authority: str | None, subject: str) -> None:
    """Write ``name.pem`` and ``name.key`` for the loopback address, signed by an authority or by itself."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
    if authority is not None:
        command += [
            "-CA",
            f"{authority}.pem",
            "-CAkey",
            f"{authority}.key",
            "-addext",
            "basicConstraints=CA:FALSE",
        ]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def certificates(broker: Broker) -> Path:
    """Certificates by one authority, and a strange authority; the broker uses them and asks for ours."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is absent: apt install openssl")
    folder = broker.folder
    certificate(folder, "ca", None, "authority")
    certificate(folder, "strange", None, "nobody")
    certificate(folder, "broker", "ca", "broker")
    certificate(folder, "device", "ca", "device")
    broker.stop()
    lines = ["allow_anonymous true", "require_certificate true"]
    lines += [f"{key} {folder / name}" for key, name in (("cafile", "ca.pem"), ("certfile", "broker.pem"))]
    broker.configure([*lines, f"keyfile {folder / 'broker.key'}"])
    broker.start()
    return folder


def test_tls_with_certificates_of_both_sides(certificates: Path, make_device: MakeDevice) -> None:
    """The broker's certificate is checked, ours is shown, and the connection works to its clean end."""
    device = make_device()
    names = {"ca_file": "ca.pem", "cert_file": "device.pem", "key_file": "device.key"}
    device.config["mqtt"]["tls"] = {key: str(certificates / name) for key, name in names.items()}
    device.start()

    assert 0 == device.end()
    assert "mqtt.disconnected" not in device.log


@pytest.mark.parametrize(
    ("host", "authority", "expected"),
    [
        (
            "127.0.0.1",
            "strange.pem",
            "self-signed certificate|self signed certificate|unable to get local issuer",
        ),
        ("localhost", "ca.pem", "Hostname mismatch"),
    ],
    ids=["strange-authority", "other-host"],
)
def test_tls_that_does_not_hold_is_refused(
    certificates: Path, make_device: MakeDevice, host: str, authority: str, expected: str
) -> None:
    """A certificate of another authority, or of another host, is no connection, and the log says which."""
    device = make_device()
    device.config["mqtt"] |= {"host": host, "tls": {"ca_file": str(certificates / authority)}}
    device.launch()
    device.wait_log("certificate verify failed")

    assert any(reason in device.log for reason in expected.split("|"))
    assert "mqtt.connected" not in device.log
    assert 0 == device.end()
