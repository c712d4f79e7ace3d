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
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.times import TimeFormat

__all__ = [
    "CREDENTIAL",
    "BackendChoice",
    "ClientChoice",
    "DeviceConfig",
    "DurabilityConfig",
    "InputConfig",
    "InputFormat",
    "LogLevel",
    "MetricsConfig",
    "MqttConfig",
    "PublishConfig",
    "SnapshotConfig",
    "TlsConfig",
]

CREDENTIAL = "credential:"
"""Begin of a file's path that stands for a credential of systemd (LoadCredential= in the unit)."""

LogLevel = Literal["debug", "info", "warning", "error"]
ClientChoice = Literal["auto", "mqtt5", "paho"]
InputFormat = Literal["json", "value", "cbor", "senml", "influx", "sparkplug"]
BackendChoice = Literal["auto", "litert", "reference", "edgetpu"]

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(ge=1, le=86_400)]
KeepAlive = Annotated[int, Meta(ge=5, le=3600)]
Expiry = Annotated[int, Meta(ge=1, le=4_294_967_295)]
PayloadBytes = Annotated[int, Meta(ge=64, le=16 * 2**20)]
Interval = Annotated[float, Meta(ge=0, le=86_400)]
Ahead = Annotated[float, Meta(ge=0, le=315_360_000)]
Reorder = Annotated[float, Meta(ge=0, le=3600)]
Assets = Annotated[int, Meta(ge=1, le=1_000_000)]
Window = Annotated[int, Meta(ge=1, le=65_535)]
Hold = Annotated[float, Meta(ge=0, le=60)]


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS to the broker; its certificate and host name are always checked.

    Attributes:
        ca_file: Certificates that the broker's may be signed by (PEM); null is the system's.
        cert_file: Our certificate (PEM), for brokers that ask for one.
        key_file: Private key of our certificate (PEM); this and the two above may be credential:NAME.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class MqttConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker.

    Attributes:
        client: What speaks MQTT: auto is mqtt5, the fast one, where it can do it, else paho.
        protocol: Version of MQTT that the broker speaks: ``5``, or ``3.1.1`` for older ones.
        host: Name or address of the broker.
        port: TCP port of the broker; 8883 is usual with TLS.
        client_id: Name of this client at the broker, the same after every restart; null is edge-lstm-NODE.
        username: Login; null is an anonymous connection.
        password_file: File whose first line is the password, read anew at every connection; or
            credential:NAME, a credential of the systemd unit.
        keepalive_s: Longest silence towards the broker, seconds.
        base: First level or levels of every topic that is published.
        session_expiry_s: How long the broker keeps readings for us while we are away, seconds.
        tls: TLS to the broker; null is none.
        websocket_path: Path of MQTT over websockets; null is MQTT over TCP.
        max_payload_bytes: Longest payload of a reading, bytes; longer ones are rejected unread.
        inflight: Readings that the broker may send ahead of our acknowledgements (MQTT 5: Receive
            Maximum); half of them are written to the disk together.
    """

    client: ClientChoice = "auto"
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
    websocket_path: str | None = None
    max_payload_bytes: PayloadBytes = 65_536
    inflight: Window = 200


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
        reorder_s: How long a reading waits for older ones that come after it, seconds; 0 is not at all.
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
    reorder_s: Reorder = 0.0
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
    """How often the states are written down. What came since is scored again after a crash: nothing is lost.

    Attributes:
        interval_s: Time between two snapshots, seconds; one more is written at the end.
        readings: Readings after which one is written sooner, so that a crash is soon made up for.
    """

    interval_s: Seconds = 120.0
    readings: Assets = 200_000


class DurabilityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a reading counts as kept (docs/explain-delivery.md).

    Attributes:
        mode: ``strict``: a reading is acknowledged when it is on the disk, and no power cut loses it;
            ``batched``: when the system has it, and a power cut loses up to loss_window_s.
        commit_s: Longest time that readings are gathered before they are written down together, seconds;
            what leads to an alert never waits.
        loss_window_s: Most that a power cut may lose with mode batched, seconds.
    """

    mode: Literal["strict", "batched"] = "strict"
    commit_s: Hold = 1.0
    loss_window_s: Hold = 0.0


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics for Prometheus (docs/howto-monitor.md).

    Attributes:
        listen: Address and port that answer GET /metrics, like 127.0.0.1:9464; null is off.
        allow_remote: Whether the address may be one that other machines can reach; there is no login.
    """

    listen: str | None = None
    allow_remote: bool = False


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
        durability: When a reading counts as kept.
        snapshot: How often the states are written down.
        streams: What is held to be a fault of a stream of readings.
        metrics: Metrics for Prometheus.
        max_assets: Readings of more assets than this are rejected.
        resident_assets: Assets whose states stay in memory; beyond it those fallen silent wait on the disk.
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
    durability: DurabilityConfig = DurabilityConfig()
    snapshot: SnapshotConfig = SnapshotConfig()
    streams: StreamsConfig = StreamsConfig()
    metrics: MetricsConfig = MetricsConfig()
    max_assets: Assets = 1000
    resident_assets: Assets = 10_000
    log_level: LogLevel = "info"

    @property
    def client_id(self) -> str:
        """Name of this client at the broker."""
        return self.mqtt.client_id or f"edge-lstm-{self.node}"

    @property
    def root(self) -> str:
        """The topic under which this node publishes: ``<base>/<node>``."""
        return f"{self.mqtt.base}/{self.node}"
