"""JSON Schema and the table of configuration keys, made from the types. docs/generate.py writes them.

The texts are the *Attributes* of the structs' docstrings, so they are written once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.alert import Alert
from edge_lstm.contracts.commission import Commission, CommissionConfig
from edge_lstm.contracts.config import (
    DeviceConfig,
    DurabilityConfig,
    InputConfig,
    MetricsConfig,
    MqttConfig,
    PublishConfig,
    SnapshotConfig,
    TlsConfig,
)
from edge_lstm.contracts.status import Status
from edge_lstm.contracts.streams import StreamsConfig
from edge_lstm.io.health import Health

__all__ = ["attribute_texts", "generated", "main"]

_SCHEMAS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "config": (DeviceConfig, "Configuration of an edge-lstm device"),
    "alert": (Alert, "edge-lstm.alert/1"),
    "commission": (Commission, "edge-lstm.commission/1"),
    "health": (Health, "edge-lstm.health/1"),
    "status": (Status, "edge-lstm.status/1"),
}
_SECTIONS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("", DeviceConfig),
    ("mqtt.", MqttConfig),
    ("mqtt.tls.", TlsConfig),
    ("inputs[].", InputConfig),
    ("alarm.", AlarmOverrides),
    ("commission.", CommissionConfig),
    ("publish.", PublishConfig),
    ("durability.", DurabilityConfig),
    ("snapshot.", SnapshotConfig),
    ("streams.", StreamsConfig),
    ("metrics.", MetricsConfig),
)


def attribute_texts(kind: type) -> dict[str, str]:
    """Attribute name to its text in the docstring's *Attributes* section."""
    _, _, section = (getdoc(kind) or "").partition("Attributes:\n")
    texts: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if start := re.match(r" {4}(\w+): (.*)", line):
            name = start[1]
            texts[name] = start[2]
        elif name and line.startswith("     "):
            texts[name] += f" {line.strip()}"
    return texts


def _schema(kind: type[msgspec.Struct], title: str) -> dict[str, Any]:
    (reference,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    structs = {found.__name__: found for found in _structs(kind)}
    for name, part in parts.items():
        texts = attribute_texts(structs[name])
        part["description"] = (getdoc(structs[name]) or "").partition("\n\n")[0]
        for key, value in part.get("properties", {}).items():
            part["properties"][key] = {"description": texts[key], **value} if key in texts else value
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **reference,
        "$defs": parts,
    }


def _structs(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """A struct and every struct in its fields."""
    todo: list[Any] = [inspect.type_info(kind)]
    while todo:
        info = todo.pop()
        if isinstance(info, inspect.StructType):
            yield info.cls
            todo += [field.type for field in info.fields]
        elif isinstance(info, inspect.UnionType):
            todo += info.types
        elif isinstance(info, inspect.VarTupleType | inspect.ListType):
            todo.append(info.item_type)


def _reference() -> str:
    """``docs/config-reference.md``."""
    lines = [
        "# Configuration keys",
        "",
        "Made from the types; `make docs` writes it anew, so do not edit it.",
        "The file `configs/edge-lstm.yaml` explains each key at length.",
        "",
        "Defaults, then the file, then the environment, then options on the command line.",
        "In the environment `inputs[]` is counted from 0: `EDGE_LSTM__INPUTS__0__TOPIC`.",
        "",
        "| Key | Default | Environment | What it is |",
        "|---|---|---|---|",
    ]
    for prefix, kind in _SECTIONS:
        texts = attribute_texts(kind)
        for field in msgspec.structs.fields(kind):
            key = f"{prefix}{field.encode_name}"
            variable = "EDGE_LSTM__" + key.replace("[]", ".0").replace(".", "__").upper()
            lines.append(f"| `{key}` | {_default(field)} | `{variable}` | {texts[field.name]} |")
    return "\n".join(lines) + "\n"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "*required*"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return (
        "*see below*" if isinstance(default, msgspec.Struct) else f"`{msgspec.json.encode(default).decode()}`"
    )


def generated() -> dict[str, str]:
    """Path below ``docs`` to content, for every page that is made from types."""
    pages = {"config-reference.md": _reference()}
    for name, (kind, title) in _SCHEMAS.items():
        text = msgspec.json.format(msgspec.json.encode(_schema(kind, title)), indent=2).decode()
        pages[f"schemas/{name}.schema.json"] = f"{text}\n"
    return pages


def main(folder: Path) -> None:
    """Write the pages into a folder."""
    for name, text in generated().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
