"""The site's configuration: broker, topics, names. Facts of the model are in the bundle.

``configs/edge-lstm.yaml`` explains every key like a manual page; the attribute texts
here become the descriptions in ``docs/schemas/config.schema.json``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.commission import CommissionConfig
from edge_lstm.times import TimeFormat

__all__ = [
    "BackendChoice",
    "DeviceConfig",
    "InputConfig",
    "InputFormat",
    "LogLevel",
    "MqttConfig",
    "PublishConfig",
    "SnapshotConfig",
    "TlsConfig",
]

LogLevel = Literal["debug", "info", "warning", "error"]
InputFormat = Literal["json", "value", "cbor", "senml", "influx", "sparkplug"]
BackendChoice = Literal["auto", "litert", "reference", "edgetpu"]

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(ge=1, le=86_400)]
KeepAlive = Annotated[int, Meta(ge=5, le=3600)]
Expiry = Annotated[int, Meta(ge=1, le=4_294_967_295)]
PayloadBytes = Annotated[int, Meta(ge=64, le=16 * 2**20)]
Interval = Annotated[float, Meta(ge=0, le=86_400)]
Ahead = Annotated[float, Meta(ge=0, le=315_360_000)]
Assets = Annotated[int, Meta(ge=1, le=1_000_000)]


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS to the broker; its certificate and host name are always checked.

    Attributes:
        ca_file: Certificates that the broker's may be signed by (PEM); null is the system's.
        cert_file: Our certificate (PEM), for brokers that ask for one.
        key_file: Private key of our certificate (PEM).
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class MqttConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker.

    Attributes:
        protocol: Version of MQTT that the broker speaks: ``5``, or ``3.1.1`` for older ones.
        host: Name or address of the broker.
        port: TCP port of the broker; 8883 is usual with TLS.
        client_id: Name of this client at the broker, the same after every restart; null is edge-lstm-NODE.
        username: Login; null is an anonymous connection.
        password_file: File whose first line is the password; read anew at every connection.
        keepalive_s: Longest silence towards the broker, seconds.
        base: First level or levels of every topic that is published.
        session_expiry_s: How long the broker keeps readings for us while we are away, seconds.
        tls: TLS to the broker; null is none.
        max_payload_bytes: Longest payload of a reading, bytes; longer ones are rejected unread.
    """

    protocol: Literal["5", "3.1.1"] = "5"
    host: str = "127.0.0.1"
    port: Port = 1883
    client_id: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_s: KeepAlive = 30
    base: str = "edge-lstm"
    session_expiry_s: Expiry = 604_800
    tls: TlsConfig | None = None
    max_payload_bytes: PayloadBytes = 65_536


class InputConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where readings come from, and how they are written (docs/format-reading.md).

    Attributes:
        topic: Topic template; {asset} and {channel} each stand for one level.
        format: json is one object or a list of them a message, value one value, cbor as json in binary form;
            senml, influx (line protocol) and sparkplug (B) are what they say.
        asset: The machine, when the topic has no {asset}.
        asset_field: Name or dotted path of the asset in the object, or the tag with it; only with json, cbor
            and influx.
        channel: The channel, when the topic has no {channel}; only with format value.
        time_field: Name or dotted path of the time in the object; null is the time of arrival.
        time_format: Form of the time; auto takes RFC 3339 text, and numbers by their magnitude; with influx
            auto is ns.
        max_ahead_s: A reading whose time is further in the future is rejected, seconds; 0 is no limit.
        seq_field: Name or dotted path of the source's own count of readings; only with json and cbor.
        schema_field: Name or dotted path of the payload's version; only with json and cbor.
        schemas: The versions that are read; others are rejected.
        values_field: Dotted path of the object with the values; null is the whole object; only with json
            and cbor.
        value_field: Dotted path of the value when the payload is an object; only with format value.
        channels: Name in the payload or topic to the model's channel; names not in it stay as they are.
        qos: Quality of service of the subscription, 0 or 1.
    """

    topic: str
    format: InputFormat = "json"
    asset: str | None = None
    asset_field: str | None = None
    channel: str | None = None
    time_field: str | None = None
    time_format: TimeFormat = "auto"
    max_ahead_s: Ahead = 86_400.0
    seq_field: str | None = None
    schema_field: str | None = None
    schemas: tuple[str, ...] = ()
    values_field: str | None = None
    value_field: str | None = None
    channels: dict[str, str] = {}
    qos: Literal[0, 1] = 1

    @property
    def asset_in_payload(self) -> bool:
        """Whether the payload, or what the format makes of the topic, names the asset."""
        return self.asset_field is not None or self.format == "sparkplug"


class PublishConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is published, and how often.

    Attributes:
        score_interval_s: Shortest time between two scores of one asset, seconds; 0 is every score.
        health_interval_s: Time between two health messages, seconds.
        quality: Whether faults of the input are published.
    """

    score_interval_s: Interval = 1.0
    health_interval_s: Seconds = 30.0
    quality: bool = True


class SnapshotConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the states are written down.

    Attributes:
        interval_s: Time between two snapshots, seconds; one more is written at the end.
    """

    interval_s: Seconds = 60.0


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one daemon.

    Attributes:
        node: Name of this device, one level of every topic that is published.
        bundle: The model's bundle (.elb); a relative path starts at this file's folder.
        state_dir: Folder for the states; a relative path starts at this file's folder.
        backend: What runs the network; auto is the fastest that runs on this board, measured where
            there is an Edge TPU.
        mqtt: The broker.
        inputs: Where readings come from.
        alarm: What this site says over the bundle's calibrated numbers.
        commission: How an asset that the bundle does not name is learned.
        publish: What is published, and how often.
        snapshot: How often the states are written down.
        max_assets: Readings of more assets than this are rejected.
        log_level: Least level that is logged.
    """

    node: str
    bundle: str
    state_dir: str = "/var/lib/edge-lstm"
    backend: BackendChoice = "auto"
    mqtt: MqttConfig = MqttConfig()
    inputs: Annotated[tuple[InputConfig, ...], Meta(min_length=1)]
    alarm: AlarmOverrides = AlarmOverrides()
    commission: CommissionConfig = CommissionConfig()
    publish: PublishConfig = PublishConfig()
    snapshot: SnapshotConfig = SnapshotConfig()
    max_assets: Assets = 1000
    log_level: LogLevel = "info"

    @property
    def client_id(self) -> str:
        """Name of this client at the broker."""
        return self.mqtt.client_id or f"edge-lstm-{self.node}"

    @property
    def root(self) -> str:
        """The topic under which this node publishes: ``<base>/<node>``."""
        return f"{self.mqtt.base}/{self.node}"
