"""When to score: comparisons of channels, written by an operator. Read, never executed.

    speed > 5 and not (`valve 2` == 0 or 10 <= load < 20)

Python's own grammar reads the text (`ast.parse`, which runs nothing); of what it finds only
comparisons of channels and numbers, ``and``, ``or``, ``not`` and brackets are taken.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

__all__ = ["Rule"]

MAX_LENGTH = 1000
MAX_DEPTH = 50
_LARGEST = 1e300

_ALLOWED = "comparisons (< <= > >= == !=) of channels and numbers, joined by and, or, not and brackets"
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_QUOTED = re.compile("`([^`]*)`")

Value = Callable[[Sequence[Any]], Any]
"""From what the channels read to a number or a truth value; arrays go in and out alike."""


class Rule:
    """A rule about the channels of one model.

    Attributes:
        text: As written.
        channels: Places of the channels it names, in the order given to `parse`.
    """

    def __init__(self, text: str, holds: Value, channels: tuple[int, ...]) -> None:
        self.text, self.channels, self._holds = text, channels, holds

    @classmethod
    def parse(cls, text: str, channels: Sequence[str] | None = None) -> Self:
        """Read a rule.

        Args:
            text: The rule; a channel whose name is no plain word stands in backticks.
            channels: The model's channels, in order; ``None`` takes any name, to check the
                form alone.

        Raises:
            ValueError: It is not one; the message says where and why.
        """
        if len(text) > MAX_LENGTH:
            raise ValueError(f"it is longer than {MAX_LENGTH} characters")
        reader = _Reader(text, channels)
        holds = reader.read()
        if not reader.used:
            raise ValueError("it names no channel")
        return cls(text, holds, tuple(sorted(reader.used)))

    def holds(self, values: Sequence[float], masked: Sequence[bool]) -> bool:
        """Whether it holds for one frame; not while a channel that it names has no value.

        Args:
            values: A value a channel, channel units.
            masked: True where the value is not one of this frame.
        """
        return not any(masked[i] for i in self.channels) and bool(self._holds(values))

    def columns(self, values: Sequence[Any]) -> Any:  # noqa: ANN401 - arrays of a library this does not import
        """What it says for every row, when each channel is an array of values, (rows,)."""
        return self._holds(values)


class _Reader:
    """Turns one text into a function."""

    def __init__(self, text: str, channels: Sequence[str] | None) -> None:
        self._known = channels
        self._names: list[str] = []
        self.used: set[int] = set()
        flat = re.sub(r"\s", " ", text)
        self._quoted = {match.start(): match[1] for match in _QUOTED.finditer(flat)}
        # A quoted name becomes a word of the same length, so that places stay those of the text.
        self._text = _QUOTED.sub(lambda match: "_" * len(match[0]), flat)

    def read(self) -> Value:
        for mark in "`#\\":
            if (at := self._text.find(mark)) >= 0:
                why = "a backtick without its partner" if mark == "`" else f"'{mark}' has no meaning here"
                raise ValueError(f"character {at + 1}: {why}")
        if not self._text.strip():
            raise ValueError(f"it is empty; expected {_ALLOWED}")
        start = len(self._text) - len(self._text.lstrip())
        try:
            tree = ast.parse(self._text[start:], mode="eval")
        except SyntaxError as error:
            at = min(start + (error.offset or len(self._text)), len(self._text))
            raise ValueError(f"character {at}: cannot be read; expected {_ALLOWED}") from None
        except (ValueError, RecursionError, MemoryError):  # digits without end, brackets without end
            raise ValueError(f"it cannot be read; expected {_ALLOWED}") from None
        self._shift = start
        return self._truth(tree.body, 0)

    def _truth(self, node: ast.expr, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise ValueError(f"{self._where(node)}: more than {MAX_DEPTH} levels deep")
        if isinstance(node, ast.BoolOp):
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return _joined([self._truth(part, depth + 1) for part in node.values], join)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(node.operand, depth + 1)
            return lambda values: inner(values) ^ True
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        raise self._refused(node, "no comparison")

    def _comparison(self, node: ast.Compare) -> Value:
        sides = [self._operand(side) for side in (node.left, *node.comparators)]
        parts = []
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            compare = _COMPARE.get(type(op))
            if compare is None:
                raise self._refused(node, "no such comparison")
            parts.append(_compared(compare, left, right))
        return _joined(parts, operator.and_)

    def _operand(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            place = self._place(node)
            return lambda values: values[place]
        sign, number = 1, node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign, number = (-1 if isinstance(node.op, ast.USub) else 1), node.operand
        found = number.value if isinstance(number, ast.Constant) else None
        if not isinstance(found, int | float) or isinstance(found, bool):
            raise self._refused(node, "neither a channel nor a number")
        if abs(found) > _LARGEST:
            raise ValueError(f"{self._where(node)}: the number is too large")
        constant = sign * float(found)
        return lambda _values: constant

    def _place(self, node: ast.Name) -> int:
        start, end = self._span(node)
        name = self._quoted.get(start, self._text[start:end])
        if self._known is None:
            known: Sequence[str] = self._names
            if name not in known:
                self._names.append(name)
        else:
            known = self._known
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"'{near[0]}'" if near else f"one of {', '.join(list(known)[:10])}"
            raise ValueError(f"{self._where(node)}: there is no channel '{name}'; expected {meant}")
        place = list(known).index(name)
        self.used.add(place)
        return place

    def _span(self, node: ast.expr) -> tuple[int, int]:
        """First character of a node and the one after its last; ast counts bytes of UTF-8."""
        raw = self._text[self._shift :].encode()
        ends = (node.col_offset, len(raw) if node.end_col_offset is None else node.end_col_offset)
        start, end = (self._shift + len(raw[:byte].decode()) for byte in ends)
        return start, end

    def _where(self, node: ast.expr) -> str:
        return f"character {self._span(node)[0] + 1}"

    def _refused(self, node: ast.expr, what: str) -> ValueError:
        start, end = self._span(node)
        part = self._quoted.get(start, self._text[start:end])
        shown = part if len(part) <= 30 else f"{part[:29]}…"
        return ValueError(f"{self._where(node)}: '{shown}' is {what}; expected {_ALLOWED}")


def _compared(compare: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    return lambda values: compare(left(values), right(values))


def _joined(parts: Sequence[Value], join: Callable[[Any, Any], Any]) -> Value:
    first, *others = parts

    def holds(values: Sequence[Any]) -> Any:  # noqa: ANN401 - numbers or arrays
        found = first(values)
        for other in others:
            found = join(found, other(values))
        return found

    return holds
