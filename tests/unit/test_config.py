"""Configuration: what is read, what is refused, and how the refusal reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_lstm.config import load_config, load_struct
from edge_lstm.contracts.config import DeviceConfig, MqttConfig, TlsConfig
from edge_lstm.daemon import unknown_channels
from edge_lstm.errors import ConfigError
from edge_lstm.io.settings import mqtt_settings, read_password
from edge_lstm.testing import fake_manifest
from edge_lstm.yamlfile import parse_yaml

EXAMPLE = Path(__file__).parents[2] / "configs" / "edge-lstm.yaml"
BASE = "node: plant\nbundle: m.elb\ninputs:\n  - topic: plant/{asset}/readings\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the tests put their file."""
    return tmp_path / "edge.yaml"


def load(path: Path, text: str, environ: dict[str, str] | None = None, **options: Any) -> DeviceConfig:  # noqa: ANN401
    """The configuration that a text gives."""
    path.write_text(text, "utf-8")
    return load_config(path, environ=environ or {}, options=options)


def refusal(path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    """Why a text is refused, without the file's path."""
    with pytest.raises(ConfigError) as caught:
        load(path, text, environ)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "edge.yaml")


def test_config_least_file_has_the_defaults(path: Path, tmp_path: Path) -> None:
    """Three keys are enough; relative paths start at the file."""
    config = load(path, BASE)

    assert str(tmp_path / "m.elb") == config.bundle
    assert MqttConfig() == config.mqtt
    assert ("edge-lstm-plant", "edge-lstm/plant") == (config.client_id, config.root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "edge.yaml: node: this key is required and not there", id="empty"),
        pytest.param("node: a", "edge.yaml:1: bundle: this key is required and not there", id="missing"),
        pytest.param(
            "[1]",
            "edge.yaml:1: wrong value: expected a mapping (key: value), got a list of 1",
            id="no-mapping",
        ),
        pytest.param(
            f"{BASE}mqtt:\n  hots: x",
            "edge.yaml:6: mqtt.hots: unknown key: expected 'host', got 'hots'",
            id="unknown-near",
        ),
        pytest.param(
            f"{BASE}snapshot:\n  zzz: 1",
            "edge.yaml:6: snapshot.zzz: unknown key: expected one of interval_s, readings, got 'zzz'",
            id="unknown-far",
        ),
        pytest.param(
            f"{BASE}alarm: {{tresh: 1}}",
            "edge.yaml:5: alarm.tresh: unknown key: expected 'threshold', got 'tresh'",
            id="unknown-flow",
        ),
        pytest.param(
            f"{BASE}node: b",
            "edge.yaml:5: node: key is given twice; the first one is in line 1",
            id="duplicate",
        ),
        pytest.param(
            f"{BASE}mqtt:\n  port: abc",
            "edge.yaml:6: mqtt.port: wrong value: expected a whole number, got 'abc'",
            id="type",
        ),
        pytest.param(
            f"{BASE}mqtt:\n  port: 0",
            "edge.yaml:6: mqtt.port: wrong value: expected a whole number >= 1, got 0",
            id="range",
        ),
        pytest.param(
            f"{BASE}publish:\n  quality: yes",
            "edge.yaml:6: publish.quality: wrong value: expected true or false, got 'yes'",
            id="yes-is-a-word",
        ),
        pytest.param(
            f"{BASE}publish:\n  score_interval_s: .nan",
            "edge.yaml:6: publish.score_interval_s: wrong value: expected a number >= 0.0, got nan",
            id="nan",
        ),
        pytest.param(
            BASE.replace("plant\n", "17\n", 1),
            "edge.yaml:1: node: wrong value: expected text, got 17; put it into quotes",
            id="text-of-digits",
        ),
        pytest.param(
            f"{BASE}log_level: loud",
            "edge.yaml:5: log_level: wrong value: expected one of debug, error, info, warning, got 'loud'",
            id="choice",
        ),
        pytest.param(
            f"{BASE}    qos: 2",
            "edge.yaml:5: inputs[0].qos: wrong value: expected one of 0, 1, got 2; "
            "with QoS 2 the client confirms and forgets a reading before it is scored, and what it had "
            "confirmed is lost with the process; use 1, whose repeats are recognised",
            id="qos-2",
        ),
        pytest.param(
            f"{BASE}mqtt: {{password_file: [secret]}}",
            "edge.yaml:5: mqtt.password_file: wrong value: expected text or nothing, "
            "got something else (not shown)",
            id="secret",
        ),
        pytest.param(
            f"{BASE}commission: {{readings: 100001}}",
            "edge.yaml:5: commission.readings: wrong value: expected a whole number <= 100000, got 100001",
            id="commission-too-long",
        ),
        pytest.param(
            f"{BASE}alarm:\n  score_when: speed + 1 > 5",
            "edge.yaml:6: alarm.score_when: is no rule: character 1: 'speed + 1' is neither a channel nor a "
            "number; expected comparisons (< <= > >= == !=) of channels and numbers, joined by and, or, not "
            "and brackets",
            id="score-when",
        ),
        pytest.param(
            "node: a\nbundle: b\ninputs: []",
            "edge.yaml:3: inputs: wrong value: expected a list of length >= 1, got a list of 0",
            id="no-inputs",
        ),
        pytest.param(
            f"{BASE}mqtt:\n\thost: x",
            "edge.yaml:6: not valid YAML: found character '\\t' that cannot start any token; "
            "indent with blanks, not with tabs",
            id="tab",
        ),
        pytest.param(
            f"{BASE}mqtt: [1",
            "edge.yaml:5: not valid YAML: expected ',' or ']', but got '<stream end>'",
            id="syntax",
        ),
        pytest.param(
            BASE.replace("plant/{asset}/readings", "{asset}/readings"),
            "edge.yaml:4: not valid YAML: expected <block end>, but found '<scalar>'; "
            "check the indentation; text that begins with { or [ must be in quotes",
            id="unquoted-brace",
        ),
        pytest.param(
            f"{BASE}mqtt: &x {{}}\nalarm: *x",
            "edge.yaml:6: not valid YAML: anchors and aliases are not used here",
            id="alias",
        ),
        pytest.param(
            f"{BASE}mqtt: !!python/object:os.system x",
            "edge.yaml:5: mqtt: tag tag:yaml.org,2002:python/object:os.system is not used here",
            id="tag",
        ),
        pytest.param(
            f"{BASE}max_assets: !!int x", "edge.yaml:5: max_assets: 'x' is not of type int", id="bad-tag"
        ),
        pytest.param(f"{BASE}? [a]\n: 1", "edge.yaml:5: a key must be a plain word", id="odd-key"),
        pytest.param(
            f"{BASE}a: \x01", "edge.yaml:5: file has a character that YAML does not allow", id="control"
        ),
        pytest.param("[" * 100_000, "edge.yaml: nested too deeply", id="deep"),
        pytest.param(
            "#" * 2_000_000,
            "edge.yaml: file is too large: expected at most 1048576 bytes",
            id="large",
        ),
    ],
)
def test_config_refused(path: Path, text: str, expected: str) -> None:
    """One line: file, line, key, what is wrong, what was expected, what was there."""
    assert expected == refusal(path, text)


