"""The configuration a device gets: somebody's own text, with as little of it changed as can be.

Values are put in at their place in the text, so comments, order and blank lines stay.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from edge_lstm.config import load_config
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.errors import ConfigError, DeployError
from edge_lstm.topics import check_name

__all__ = ["Broker", "Site", "check_config", "node_name", "parse_broker", "put_value", "site_text"]


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is; a port of ``None`` is left as it is."""

    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What the operator says about the configuration; ``None`` is left as it is.

    Attributes:
        config: A configuration file to take.
        broker: Where the broker is.
        node: Name of the device.
    """

    config: Path | None = None
    broker: Broker | None = None
    node: str | None = None


def parse_broker(text: str) -> Broker:
    """Read ``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``.

    Raises:
        ValueError: It is none of them.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", text)
    port = int(match[3]) if match and match[3] else None
    if match is None or (port is not None and not 1 <= port <= 65535):
        raise ValueError(f"'{text}' is not HOST or HOST:PORT (an IPv6 address in brackets)")
    return Broker(match[1] or match[2], port)


def node_name(hostname: str) -> str:
    """A name for the device from what it calls itself."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", hostname.partition(".")[0]).strip("-.")
    return name if name and check_name(name) is None else "edge-lstm"


def site_text(site: Site, *, existing: str | None, bundle: str, hostname: str) -> str:
    """The configuration's text: the operator's file, else what is there, else a new one.

    Args:
        site: What the operator says.
        existing: What is on the device, or ``None``.
        bundle: Where the bundle is on the device.
        hostname: What the device calls itself.

    Raises:
        ConfigError: The operator's file is not a configuration.
        DeployError: A value has no place in the text.
    """
    if site.config is not None:
        load_config(site.config, environ={})
        text = site.config.read_text("utf-8-sig")
    else:
        text = existing if existing is not None else _NEW.replace("NODE", node_name(hostname))
    values: list[tuple[tuple[str, ...], str | int | None]] = [(("bundle",), bundle), (("node",), site.node)]
    if site.broker is not None:
        values += [(("mqtt", "host"), site.broker.host), (("mqtt", "port"), site.broker.port)]
    for path, value in values:
        text = text if value is None else put_value(text, path, value)
    return text


def check_config(text: str, *, source: str) -> DeviceConfig:
    """Read a configuration that is not in a file here.

    Args:
        text: Its text.
        source: What stands in front of errors.

    Raises:
        ConfigError: It is not one.
    """
    with tempfile.TemporaryDirectory(prefix="elstm-") as folder:
        path = Path(folder) / "edge-lstm.yaml"
        path.write_text(text, "utf-8")
        try:
            return load_config(path, environ={})
        except ConfigError as error:
            error.path = source
            raise


def put_value(text: str, path: tuple[str, ...], value: str | int) -> str:
    """The same text with a value at a key: replaced there, or put in as a new first line of its section.

    Raises:
        DeployError: The text has no such place.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        do = "give a good one with --config"
        raise DeployError("the configuration is not YAML", got=str(error), do=do) from error
    for depth, key in enumerate(path):
        if not isinstance(node, yaml.MappingNode) or node.flow_style:
            what = f"no place for {'.'.join(path)} in the configuration"
            raise DeployError(what, do="set it in the file, on lines of its own")
        entry = next((pair for pair in node.value if pair[0].value == key), None)
        if entry is None or (depth < len(path) - 1 and _is_empty(entry[1])):
            return _insert(text, node, path[depth:], value, entry)
        node = entry[1]
    if not isinstance(node, yaml.ScalarNode):
        raise DeployError(f"{'.'.join(path)} is not one value in the configuration", do="set it in the file")
    if _same(node, value):
        return text
    start, end = node.start_mark.index, node.end_mark.index
    gap = " " if start == end else ""
    return f"{text[:start].rstrip(' ') if gap else text[:start]}{gap}{_scalar(value)}{text[end:]}"


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == ""


def _same(node: yaml.ScalarNode, value: str | int) -> bool:
    plain_text = isinstance(value, int) and node.style is not None
    return node.value == str(value) and not plain_text


def _insert(
    text: str,
    node: yaml.MappingNode,
    rest: tuple[str, ...],
    value: str | int,
    entry: tuple[yaml.Node, yaml.Node] | None,
) -> str:
    """A key that is not there yet, in front of the first one of its mapping or under its empty section."""
    indent = " " * node.start_mark.column
    if entry is not None:
        at = text.find("\n", entry[0].end_mark.index)
        at, rest, indent = (len(text) if at < 0 else at + 1), rest[1:], f"{indent}  "
    else:
        at = node.start_mark.index - node.start_mark.column
    lines = [f"{indent}{'  ' * depth}{key}:" for depth, key in enumerate(rest)]
    block = "\n".join(lines) + f" {_scalar(value)}\n"
    head = text[:at]
    return f"{head}{'' if not head or head.endswith(chr(10)) else chr(10)}{block}{text[at:]}"


def _scalar(value: str | int) -> str:
    """A value in YAML: plain where that reads back as the same."""
    if isinstance(value, int):
        return str(value)
    try:
        plain = yaml.safe_load(value) == value
    except yaml.YAMLError:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


_NEW = """\
# Configuration of edge-lstm on this device. Every key is explained in configs/edge-lstm.yaml of the project.

# Name of this device, one level of every topic that is published.
node: NODE

# The model; 'edge-lstm deploy' switches it.
bundle: current.elb

# The broker. Change it with 'edge-lstm deploy --broker', which also lets the service talk to it.
mqtt:
  host: 127.0.0.1
  port: 1883

# Where readings come from: one JSON object a message, {"time": "2026-01-05T08:00:00Z", "flow": 12.5, ...}
inputs:
  - topic: plant/{asset}/readings
    time_field: time
"""
