"""What types cannot say about a configuration: topics, names, keys that go together. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from edge_lstm.addresses import parse_address
from edge_lstm.contracts.config import (
    CREDENTIAL,
    DeviceConfig,
    DurabilityConfig,
    InputConfig,
    MetricsConfig,
    MqttConfig,
)
from edge_lstm.rule import Rule
from edge_lstm.topics import Template, check_name, overlap

__all__ = ["Problem", "problems"]

_OWN = (
    "availability",
    "health",
    "model",
    "quality",
    "+/score",
    "+/alert",
    "+/quality",
    "+/commission",
    "+/alarm/+",
    "+/cmd/+",
    "+/cmd/+/result",
    "alerts/replay",
    "alerts/replayed",
    "alerts/replayed/end",
    "doctor/#",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the key's path, and the parts of a `ConfigError`."""

    path: tuple[str | int, ...]
    what: str
    expected: str | None = None
    got: str | None = None
    do: str | None = None


def problems(config: DeviceConfig) -> Iterator[Problem]:
    """Every fault, in the order of the keys."""
    yield from _name(("node",), config.node)
    if not config.bundle:
        yield Problem(("bundle",), "is empty", expected="the path of a bundle")
    yield from _mqtt(config.mqtt)
    for number, source in enumerate(config.inputs):
        yield from _input(number, source, config)
    yield from _overlaps(config.inputs)
    yield from _alarm(config)
    yield from _durability(config.durability)
    yield from _metrics(config.metrics)


def _name(path: tuple[str | int, ...], name: str) -> Iterator[Problem]:
    if why := check_name(name):
        yield Problem(
            path, "cannot be one level of a topic", got=f"{name!r}", expected="another name", do=why
        )


def _mqtt(mqtt: MqttConfig) -> Iterator[Problem]:
    if not mqtt.host:
        yield Problem(("mqtt", "host"), "is empty", expected="a name or an address")
    for level in mqtt.base.split("/"):
        yield from _name(("mqtt", "base"), level)
    if mqtt.base.startswith("$"):
        yield Problem(("mqtt", "base"), "topics that begin with $ belong to the broker", got=f"'{mqtt.base}'")
    if mqtt.client_id is not None and not (mqtt.client_id and mqtt.client_id.isprintable()):
        yield Problem(("mqtt", "client_id"), "is not a name", expected="printable characters, or null")
    if mqtt.password_file is not None and mqtt.username is None:
        yield Problem(("mqtt", "username"), "a password needs a user name", expected="mqtt.username")
    tls = mqtt.tls
    if tls is not None and (tls.cert_file is None) != (tls.key_file is None):
        lacks = "cert_file" if tls.cert_file is None else "key_file"
        yield Problem(
            ("mqtt", "tls", lacks), "certificate and key belong together", expected="both or neither"
        )

    yield from _client(mqtt)
    yield from _credentials(mqtt)


def _client(mqtt: MqttConfig) -> Iterator[Problem]:
    path = mqtt.websocket_path
    if path is not None and not (path.startswith("/") and path.isprintable() and " " not in path):
        yield Problem(
            ("mqtt", "websocket_path"), "is not a path", expected="one that begins with /", got=f"{path!r}"
        )
    if mqtt.client == "mqtt5" and (path is not None or mqtt.protocol != "5"):
        got = "websockets" if path is not None else f"protocol {mqtt.protocol}"
        yield Problem(
            ("mqtt", "client"),
            "mqtt5 speaks MQTT 5 over TCP and TLS only",
            expected="auto or paho",
            got=f"mqtt5 with {got}",
        )


def _credentials(mqtt: MqttConfig) -> Iterator[Problem]:
    files: dict[tuple[str, ...], str | None] = {("mqtt", "password_file"): mqtt.password_file}
    if mqtt.tls is not None:
        files |= {
            ("mqtt", "tls", key): getattr(mqtt.tls, key) for key in ("ca_file", "cert_file", "key_file")
        }
    for place, value in files.items():
        if value is not None and value.startswith(CREDENTIAL):
            name = value.removeprefix(CREDENTIAL)
            if not name.isprintable() or "/" in name or name in ("", ".", ".."):
                yield Problem(
                    place, "is not a credential", expected="credential:NAME, NAME without /", got=f"{value!r}"
                )


def _durability(said: DurabilityConfig) -> Iterator[Problem]:
    key = ("durability", "loss_window_s")
    if said.mode == "batched" and not said.loss_window_s:
        yield Problem(key, "is nothing, which is what strict does", expected="seconds, or mode strict")
    if said.mode == "strict" and said.loss_window_s:
        yield Problem(
            key,
            "means nothing with mode strict",
            expected="0, or mode batched",
            got=f"{said.loss_window_s:g}",
        )


