"""Where the tensors of a step lie: one small array that is used again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_lstm.backends.program import (
    Add,
    Concatenate,
    FullyConnected,
    Lookup,
    Mul,
    Program,
    Slice,
    Softmax,
    Step,
)
from edge_lstm.errors import BundleError

__all__ = ["Arena", "place"]


@dataclass(frozen=True, slots=True)
class Arena:
    """Places of tensors.

    Attributes:
        size: Bytes of the array.
        offsets: Tensor to its first byte in the array.
        aliases: Tensor that is a part of another one: that one, and the first byte in it.
        names: Tensor to the C expression of an array it has for itself.
    """

    size: int
    offsets: Mapping[int, int]
    aliases: Mapping[int, tuple[int, int]]
    names: Mapping[int, str]

    def is_alias(self, tensor: int) -> bool:
        """Whether it needs no bytes of its own."""
        return tensor in self.aliases

    def where(self, tensor: int, start: int = 0) -> str:
        """The C expression of its address, or of that of one of its numbers."""
        if tensor in self.aliases:
            base, first = self.aliases[tensor]
            return self.where(base, first + start)
        if tensor in self.names:
            name = self.names[tensor]
            return f"{name} + {start}" if start else name
        return f"&arena[{self.offsets[tensor] + start}]"


def place(program: Program, inputs: Mapping[int, str]) -> Arena:
    """Give every tensor of a program a place: first fit, in order of writing.

    Args:
        program: The network.
        inputs: Input tensors and where they lie.

    Raises:
        BundleError: An output is an input as well, so that a step would overwrite what it reads.
    """
    graph = program.graph
    if {*graph.outputs} & {*graph.inputs}:
        raise BundleError("an output of the network is one of its inputs", do="build the bundle again")
    names = {**inputs, **{i: f"constant_{i}" for i in program.constants}}
    aliases = {
        step.output: (step.input, step.start)
        for step in program.steps
        if isinstance(step, Slice) and step.output not in graph.outputs
    }
    last = _last_reads(program, aliases)
    offsets: dict[int, int] = {}
    live: dict[int, tuple[int, int]] = {}
    size = 0
    for number, step in enumerate(program.steps):
        if step.output in aliases:
            continue
        live = {tensor: span for tensor, span in live.items() if last.get(tensor, -1) >= number}
        width, at = program.width(step.output), 0
        for start, stop in sorted(live.values()):
            if at + width <= start:
                break
            at = max(at, stop)
        live[step.output] = (at, at + width)
        offsets[step.output] = at
        size = max(size, at + width)
    return Arena(size, offsets, aliases, names)


def _last_reads(program: Program, aliases: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Tensor to the number of the last step that reads it or a part of it; outputs are read at the end."""
    last: dict[int, int] = {}
    ends = [(len(program.steps), tensor) for tensor in program.graph.outputs]
    for number, tensor in [(n, t) for n, step in enumerate(program.steps) for t in _reads(step)] + ends:
        base = tensor
        while base in aliases:
            base = aliases[base][0]
        last[base] = max(last.get(base, -1), number)
    return last


def _reads(step: Step) -> tuple[int, ...]:
    match step:
        case Add() | Mul():
            return (step.a, step.b)
        case Concatenate():
            return step.inputs
        case FullyConnected() | Lookup() | Softmax() | Slice():
            return (step.input,)
