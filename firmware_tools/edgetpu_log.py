"""What the Edge TPU's compiler says, taken apart.

The form is that of logs which people have put into google-coral/edgetpu's issues; the tests
hold this against some of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MAPPED", "CompilerLog", "Placed", "explain", "parse_log"]

MAPPED = "Mapped to Edge TPU"

_VERSION = re.compile(r"^Edge TPU Compiler version (\S+)", re.MULTILINE)
_HEADER = re.compile(r"^Operator\s+Count\s+Status\s*$", re.MULTILINE)
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*?)\s*$")
_TOTAL = re.compile(r"^Total number of operations: (\d+)", re.MULTILINE)
_SUBGRAPHS = re.compile(r"^Number of Edge TPU subgraphs: (\d+)", re.MULTILINE)
_MEMORY = re.compile(r"^(On-chip memory used|Off-chip memory used)[^:]*: (\S+)", re.MULTILINE)
_FAILED = re.compile(
    r"^(?:ERROR: |Compilation failed|Internal compiler error|Invalid model|Model could not be parsed"
    r"|Model not quantized|libc\+\+abi|Could not |Error: )|Segmentation fault|Aborted \(core dumped\)",
)

_MEANINGS: Mapping[str, str] = {
    "more than one subgraph is not supported": "an operator before it stays on the CPU, and it with that",
    "operation is otherwise supported, but not mapped due to some unspecified limitation": (
        "the compiler gives no reason; a size or a quantization it cannot do is the usual one"
    ),
    "operation is working on an unsupported data type": "a tensor is not quantized to 8 bits",
    "operation not supported": "the Edge TPU has no such operator",
    "operation version not supported": "the compiler is too old for this version of the operator",
    "tensor has unsupported rank (up to 3 innermost dimensions mapped)": "a tensor has too many dimensions",
}
"""Status of the log, in small letters, to what it means; google-coral/edgetpu #461, #356, #512, #396, #75."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One row of the operators' table.

    Attributes:
        operator: ``FULLY_CONNECTED`` for example.
        count: How many of that operator have this status.
        status: As the compiler says it.
    """

    operator: str
    count: int
    status: str

    @property
    def on_tpu(self) -> bool:
        """Whether they run on the Edge TPU."""
        return self.status == MAPPED

    def __str__(self) -> str:
        """One line for people: where, how many, why."""
        place = "TPU" if self.on_tpu else "CPU"
        return f"{place}  {self.count:>3} {self.operator}" + (
            "" if self.on_tpu else f": {explain(self.status)}"
        )


@dataclass(frozen=True, slots=True)
class CompilerLog:
    """What one run said.

    Attributes:
        version: Of the compiler, ``16.0.384591198`` for example; empty when it did not say.
        rows: The operators' table; empty when there was none.
        total: Operators that the compiler counted, or ``None`` when it did not say.
        subgraphs: Pieces that run on the TPU, or ``None`` when it did not say.
        memory: What it said of the chip's memory, one line each.
        errors: Lines that tell a failure, in order.
    """

    version: str
    rows: tuple[Placed, ...]
    total: int | None
    subgraphs: int | None
    memory: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def on_tpu(self) -> int:
        """Operators on the TPU."""
        return sum(row.count for row in self.rows if row.on_tpu)

    @property
    def on_cpu(self) -> int:
        """Operators left on the CPU."""
        return sum(row.count for row in self.rows if not row.on_tpu)


def parse_log(text: str) -> CompilerLog:
    """Take the compiler's output, standard output and error together, apart.

    Raises:
        ValueError: The table of operators does not add up to the total it states.
    """
    version, total, subgraphs = _VERSION.search(text), _TOTAL.search(text), _SUBGRAPHS.search(text)
    rows = _rows(text)
    stated = int(total[1]) if total else None
    if rows and stated is not None and sum(row.count for row in rows) != stated:
        raise ValueError(f"the table has {sum(row.count for row in rows)} operators, the log says {stated}")
    return CompilerLog(
        version=version[1] if version else "",
        rows=rows,
        total=stated,
        subgraphs=int(subgraphs[1]) if subgraphs else None,
        memory=tuple(f"{found[1].lower()}: {found[2]}" for found in _MEMORY.finditer(text)),
        errors=tuple(line.strip() for line in text.splitlines() if _FAILED.search(line.strip())),
    )


def _rows(text: str) -> tuple[Placed, ...]:
    header = _HEADER.search(text)
    if header is None:
        return ()
    found = []
    for line in text[header.end() :].splitlines():
        row = _ROW.match(line.strip())
        if row is not None:
            found.append(Placed(row[1], int(row[2]), row[3]))
        elif line.strip() and found:
            break
    return tuple(found)


def explain(status: str) -> str:
    """A status with what it means, where that is known."""
    meaning = _MEANINGS.get(status.lower())
    return f"{status} ({meaning})" if meaning else status