def _with_input(text: str) -> str:
    return f"node: plant\nbundle: m.elb\ninputs:\n  - {text}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BASE.replace("plant\n", "a/b\n", 1), "node: cannot be one level of a topic: expected another name"),
        (BASE.replace("m.elb", '""'), "bundle: is empty"),
        (f"{BASE}mqtt: {{host: ''}}", "mqtt.host: is empty"),
        (f"{BASE}mqtt: {{base: 'a//b'}}", "mqtt.base: cannot be one level of a topic"),
        (f"{BASE}mqtt: {{base: '$SYS'}}", "topics that begin with $ belong to the broker"),
        (f"{BASE}mqtt: {{client_id: ''}}", "mqtt.client_id: is not a name"),
        (f"{BASE}mqtt: {{websocket_path: mqtt}}", "mqtt.websocket_path: is not a path"),
        (f"{BASE}mqtt: {{client: mqtt5, websocket_path: /mqtt}}", "got mqtt5 with websockets"),
        (f"{BASE}mqtt: {{client: mqtt5, protocol: 3.1.1}}", "got mqtt5 with protocol 3.1.1"),
        (
            f"{BASE}mqtt: {{username: u, password_file: 'credential:a/b'}}",
            "mqtt.password_file: is not a cred",
        ),
        (f"{BASE}mqtt: {{tls: {{ca_file: 'credential:'}}}}", "mqtt.tls.ca_file: is not a credential"),
        (f"{BASE}mqtt: {{password_file: p}}", "mqtt.username: a password needs a user name"),
        (f"{BASE}mqtt: {{tls: {{cert_file: c}}}}", "mqtt.tls.key_file: certificate and key belong together"),
        (_with_input("topic: a/b"), "inputs[0].topic: does not say which machine it is"),
        (_with_input("topic: a/{asset}\n    asset: x"), "got {asset} in the topic and the key asset"),
        (
            _with_input("topic: a\n    asset: x\n    asset_field: y"),
            "got the key asset and the key asset_field",
        ),
        (_with_input("topic: a\n    format: senml"), "expected {asset} in the topic, or the key asset, got"),
        (
            _with_input("topic: a\n    format: senml\n    asset: x\n    time_field: t"),
            "time_field: belongs to format json or cbor or value; the format itself says where that is",
        ),
        (
            _with_input("topic: a/{asset}\n    format: value\n    channel: c\n    seq_field: n"),
            "seq_field: belongs to format json or cbor",
        ),
        (
            _with_input("topic: a\n    format: influx\n    asset: x\n    time_format: rfc3339"),
            "time_format: line protocol has times as whole numbers: expected ns, us, ms or s; auto is ns",
        ),
        (_with_input("topic: a/{asset}\n    schema_field: v"), "schema_field: says nothing alone"),
        (_with_input("topic: a/{asset}\n    schemas: ['1']"), "schemas: says nothing alone"),
        (
            _with_input("topic: spBv1.0/{asset}/#\n    format: sparkplug"),
            "with format sparkplug node and device of the topic name the machine",
        ),
        (
            _with_input("topic: spBv1.0/plant/DDATA/#\n    format: sparkplug"),
            "does not hear everything that an edge node of Sparkplug says: expected spBv1.0/GROUP/#",
        ),
        (_with_input("topic: spBv1.0/+/#\n    format: sparkplug"), "does not hear everything"),
        (_with_input("topic: spBv1.0/plant/+/+/+\n    format: sparkplug"), "does not hear everything"),
        (_with_input("topic: a\n    asset: x/y"), "inputs[0].asset: cannot be one level of a topic"),
        (_with_input("topic: a/{asset}/{channel}"), "inputs[0].format: with format json the channels are in"),
        (_with_input("topic: a/{asset}\n    format: value"), "does not say which channel it is"),
        (
            _with_input("topic: a/x{asset}"),
            "inputs[0].topic: not a topic template: 'x{asset}' is not {asset}",
        ),
        (_with_input("topic: '{asset}/#/b'"), "'#' can only be the last level"),
        (_with_input("topic: $share/g/{asset}"), "loses their order"),
        (_with_input("topic: '#'\n    asset: x"), "would read what this daemon publishes itself"),
        (_with_input("topic: edge-lstm/plant/{asset}/score"), "which meets 'edge-lstm/plant/+/score'"),
        (
            _with_input("topic: a/{asset}\n    time_format: ms"),
            "inputs[0].time_format: says the form of a time",
        ),
        (
            _with_input("topic: a/{asset}\n    time_field: a..b"),
            "inputs[0].time_field: is not a name or dotted",
        ),
        (
            _with_input("topic: a/{asset}\n    value_field: v"),
            "inputs[0].value_field: belongs to format value",
        ),
        (
            _with_input("topic: '{asset}/{channel}'\n    format: value\n    values_field: v"),
            "inputs[0].values_field: belongs to format json",
        ),
        (
            _with_input("topic: '{asset}/{channel}'\n    format: value\n    time_field: t"),
            "inputs[0].time_field: a plain number has no time",
        ),
        (_with_input("topic: a/{asset}\n    channels: {a: x, b: x}"), "two names stand for channel 'x'"),
        (_with_input("topic: a/{asset}\n    channels: {a: ''}"), "inputs[0].channels: a name is empty"),
        (
            _with_input("topic: a/{asset}\n  - topic: a/+\n    asset: x"),
            "inputs[1].topic: overlaps with another",
        ),
        (f"{BASE}alarm: {{threshold: 0}}", "alarm.threshold: is not a level"),
        (f"{BASE}alarm: {{close_ratio: 1.1}}", "alarm.close_ratio: wrong value: expected above 0, at most 1"),
        (
            f"{BASE}alarm: {{open_after: 0}}",
            "alarm.open_after: wrong value: expected 1 to 1000000000 frames, got 0",
        ),
        (f"{BASE}alarm: {{update_every_s: -1}}", "alarm.update_every_s: wrong value"),
    ],
)
def test_config_rule_broken(path: Path, text: str, expected: str) -> None:
    """What types cannot say is checked too, and named the same way."""
    message = refusal(path, text)

    assert expected in message
    assert re.match(r"edge\.yaml:\d+: ", message)