def _input(number: int, source: InputConfig, config: DeviceConfig) -> Iterator[Problem]:
    here = ("inputs", number)
    try:
        template = Template.parse(source.topic)
    except ValueError as error:
        got = f"'{source.topic}'" if source.topic.isprintable() else "unprintable text"
        yield Problem((*here, "topic"), f"not a topic template: {error}", got=got)
        return
    for own in _OWN:
        if overlap(template.filter, f"{config.root}/{own}"):
            yield Problem(
                (*here, "topic"),
                "would read what this daemon publishes itself",
                got=f"'{source.topic}', which meets '{config.root}/{own}'",
                do="narrow the topic or change mqtt.base",
            )
            return
    yield from _asset(here, source, template)
    yield from _channel(here, source, template)
    yield from _fields(here, source)
    if source.format == "sparkplug":
        yield from _sparkplug(here, source, template)


def _asset(here: tuple[str | int, ...], source: InputConfig, template: Template) -> Iterator[Problem]:
    said = [
        what
        for what, there in (
            ("{asset} in the topic", template.has("asset")),
            ("the key asset", source.asset is not None),
            ("the key asset_field", source.asset_field is not None),
        )
        if there
    ]
    if source.format == "sparkplug":
        if said:
            yield Problem(
                (*here, "topic"),
                "with format sparkplug node and device of the topic name the machine",
                expected="a topic like spBv1.0/GROUP/#, and no key asset",
                got=" and ".join(said),
            )
        return
    if len(said) != 1:
        fields = ", or the key asset_field" if source.format in _ASSET_FIELD else ""
        yield Problem(
            (*here, "topic"),
            "does not say which machine it is",
            expected=f"{{asset}} in the topic, or the key asset{fields}",
            got=" and ".join(said) or "neither",
        )
    if source.asset is not None:
        yield from _name((*here, "asset"), source.asset)


def _channel(here: tuple[str | int, ...], source: InputConfig, template: Template) -> Iterator[Problem]:
    if source.format != "value":
        if template.has("channel") or source.channel is not None:
            yield Problem(
                (*here, "format"),
                f"with format {source.format} the channels are in the payload",
                expected="format value for one value a message",
                got="a channel in the topic or as a key",
            )
    elif template.has("channel") == (source.channel is not None):
        got = "both" if source.channel is not None else "neither"
        yield Problem(
            (*here, "topic"),
            "does not say which channel it is",
            expected="{channel} in the topic, or the key channel",
            got=got,
        )
    twice = sorted(
        name for name in set(source.channels.values()) if list(source.channels.values()).count(name) > 1
    )
    if twice:
        yield Problem((*here, "channels"), f"two names stand for channel '{twice[0]}'", expected="one")
    if "" in source.channels or "" in source.channels.values() or source.channel == "":
        yield Problem((*here, "channels" if source.channel != "" else "channel"), "a name is empty")


_FRAMES = ("json", "cbor")
_ASSET_FIELD = (*_FRAMES, "influx")
_BELONGS: dict[str, tuple[tuple[str, ...], str | None]] = {
    # Key: the formats that have it, and what another format may have in its place.
    "asset_field": (_ASSET_FIELD, None),
    "time_field": ((*_FRAMES, "value"), None),
    "seq_field": (_FRAMES, None),
    "schema_field": (_FRAMES, None),
    "values_field": (_FRAMES, "value_field for format value"),
    "value_field": (("value",), "values_field for format json"),
}


def _fields(here: tuple[str | int, ...], source: InputConfig) -> Iterator[Problem]:
    for key, (formats, instead) in _BELONGS.items():
        path = getattr(source, key)
        if path is None:
            continue
        if source.format not in formats:
            does = "the format itself says where that is" if instead is None else None
            yield Problem(
                (*here, key), f"belongs to format {' or '.join(formats)}", expected=instead, do=does
            )
        elif "" in path.split("."):
            yield Problem((*here, key), "is not a name or dotted path", got=f"'{path}'")
    if source.format == "value" and source.time_field is not None and source.value_field is None:
        yield Problem((*here, "time_field"), "a plain number has no time", expected="value_field as well")
    yield from _time_format(here, source)
    if (source.schema_field is None) != (not source.schemas):
        lacks, has = ("schemas", "schema_field") if source.schema_field else ("schema_field", "schemas")
        yield Problem((*here, has), "says nothing alone", expected=f"{lacks} as well")


