"""Configuration files to typed, checked structs; every fault is one line that names file, line and key.

Order: defaults, then the file, then environment (``EDGE_LSTM__MQTT__HOST``), then options
on the command line. `load_struct` serves any struct; `load_config` is the device's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from edge_lstm.config_rules import problems
from edge_lstm.contracts.config import CREDENTIAL, DeviceConfig
from edge_lstm.errors import ConfigError
from edge_lstm.yamlfile import Document, Path_, dotted, parse_yaml, read_yaml

__all__ = ["ENV_PREFIX", "load_config", "load_struct"]

ENV_PREFIX = "EDGE_LSTM__"

T = TypeVar("T", bound=msgspec.Struct)

_PATHS = (
    ("bundle",),
    ("state_dir",),
    ("mqtt", "password_file"),
    ("mqtt", "tls", "ca_file"),
    ("mqtt", "tls", "cert_file"),
    ("mqtt", "tls", "key_file"),
)
_HINTS = {
    "qos": "with QoS 2 the client confirms and forgets a reading before it is scored, and what it had "
    "confirmed is lost with the process; use 1, whose repeats are recognised",
}
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a mapping (key: value)",
    "array": "a list",
    "null": "nothing",
}


def load_config(
    path: Path, *, environ: Mapping[str, str], options: Mapping[str, object] | None = None
) -> DeviceConfig:
    """The device's configuration.

    Args:
        path: The YAML file.
        environ: Environment variables; those of `ENV_PREFIX` stand over the file.
        options: Top-level keys that stand over both; ``None`` values are left out.

    Raises:
        ConfigError: The first fault found.
    """
    config, places = load_struct(path, DeviceConfig, environ=environ, options=options)
    for problem in problems(config):
        raise ConfigError(
            problem.what,
            **places.of(problem.path),
            key=dotted(problem.path),
            expected=problem.expected,
            got=problem.got,
            do=problem.do,
        )
    return _resolve_paths(config, path.absolute().parent, environ.get("CREDENTIALS_DIRECTORY"))


class Places:
    """Where each value was written: the file's line, or the environment variable."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._over: dict[Path_, str] = {}

    def put(self, path: Path_, source: str) -> None:
        """Remember that a value comes from elsewhere than the file."""
        self._over[path] = source

    def of(self, path: Path_) -> dict[str, Any]:
        """Keyword arguments ``path`` and ``line`` of a `ConfigError`."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._over:
                return {"path": self._over[path[:end]]}
            if path[:end] in self._document.lines:
                return {"path": self._document.source, "line": self._document.lines[path[:end]]}
        return {"path": self._document.source}


def load_struct(
    path: Path,
    kind: type[T],
    *,
    environ: Mapping[str, str],
    options: Mapping[str, object] | None = None,
    prefix: str = ENV_PREFIX,
) -> tuple[T, Places]:
    """Read a YAML file into any struct; see `load_config`.

    Raises:
        ConfigError: The first fault found.
    """
    document = read_yaml(path)
    places = Places(document)
    info = inspect.type_info(kind)
    data = {} if document.data is None else document.data
    for name in sorted(environ):
        if name.startswith(prefix):
            _put_env(data, info, name, environ[name], places, prefix)
    for key, value in (options or {}).items():
        if value is not None and isinstance(data, dict):
            data[key] = value
            places.put((key,), "command line")
    data = _known_keys(data, info, (), places)
    try:
        return msgspec.convert(data, kind), places
    except msgspec.ValidationError as error:
        raise _explain(str(error), data, info, places) from error


def _resolve_paths(config: DeviceConfig, folder: Path, credentials: str | None) -> DeviceConfig:
    """Relative paths start at the file's folder, wherever the daemon is started; credentials at systemd's.

    A credential stays as it is where systemd has given none: whoever opens it says so.
    """
    data = msgspec.to_builtins(config)
    for *parents, last in _PATHS:
        section = data
        for parent in parents:
            section = section[parent] or {}
        value = section.get(last)
        if value and value.startswith(CREDENTIAL):
            section[last] = str(Path(credentials) / value.removeprefix(CREDENTIAL)) if credentials else value
        elif value:
            section[last] = str(folder / value)
    return msgspec.convert(data, DeviceConfig)


# -------------------------------------------------------------------------------------------- environment


def _put_env(data: Any, info: inspect.Type, name: str, text: str, places: Places, prefix: str) -> None:  # noqa: ANN401
    """Put one environment variable's value where it belongs."""
    source = f"environment variable {name}"
    here = data
    path: Path_ = ()
    *parents, last = name.removeprefix(prefix).split("__")
    for part in parents:
        key, info = _env_key(part, info)
        path = (*path, key)
        here = _env_section(here, key, info, source)
    key, info = _env_key(last, info)
    value = _env_value(text, info, source)
    in_list = isinstance(here, list) and isinstance(key, int) and key < len(here)
    if not in_list and not (isinstance(here, dict) and isinstance(key, str)):
        raise ConfigError("there is no such place in the file", path=source, key=dotted((*path, key)))
    here[key] = value
    places.put((*path, key), source)


def _env_key(part: str, info: inspect.Type) -> tuple[str | int, inspect.Type]:
    """The key that a part of the name means, and what is expected there."""
    info = _inner(info)
    if isinstance(info, inspect.DictType):
        return part, info.value_type
    if isinstance(info, inspect.VarTupleType | inspect.ListType) and part.isdecimal():
        return int(part), info.item_type
    key = part.lower()
    return key, next((f.type for f in _fields(info) if f.encode_name == key), inspect.AnyType())