def test_config_file_absent(path: Path) -> None:
    """The path and what to do."""
    with pytest.raises(ConfigError, match=r"edge\.yaml: cannot read the configuration: No such file"):
        load_config(path, environ={})


def test_config_not_text(path: Path) -> None:
    """The line of the first byte that is not UTF-8."""
    path.write_bytes(b"node: a\nbundle: \xff\n")
    with pytest.raises(ConfigError, match="2: file is not UTF-8 text; save it as UTF-8"):
        load_config(path, environ={})


def test_config_byte_order_mark_is_ignored(path: Path) -> None:
    """Editors on Windows write one."""
    path.write_text(f"\ufeff{BASE}", "utf-8")

    assert "plant" == load_config(path, environ={}).node


def test_config_empty_section_is_one_of_defaults(path: Path) -> None:
    """A section whose keys are all commented out."""
    assert MqttConfig() == load(path, f"{BASE}mqtt:\nalarm:\n").mqtt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("~", None),
        ("True", True),
        ("010", 10),
        ("1e3", 1000.0),
        ("12:30", "12:30"),
    ],
)
def test_yaml_scalars_are_those_of_version_1_2(text: str, expected: object) -> None:
    """The traps of YAML 1.1 are gone."""
    assert expected == parse_yaml(text, source="x").data


