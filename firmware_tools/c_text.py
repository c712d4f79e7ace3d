"""Text of C: numbers, names of the bundle made harmless, tables, and templates filled in."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from importlib.resources import files

__all__ = ["array", "check_prefix", "comment", "fill", "integers", "reals", "string", "template"]

_WIDTH = 108
_LONGEST_NAME = 1000
_HARMLESS = re.compile(r"[A-Za-z0-9 _.,:;+()\[\]<>=%-]")
_IN_STRING = re.compile(rb"[A-Za-z0-9 _.,:;+()<>=-]")
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,39}")


def check_prefix(text: str) -> str:
    """The prefix of all public names.

    Raises:
        ValueError: It is none.
    """
    if not _PREFIX.fullmatch(text) or text.endswith("_"):
        raise ValueError("expected a lower-case letter, then up to 39 of a-z, 0-9 and _, no _ at the end")
    return text


def comment(text: str) -> str:
    """Text of a stranger for a comment of C, a Markdown page or a properties file, on one line.

    Whatever could end the comment, continue a line, or be a trigraph or a command of Doxygen is
    written as ``{U+002A}``.
    """
    return "".join(c if _HARMLESS.fullmatch(c) else f"{{U+{ord(c):04X}}}" for c in text)


def string(text: str) -> str:
    """A string literal that holds the UTF-8 of any text; three-digit escapes run into nothing.

    Raises:
        ValueError: It is longer than a compiler has to take.
    """
    raw = text.encode()
    if len(raw) > _LONGEST_NAME:
        raise ValueError(f"a name of {len(raw)} bytes is too long for C; at most {_LONGEST_NAME}")
    parts = (bytes([b]) for b in raw)
    return '"' + "".join(p.decode() if _IN_STRING.fullmatch(p) else f"\\{p[0]:03o}" for p in parts) + '"'


def real(value: float) -> str:
    """The shortest decimal number that a compiler reads back as the same double."""
    return repr(float(value))


def reals(values: Iterable[float], *, cast: bool = False) -> str:
    """Numbers for an initialiser; ``cast`` to the type of scores."""
    return ", ".join(f"R({real(v)})" if cast else real(v) for v in values)


def integers(values: Iterable[int]) -> str:
    """Whole numbers for an initialiser; the least int32 has no literal of its own in C."""
    return ", ".join("INT32_MIN" if v == -(2**31) else str(int(v)) for v in values)


def array(declaration: str, content: str) -> str:
    """A constant table, its lines broken."""
    lines = textwrap.fill(content, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"static const {declaration} = {{\n{lines}\n}};\n"


def template(name: str, prefix: str) -> str:
    """One file of ``firmware_tools/c`` with its public names under a prefix."""
    text = files("firmware_tools").joinpath("c", name).read_text(encoding="utf-8")
    return text.replace("edge_lstm_", f"{prefix}_").replace("EDGE_LSTM_", f"{prefix.upper()}_")


def fill(text: str, values: Mapping[str, object]) -> str:
    """Put values in the places ``@NAME@``; what is put in is not looked at again.

    Raises:
        KeyError: A place has no value.
    """
    return re.sub(r"@([A-Z][A-Z0-9_]*)@", lambda match: str(values[match[1]]), text)
