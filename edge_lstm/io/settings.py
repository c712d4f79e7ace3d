"""What a connection to the broker needs, made from the configuration; files are checked at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_lstm.contracts.config import CREDENTIAL, ClientChoice, DeviceConfig, MqttConfig, TlsConfig
from edge_lstm.errors import ConfigError
from edge_lstm.files import read_at_most
from edge_lstm.io.transport import Publication

if TYPE_CHECKING:
    import ssl

__all__ = ["MQTT_5", "MQTT_311", "MqttSettings", "mqtt_settings", "read_password"]

_LEAST_PACKET = 2**20
_MOST_PASSWORD = 2**16
MQTT_5, MQTT_311 = 5, 4
"""Protocol version as it stands in CONNECT (MQTT 5, 3.1.2.2)."""

_PROTOCOLS = {"5": MQTT_5, "3.1.1": MQTT_311}


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """The broker and who we are there.

    Attributes:
        host: Name or address.
        port: TCP port.
        client_id: Our name at the broker, the same after every restart.
        protocol: Version of MQTT, `MQTT_5` or `MQTT_311`.
        username: Login, or ``None``.
        password_file: File whose first line is the password, or ``None``.
        keepalive_s: Longest silence, seconds.
        session_expiry_s: How long the broker remembers us, seconds.
        max_packet_bytes: Largest packet that the broker may send.
        receive_maximum: Most messages that the broker may send ahead of our acknowledgements.
        connect_timeout_s: Longest wait for TCP, for TLS and for the broker's answers, each, seconds.
        retry_s: Longest wait before the second attempt to connect, seconds; it doubles from there.
        retry_most_s: Longest wait before any attempt, seconds.
        tls: Context for TLS, or ``None``.
        websocket_path: Path of MQTT over websockets, or ``None`` for MQTT over TCP.
        client: Which transport is wanted.
        online: Published at every connection.
        will: Published by the broker when we vanish.
    """

    host: str
    port: int
    client_id: str
    protocol: int = MQTT_5
    username: str | None = None
    password_file: Path | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 604_800
    max_packet_bytes: int = _LEAST_PACKET
    receive_maximum: int = 1000
    connect_timeout_s: float = 10.0
    retry_s: float = 0.5
    retry_most_s: float = 30.0
    tls: ssl.SSLContext | None = None
    websocket_path: str | None = None
    client: ClientChoice = "auto"
    online: Publication
    will: Publication


def mqtt_settings(config: DeviceConfig) -> MqttSettings:
    """Settings of a configuration.

    Raises:
        ConfigError: A file that it names cannot be used.
    """
    mqtt, topic = config.mqtt, f"{config.root}/availability"
    _check_credentials(mqtt)
    settings = MqttSettings(
        host=mqtt.host,
        port=mqtt.port,
        client_id=config.client_id,
        protocol=_PROTOCOLS[mqtt.protocol],
        username=mqtt.username,
        password_file=None if mqtt.password_file is None else Path(mqtt.password_file),
        keepalive_s=mqtt.keepalive_s,
        session_expiry_s=mqtt.session_expiry_s,
        max_packet_bytes=max(_LEAST_PACKET, 4 * mqtt.max_payload_bytes),
        tls=None if mqtt.tls is None else _tls_context(mqtt.tls),
        receive_maximum=mqtt.inflight,
        websocket_path=mqtt.websocket_path,
        client=mqtt.client,
        online=Publication(topic, b"online", qos=1, retain=True),
        will=Publication(topic, b"offline", qos=1, retain=True),
    )
    read_password(settings)
    return settings


def _check_credentials(mqtt: MqttConfig) -> None:
    """Names of credentials became paths when the file was read, if systemd has given any."""
    tls = mqtt.tls or TlsConfig()
    keys = ("tls.ca_file", "tls.cert_file", "tls.key_file", "password_file")
    for key, value in zip(keys, (tls.ca_file, tls.cert_file, tls.key_file, mqtt.password_file), strict=True):
        if value is not None and value.startswith(CREDENTIAL):
            raise ConfigError(
                f"there are no systemd credentials here, so no {value!r}",
                key=f"mqtt.{key}",
                do=f"put LoadCredential={value.removeprefix(CREDENTIAL)}:/path into the unit; "
                "outside the service, name the file itself",
            )


def read_password(settings: MqttSettings) -> str | None:
    """First line of the password file; read anew at every connection, so it can be changed on the fly.

    Raises:
        ConfigError: It cannot be read, or is empty.
    """
    if settings.password_file is None:
        return None
    try:
        lines = read_at_most(settings.password_file, _MOST_PASSWORD).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"cannot read {settings.password_file}: {why}",
            key="mqtt.password_file",
            do="check the path and its owner",
        ) from error
    if not lines or not lines[0]:
        raise ConfigError(
            f"{settings.password_file} is empty",
            key="mqtt.password_file",
            expected="the password in its first line",
        )
    return lines[0]


def _tls_context(tls: TlsConfig) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - 4 MiB that only TLS is worth

    context = ssl.create_default_context()
    try:
        if tls.ca_file is not None:
            context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _bad_file("ca_file", tls.ca_file, error) from error
    try:
        if tls.cert_file is not None:
            # A password would be asked for on the terminal; a daemon has none.
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise _bad_file("cert_file", f"{tls.cert_file} with {tls.key_file}", error) from error
    return context


def _no_password() -> str:
    return ""


def _bad_file(key: str, path: str | None, error: OSError) -> ConfigError:
    from_ssl = type(error).__module__ == "ssl"
    why = "not a certificate or key in PEM form" if from_ssl else error.strerror
    return ConfigError(
        f"cannot use {path}: {why}", key=f"mqtt.tls.{key}", do="check the path and the file's owner"
    )