def test_config_environment_stands_over_the_file(path: Path) -> None:
    """Sections, items of lists, mappings, whole values; text stays text; empty is null."""
    environ = {
        "EDGE_LSTM__MQTT__HOST": "broker",
        "EDGE_LSTM__MQTT__PORT": "8883",
        "EDGE_LSTM__MQTT__USERNAME": "17",
        "EDGE_LSTM__MQTT__CLIENT_ID": "",
        "EDGE_LSTM__MQTT__TLS__CA_FILE": "ca.pem",
        "EDGE_LSTM__INPUTS__0__TOPIC": "x/{asset}",
        "EDGE_LSTM__INPUTS__0__CHANNELS__P_out": "pressure",
        "EDGE_LSTM__INPUTS__1": "{topic: y, asset: z}",
        "EDGE_LSTM__PUBLISH__QUALITY": "false",
        "EDGE_LSTM__ALARM__THRESHOLD": "1.5",
        "EDGE_LSTM_RUN_CONFIG": "not ours",
    }
    text = f"{BASE}  - topic: q\n    asset: r\nmqtt: {{port: 1, client_id: me}}\n"
    config = load(path, text, environ)

    assert ("broker", 8883, "17", None) == (
        config.mqtt.host,
        config.mqtt.port,
        config.mqtt.username,
        config.mqtt.client_id,
    )
    assert TlsConfig(ca_file=str(path.parent / "ca.pem")) == config.mqtt.tls
    assert [("x/{asset}", {"P_out": "pressure"}), ("y", {})] == [(i.topic, i.channels) for i in config.inputs]
    assert (False, 1.5) == (config.publish.quality, config.alarm.threshold)


def test_config_environment_can_make_inputs(path: Path) -> None:
    """A file without inputs, for containers."""
    environ = {"EDGE_LSTM__INPUTS__0__TOPIC": "x/{asset}", "EDGE_LSTM__INPUTS__0__QOS": "0"}

    assert 0 == load(path, "node: a\nbundle: b\n", environ).inputs[0].qos


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MQTT__HOTS", "x", "mqtt.hots: unknown key: expected 'host', got 'hots'"),
        ("MQTT__PORT", "x", "mqtt.port: wrong value: expected a whole number, got 'x'"),
        ("MQTT__PORT", "[", "not valid YAML"),
        ("INPUTS__5__TOPIC", "x", "there is no '5' in the file"),
        ("INPUTS__5", "{}", "inputs[5]: there is no such place"),
        ("NODE__X", "1", "node.x: there is no such place in the file"),
        ("NODE", "a/b", "node: cannot be one level of a topic"),
    ],
)
def test_config_environment_refused(path: Path, name: str, value: str, expected: str) -> None:
    """The variable stands where the file would."""
    message = refusal(path, BASE, {f"EDGE_LSTM__{name}": value})

    assert message.startswith(f"environment variable EDGE_LSTM__{name}")
    assert expected in message


