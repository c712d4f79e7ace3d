"""YAML files as plain data that remembers its lines.

Scalars are read by the core schema of YAML 1.2: ``no`` and ``on`` are words, ``010`` is ten
and ``1e3`` is a number. Anchors, tags and duplicate keys are refused: nothing in a
configuration needs them, and each hides a mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from edge_lstm.errors import ConfigError
from edge_lstm.files import read_at_most

__all__ = ["Document", "Path_", "dotted", "parse_yaml", "read_yaml"]

MAX_BYTES = 2**20

Path_ = tuple[str | int, ...]
"""Where a value stands: keys and list indexes from the root."""


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data and where it was written.

    Attributes:
        source: The file, or what else it came from.
        data: Dicts, lists and scalars.
        lines: Line of each value's key (or of the list's item), counted from 1.
    """

    source: str
    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner and parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's name

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not used here", mark)
        return super().compose_node(parent, index)


_RULES = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
)
_KINDS = ("map", "seq", "str", "null", "bool", "int", "float")
for _tag, _pattern, _first in _RULES:
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def dotted(path: Path_) -> str:
    """``inputs[0].topic``: how a place is named to people."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_yaml(path: Path) -> Document:
    """Read a file.

    Raises:
        ConfigError: It cannot be read or is not YAML; names the line.
    """
    try:
        raw = read_at_most(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration: {error.strerror}",
            path=path,
            do="check the path and its permissions",
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError("file is too large", path=path, expected=f"at most {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError("file is not UTF-8 text", path=path, line=line, do="save it as UTF-8") from error
    return parse_yaml(text, source=str(path))


def parse_yaml(text: str, *, source: str) -> Document:
    """Read text; ``source`` stands in front of errors.

    Raises:
        ConfigError: It is not YAML, or uses what is refused here; names the line.
    """
    document = Document(source, None)
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = _plain(node, (), document) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _refuse(source, f"not valid YAML: {error.problem or error.context}", mark)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError("file has a character that YAML does not allow", path=source, line=line) from error
    except RecursionError as error:
        raise ConfigError("nested too deeply", path=source) from error
    return Document(source, data, document.lines)


def _refuse(
    source: str, what: str, mark: yaml.Mark | None, key: str | None = None, do: str | None = None
) -> NoReturn:
    line = mark.line + 1 if mark is not None else None
    if "'\\t'" in what:
        do = "indent with blanks, not with tabs"
    elif "<block end>" in what:
        do = "check the indentation; text that begins with { or [ must be in quotes"
    raise ConfigError(what, path=source, line=line, key=key, do=do)


def _plain(node: yaml.Node, path: Path_, document: Document) -> Any:  # noqa: ANN401 - plain data is any data
    document.lines.setdefault(path, node.start_mark.line + 1)
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _KINDS:
        _refuse(document.source, f"tag {node.tag} is not used here", node.start_mark, dotted(path))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, number), document) for number, item in enumerate(node.value)]
    return _scalar(node, path, document)


def _mapping(node: yaml.MappingNode, path: Path_, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            _refuse(document.source, "a key must be a plain word", key_node.start_mark, dotted(path))
        key = str(key_node.value)
        place = (*path, key)
        if key in found:
            first = f"the first one is in line {document.lines[place]}"
            _refuse(document.source, "key is given twice", key_node.start_mark, dotted(place), first)
        document.lines[place] = key_node.start_mark.line + 1
        found[key] = _plain(value_node, place, document)
    return found


def _scalar(node: yaml.Node, path: Path_, document: Document) -> str | int | float | bool | None:
    value, kind = str(node.value), node.tag.removeprefix("tag:yaml.org,2002:")
    if "\0" in value:  # no path, name or topic can have it, and each user of one would fail in its own way
        _refuse(document.source, "a value has a NUL character in it", node.start_mark, dotted(path))
    if kind == "str":
        return value
    if kind == "null":
        return None
    if kind == "bool":
        return value.lower() == "true"
    try:
        if kind == "int":
            return int(value)
        if kind == "float":
            return float(value.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        pass  # an explicit tag that the text does not bear out, or an endless number
    _refuse(document.source, f"{value[:40]!r} is not of type {kind}", node.start_mark, dotted(path))