def _time_format(here: tuple[str | int, ...], source: InputConfig) -> Iterator[Problem]:
    if source.format == "influx":
        if source.time_format == "rfc3339":
            yield Problem(
                (*here, "time_format"),
                "line protocol has times as whole numbers",
                expected="ns, us, ms or s; auto is ns",
                got="rfc3339",
            )
    elif source.time_format != "auto" and source.time_field is None:
        yield Problem(
            (*here, "time_format"), "says the form of a time that is not read", expected="time_field"
        )
    timed = source.time_field is not None or source.format in ("senml", "influx", "sparkplug")
    if source.reorder_s and not timed:
        yield Problem(
            (*here, "reorder_s"), "readings without a time of their own have no order", expected="time_field"
        )


def _sparkplug(here: tuple[str | int, ...], source: InputConfig, template: Template) -> Iterator[Problem]:
    """All messages of an edge node count in one sequence, so all must be heard."""
    first, group, *rest = (*template.levels, "", "")
    if first == "spBv1.0" and group not in ("", "+", "#") and _whole_nodes(rest):
        return
    yield Problem(
        (*here, "topic"),
        "does not hear everything that an edge node of Sparkplug says",
        expected="spBv1.0/GROUP/# for all nodes of a group, or spBv1.0/GROUP/+/NODE/# for one",
        got=f"'{source.topic}'",
    )


def _whole_nodes(rest: list[str]) -> bool:
    levels = [level for level in rest if level]
    if levels == ["#"]:
        return True
    return len(levels) == 3 and levels[0] == "+" and levels[2] == "#" and levels[1] != "#"


def _filter(source: InputConfig) -> str:
    """The input's topic filter; one that cannot be read is told apart elsewhere and overlaps nothing."""
    try:
        return Template.parse(source.topic).filter
    except ValueError:
        return f"\0{source.topic}"


def _overlaps(inputs: tuple[InputConfig, ...]) -> Iterator[Problem]:
    """Overlapping subscriptions: a broker may deliver such a message once or twice (MQTT 5, 3.3.4)."""
    for (_, one), (number, other) in combinations(enumerate(inputs), 2):
        if overlap(_filter(one), _filter(other)):
            yield Problem(
                ("inputs", number, "topic"),
                "overlaps with another input, so a reading could come twice",
                expected="topics of which at most one matches a message",
                got=f"'{other.topic}' and '{one.topic}'",
            )


_MOST = 1_000_000_000


def _alarm(config: DeviceConfig) -> Iterator[Problem]:
    alarm = config.alarm
    if alarm.threshold is not None and not 0 < alarm.threshold < float("inf"):
        yield Problem(
            ("alarm", "threshold"), "is not a level", expected="a number above 0", got=f"{alarm.threshold}"
        )
    if alarm.close_ratio is not None and not 0 < alarm.close_ratio <= 1:
        yield Problem(
            ("alarm", "close_ratio"), "wrong value", expected="above 0, at most 1", got=f"{alarm.close_ratio}"
        )
    for key, least in (("open_after", 1), ("close_after", 1), ("refractory", 0)):
        value = getattr(alarm, key)
        if value is not None and not least <= value <= _MOST:
            expected = f"{least} to {_MOST} frames"
            yield Problem(("alarm", key), "wrong value", expected=expected, got=f"{value}")
    if alarm.score_when:
        try:
            Rule.parse(alarm.score_when)
        except ValueError as error:
            yield Problem(("alarm", "score_when"), f"is no rule: {error}")
    if not 0 <= alarm.update_every_s <= _MOST:
        got = f"{alarm.update_every_s}"
        yield Problem(("alarm", "update_every_s"), "wrong value", expected=f"0 to {_MOST} seconds", got=got)


def _metrics(metrics: MetricsConfig) -> Iterator[Problem]:
    if metrics.listen is None:
        return
    try:
        host, _ = parse_address(metrics.listen)
    except ValueError as error:
        expected = "an address and a port, like 127.0.0.1:9464 or [::1]:9464"
        yield Problem(("metrics", "listen"), f"cannot be listened on: {error}", expected=expected)
        return
    if not host.is_loopback and not metrics.allow_remote:
        yield Problem(
            ("metrics", "listen"),
            "other machines could reach it, and there is no login",
            expected="an address of this machine alone, like 127.0.0.1",
            got=f"'{metrics.listen}'",
            do="set metrics.allow_remote: true if that is meant",
        )