def test_config_options_stand_over_all(path: Path) -> None:
    """Command line over environment over file; what was not given changes nothing."""
    config = load(path, BASE, {"EDGE_LSTM__BUNDLE": "env.elb"}, bundle="/opt/cli.elb", log_level=None)

    assert ("/opt/cli.elb", "info") == (config.bundle, config.log_level)


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Any other struct."""

    steps: int = 5


def test_load_struct_reads_any_struct(path: Path) -> None:
    """The same errors for other files."""
    path.write_text("step: 1\n")
    with pytest.raises(ConfigError, match="1: step: unknown key: expected 'steps'"):
        load_struct(path, Other, environ={})


@settings(max_examples=200)
@given(st.text(alphabet=" \n\t-:{}[]#&*!|>'\"%@`?,abcdemnoqstu0123./~", max_size=60))
def test_config_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No text ends in anything but a configuration or one line."""
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text(text, "utf-8")
    said = ""
    try:
        load_config(path, environ={})
    except ConfigError as error:
        said = str(error)

    assert "\n" not in said


@pytest.mark.parametrize("topic", ["spBv1.0/plant/#", "spBv1.0/plant/+/line-4/#", "spBv1.0/plant/+/+/#"])
def test_config_sparkplug_topics(path: Path, topic: str) -> None:
    """Filters that hear all of a node are good."""
    text = BASE.replace("plant/{asset}/readings", f"{topic}\n    format: sparkplug")

    assert topic == load(path, text).inputs[0].topic


# ------------------------------------------------------------------------------- the example file


def _entries() -> Iterator[tuple[str, str, str]]:
    """Dotted key, comment above it, and text of its value, for every key of the example file."""
    comment: list[str] = []
    stack: list[tuple[int, str]] = []
    for line in EXAMPLE.read_text("utf-8").splitlines():
        stripped = line.strip().removeprefix("- ")
        if stripped.startswith("# --"):
            comment = []
        elif stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
        elif not stripped:
            comment = comment if line else []
        else:
            indent = len(line) - len(line.lstrip()) + (2 if "- " in line else 0)
            key, _, value = stripped.partition(":")
            stack = [(depth, name) for depth, name in stack if depth < indent] + [(indent, key)]
            yield ".".join(name for _, name in stack), " ".join(comment), value.strip()
            comment = []


ENTRIES = {key: (comment, value) for key, comment, value in _entries()}


