"""Scoring as C: the tables of heads, linear members, ranges and the rule ``score_when``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Head, Manifest
from edge_lstm.core.linear import LinearMembers, depth, memory_alphas
from edge_lstm.core.scoring import Scorer
from edge_lstm.core.when import scored_channels
from edge_lstm.rule import Rule
from firmware_tools.c_text import array, comment, fill, reals, template

__all__ = ["float_check", "head_table", "linear_numbers", "linear_text", "range_tables", "rule_text"]

_FLOAT_LEAST = 1e-30


def head_table(manifest: Manifest) -> str:
    """An initialiser a head."""
    scorer = Scorer(manifest.scoring, scored_channels(manifest.channels))
    forecasts = [i for i, head in enumerate(manifest.scoring.heads) if head.kind == "forecast"]
    lines = []
    for i, (head, share) in enumerate(zip(manifest.scoring.heads, scorer.share, strict=True)):
        numbers = reals((head.pre_alpha, head.alpha, head.scale, share), cast=True)
        place = forecasts.index(i) if i in forecasts else -1
        lines += [
            f"    /* {head.kind} */",
            f"    {{{numbers}, {place}, {int(head.kind != 'pca_t2')},",
            f"     {{{reals(head.mean, cast=True)}}},",
            f"     {{{reals(head.std, cast=True)}}}}},",
        ]
    return "\n".join(lines)


def float_check(manifest: Manifest, prefix: str) -> str:
    """A line that ends the build in single precision, where a divisor of the scores would vanish in it."""
    heads = manifest.scoring.heads
    divisors = [number for head in heads for number in (*head.std, head.scale, head.alpha, head.pre_alpha)]
    if all(_FLOAT_LEAST < number < 1 / _FLOAT_LEAST for number in divisors):
        return ""
    name = f"{prefix.upper()}_REAL_FLOAT"
    return f'#ifdef {name}\n#error "numbers of this model need double: leave {name} out"\n#endif\n\n'


def range_tables(manifest: Manifest) -> str:
    """What each channel can be at all; nothing where no channel has a range."""
    channels = manifest.channels
    if all(c.valid_min is None and c.valid_max is None for c in channels):
        return ""
    largest = sys.float_info.max
    low = [-largest if c.valid_min is None else c.valid_min for c in channels]
    high = [largest if c.valid_max is None else c.valid_max for c in channels]
    return "#define VALID_RANGES\n" + "\n".join(
        array(f"double {name}[CHANNELS]", reals(np.clip(values, -largest, largest)))
        for name, values in (("valid_min", low), ("valid_max", high))
    )


# ----------------------------------------------------------------------------------- linear members


def linear_heads(manifest: Manifest) -> list[tuple[int, Head]]:
    """Heads that are a linear map, and their numbers."""
    return [(i, head) for i, head in enumerate(manifest.scoring.heads) if head.lags or head.memory]


def linear_text(manifest: Manifest, weights: Mapping[str, NDArray[np.float64]], prefix: str) -> str:
    """The part of the C file that is PCA and vector autoregression; empty without such members.

    Raises:
        BundleError: An array is missing or has another shape.
    """
    heads = manifest.scoring.heads
    LinearMembers(heads, weights)  # checks them
    found = linear_heads(manifest)
    if not found:
        return ""
    alphas, lags = memory_alphas(heads), depth(heads)
    tables, calls = [], []
    for i, head in found:
        rows = [*head.lags, *(1 + lags + alphas.index(alpha) for alpha in head.memory)]
        lines = ",\n".join(f"    {{{reals(row, cast=True)}}}" for row in weights[head.output])
        tables += [
            f"/* {head.kind}: the bias, then {len(rows)} times a row a channel */",
            f"static const row weights_{head.kind}_{i}[1 + {len(rows)} * CHANNELS] = {{\n{lines}\n}};",
            array(f"uint16_t rows_{head.kind}_{i}[{len(rows)}]", ", ".join(map(str, rows))),
        ]
        name = f"{head.kind}_{i}"
        calls.append(f"    linear_head(state, x, rows_{name}, {len(rows)}, weights_{name}, expected[{i}]);")
    values = {"WEIGHTS": "\n".join(tables), "SPEEDS": reals(alphas, cast=True), "CALLS": "\n".join(calls)}
    return fill(template("linear.c.in", prefix), values)


def linear_numbers(manifest: Manifest, weights: Mapping[str, NDArray[np.float64]]) -> int:
    """Weights of the linear members."""
    return sum(weights[head.output].size for _, head in linear_heads(manifest))


# -------------------------------------------------------------------------------------- score_when


class _Text:
    """Stands in for a channel or a truth value while a rule is evaluated, and writes down what is asked.

    So the one reader of rules, `edge_lstm.rule`, is the reader for C too.
    """

    __hash__ = None  # type: ignore[assignment]  # it compares into text, not into truth

    def __init__(self, text: str, op: str = "") -> None:
        self.text, self._op = text, op

    def _with(self, op: str, other: object) -> Self:
        # A chain of one operator needs one pair of brackets: compilers take some hundred, no more.
        left = self.text[1:-1] if op == self._op and op in ("&&", "||") else self.text
        return type(self)(f"({left} {op} {_operand(other)})", op)

    def __lt__(self, other: object) -> Self:
        return self._with("<", other)

    def __le__(self, other: object) -> Self:
        return self._with("<=", other)

    def __gt__(self, other: object) -> Self:
        return self._with(">", other)

    def __ge__(self, other: object) -> Self:
        return self._with(">=", other)

    def __eq__(self, other: object) -> Self:  # type: ignore[override]  # text, not truth
        return self._with("==", other)

    def __ne__(self, other: object) -> Self:  # type: ignore[override]  # text, not truth
        return self._with("!=", other)

    def __and__(self, other: object) -> Self:
        return self._with("&&", other)

    def __or__(self, other: object) -> Self:
        return self._with("||", other)

    __rand__, __ror__ = __and__, __or__

    def __xor__(self, _other: bool) -> Self:  # the reader writes `not` as ^ True
        return type(self)(f"(!{self.text})")


def _operand(value: object) -> str:
    if isinstance(value, _Text):
        return value.text
    return str(int(value)) if isinstance(value, bool) else str(value)


def rule_text(manifest: Manifest) -> str:
    """The function that says whether a reading is scored; empty where every one is."""
    if not manifest.score_when:
        return ""
    rule = Rule.parse(manifest.score_when, [channel.name for channel in manifest.channels])
    columns: Sequence[Any] = [_Text(f"values[{i}]") for i in range(len(manifest.channels))]
    known = " && ".join(f"(masked[{i}] == 0u)" for i in rule.channels)
    return (
        "\n#define SCORE_WHEN\n\n"
        f"/* {comment(rule.text)} */\n"
        "static int score_when(const double *values, const uint8_t *masked)\n{\n"
        f"    return {known} &&\n           {_operand(rule.columns(columns))};\n}}\n"
    )