def _env_section(here: Any, key: str | int, info: inspect.Type, source: str) -> Any:  # noqa: ANN401
    """The section or list of that key, made when it is not there; a list grows by one at most."""
    if isinstance(here, list) and key == len(here):
        here.append({})
    if isinstance(here, dict) and here.get(str(key)) is None:
        here[str(key)] = [] if isinstance(_inner(info), inspect.VarTupleType | inspect.ListType) else {}
    if isinstance(here, dict):
        return here[str(key)]
    if isinstance(here, list) and isinstance(key, int) and key < len(here):
        return here[key]
    raise ConfigError(f"there is no '{key}' in the file to set a part of", path=source)


def _env_value(text: str, info: inspect.Type, source: str) -> Any:  # noqa: ANN401
    """Text where text is meant (a name of digits stays text), else YAML; empty text is null if it may be."""
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    if any(isinstance(kind, inspect.StrType) for kind in kinds):
        optional = any(isinstance(kind, inspect.NoneType) for kind in kinds)
        return None if optional and not text else text
    return parse_yaml(text, source=source).data


# ------------------------------------------------------------------------------------------- keys and types


def _inner(info: inspect.Type) -> inspect.Type:
    """The type meant by ``X | None``, and by annotations around it."""
    if isinstance(info, inspect.Metadata):
        return _inner(info.type)
    if isinstance(info, inspect.UnionType):
        return next((_inner(kind) for kind in info.types if not isinstance(kind, inspect.NoneType)), info)
    return info


def _fields(info: inspect.Type) -> tuple[inspect.Field, ...]:
    return info.fields if isinstance(info, inspect.StructType) else ()


def _known_keys(data: Any, info: inspect.Type, path: Path_, places: Places) -> Any:  # noqa: ANN401
    """The same data, with an empty section (``mqtt:`` and nothing under it) as one of defaults.

    Raises:
        ConfigError: A key is not known.
    """
    inner = _inner(info)
    if isinstance(inner, inspect.StructType):
        if data is None and not isinstance(info, inspect.UnionType):
            return {}
        if isinstance(data, dict):
            known = {field.encode_name: field.type for field in inner.fields}
            for key in data:
                if key not in known:
                    raise _unknown(key, list(known), (*path, key), places)
            return {key: _known_keys(value, known[key], (*path, key), places) for key, value in data.items()}
    elif isinstance(inner, inspect.VarTupleType | inspect.ListType) and isinstance(data, list):
        return [_known_keys(item, inner.item_type, (*path, n), places) for n, item in enumerate(data)]
    return data


def _unknown(key: str, known: list[str], path: Path_, places: Places) -> ConfigError:
    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.5)
    expected = f"'{near[0]}'" if near else f"one of {', '.join(known)}"
    return ConfigError("unknown key", **places.of(path), key=dotted(path), expected=expected, got=f"'{key}'")


def _explain(text: str, data: Any, info: inspect.Type, places: Places) -> ConfigError:  # noqa: ANN401
    """What msgspec says, in the words of somebody who writes YAML."""
    what, _, at = text.partition(" - at `$")
    path, value = _follow(at.rstrip("`"), data, info)
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", what):
        path = (*path, missing[1])
        return ConfigError("this key is required and not there", **places.of(path), key=dotted(path))
    expected, got = what, _show(path, value)
    if parts := re.fullmatch(r"Expected (.*?)(?:, got `\w+`)?", what):
        expected = re.sub(
            r"`([^`]*)`", lambda m: " or ".join(_WORDS.get(w, w) for w in m[1].split(" | ")), parts[1]
        )
    elif what.startswith("Invalid enum value"):
        expected = f"one of {', '.join(str(choice) for choice in _choices(info, path))}"
    hint = _HINTS.get(str(path[-1])) if path else None
    if isinstance(value, bool | int | float) and "text" in expected:
        hint = "put it into quotes"
    return ConfigError(
        "wrong value", **places.of(path), key=dotted(path), expected=expected, got=got, do=hint
    )


def _follow(at: str, data: Any, info: inspect.Type) -> tuple[Path_, Any]:  # noqa: ANN401
    """The path that msgspec means by ``.inputs[0].qos``, and the value there.

    Below a mapping with free keys msgspec says only ``[...]``: the first entry that is wrong is meant.
    """
    path: Path_ = ()
    for name, number, free in re.findall(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])", at):
        key = _wrong_entry(data, _type_at(info, path)) if free else name or int(number or 0)
        try:
            path, data = (*path, key), data[key]
        except (KeyError, IndexError, TypeError):
            break
    return path, data


def _wrong_entry(data: Any, info: inspect.Type) -> str:  # noqa: ANN401
    """The key of a mapping whose value is not of the mapping's kind; empty when it cannot be told."""
    kind = getattr(getattr(info, "value_type", None), "cls", None)
    for key, value in data.items() if kind is not None and isinstance(data, dict) else ():
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return str(key)
    return ""


def _type_at(info: inspect.Type, path: Path_) -> inspect.Type:
    """The type that may stand at a path."""
    for key in path:
        info = _inner(info)
        if isinstance(info, inspect.DictType):
            info = info.value_type
        elif isinstance(key, int):
            info = getattr(info, "item_type", info)
        else:
            info = next((field.type for field in _fields(info) if field.encode_name == key), info)
    return _inner(info)


def _choices(info: inspect.Type, path: Path_) -> tuple[object, ...]:
    """The values that may stand at a path, where they can be listed."""
    return tuple(getattr(_type_at(info, path), "values", ()))


def _show(path: Path_, value: Any) -> str:  # noqa: ANN401
    """A value as the reader wrote it; never one that may be a secret."""
    if path and "password" in str(path[-1]):
        return "something else (not shown)"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else f"a list of {len(value)}"
    text = str(value)
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    return repr(shown) if isinstance(value, str) else shown