def _keys(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the types with its default."""
    for field in msgspec.structs.fields(kind):
        key = f"{prefix}{field.encode_name}"
        default = (
            field.default_factory()
            if field.default is msgspec.NODEFAULT and not field.required
            else field.default
        )
        yield key, msgspec.NODEFAULT if field.required else default
        if isinstance(default, msgspec.Struct):
            yield from _keys(type(default), f"{key}.")
        elif key == "inputs":
            (item,) = [t for t in (msgspec.inspect.type_info(kind).fields) if t.name == "inputs"]  # type: ignore[attr-defined]
            yield from _keys(item.type.item_type.cls, "inputs.")


KEYS = dict(_keys(DeviceConfig))


def test_example_has_every_key_and_no_other() -> None:
    """The file is complete."""
    assert set(KEYS) == set(ENTRIES)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_example_explains_key(key: str) -> None:
    """Every key has a comment that says what it is; with its true default, or that it is required."""
    comment, value = ENTRIES[key]
    default = KEYS[key]
    assert len(comment.split()) >= 3
    if default is msgspec.NODEFAULT:
        assert "Required." in comment
    elif not isinstance(default, msgspec.Struct):
        said = re.findall(r"Default: (\S+?)(?=\.? Example|\.? *$)", comment)[-1]
        assert msgspec.json.decode(msgspec.json.encode(default)) == parse_yaml(said, source="comment").data
        if key != "inputs.time_field":  # the one key that the example sets, because one should
            assert msgspec.json.decode(msgspec.json.encode(default)) == parse_yaml(value, source="file").data


@pytest.mark.parametrize("key", TlsConfig.__struct_fields__)
def test_example_explains_tls_key(key: str) -> None:
    """TLS is off in the file, so its keys are in the comment."""
    comment, _ = ENTRIES["mqtt.tls"]

    assert re.search(rf"{key} .*?Default: null\. Example: \S+", comment)


def test_example_loads_with_the_defaults() -> None:
    """The file is valid, and equal to one that has the required keys only."""
    config = load_config(EXAMPLE, environ={})

    assert MqttConfig() == config.mqtt
    assert [] == [
        key
        for key, default in KEYS.items()
        if "." not in key and default is not msgspec.NODEFAULT and getattr(config, key) != default
    ]


# ----------------------------------------------------------------------------- files that it names


def test_settings_read_the_password_at_every_connection(path: Path) -> None:
    """The first line counts, and a new one is taken without a restart."""
    secret = path.with_name("secret")
    secret.write_text("one\nrest\n")
    made = mqtt_settings(load(path, f"{BASE}mqtt: {{username: u, password_file: secret}}"))
    assert "one" == read_password(made)
    secret.write_text("two")

    assert "two" == read_password(made)
    assert "two" not in repr(made)


@pytest.mark.parametrize(
    ("mqtt", "expected"),
    [
        ("{username: u, password_file: none}", "mqtt.password_file: cannot read .*none: No such file"),
        ("{username: u, password_file: empty}", "mqtt.password_file: .*empty is empty"),
        ("{username: u, password_file: bytes}", "mqtt.password_file: .*not UTF-8 text"),
        ("{tls: {ca_file: none}}", "mqtt.tls.ca_file: cannot use .*none: No such file"),
        ("{tls: {ca_file: empty}}", "mqtt.tls.ca_file: cannot use .*empty"),
        ("{tls: {cert_file: empty, key_file: empty}}", "mqtt.tls.cert_file: cannot use .*not a certificate"),
    ],
)
def test_settings_file_that_cannot_be_used(path: Path, mqtt: str, expected: str) -> None:
    """Files are looked at before the daemon starts, and the key is named."""
    path.with_name("empty").touch()
    path.with_name("bytes").write_bytes(b"\xff\xfe")
    config = load(path, f"{BASE}mqtt: {mqtt}")
    with pytest.raises(ConfigError, match=expected):
        mqtt_settings(config)


def test_settings_take_credentials_of_systemd(path: Path, tmp_path: Path) -> None:
    """credential:NAME is a file in the folder that systemd names; without that folder the key says so."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "secret").write_text("hidden")
    text = f"{BASE}mqtt: {{username: u, password_file: 'credential:secret'}}"
    made = mqtt_settings(load(path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path / "given")}))
    assert "hidden" == read_password(made)
    with pytest.raises(ConfigError, match=r"mqtt\.password_file: .*LoadCredential=secret:/path"):
        mqtt_settings(load(path, text))
    with pytest.raises(ConfigError, match=r"mqtt\.tls\.key_file: .*LoadCredential=key:/path"):
        mqtt_settings(load(path, f"{BASE}mqtt: {{tls: {{cert_file: c, key_file: 'credential:key'}}}}"))


def test_settings_tls_checks_the_host_name(path: Path) -> None:
    """TLS without checks is not to be had."""
    made = mqtt_settings(load(path, f"{BASE}mqtt: {{tls: {{}}}}"))

    assert made.tls is not None
    assert made.tls.check_hostname


def test_channels_that_the_model_lacks_are_found(path: Path) -> None:
    """A misspelt name in a mapping would leave its channel without a value for ever."""
    path.write_text(
        "node: n\nbundle: b\ninputs:\n"
        "  - {topic: 'x/{asset}', channels: {Q: a, P: pressure}}\n"
        "  - {topic: 'y/{asset}', format: value, channel: T1, channels: {T1: b}}\n"
        "  - {topic: 'z/{asset}', format: value, channel: speed}\n",
        "utf-8",
    )

    assert ["pressure", "speed"] == unknown_channels(load_config(path, environ={}), fake_manifest())
