"""The network as C: tables, and one call an operator, from the reference kernel's own integers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from edge_lstm.backends.fixed_point import Scaling
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
from edge_lstm.contracts.manifest import Manifest, Tensor
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BundleError, StateError
from firmware_tools.c_arena import Arena, place
from firmware_tools.c_text import array, comment, fill, integers, real, reals, template

__all__ = ["Network", "network_text"]

_LARGEST = 2**31 - 1
_MOST_ROWS = 2**15 - 1


class Network:
    """What one network becomes.

    Args:
        manifest: The bundle's facts.
        program: Its network.

    Attributes:
        outputs: Its heads: (number among the heads, output tensor).
        states: Its states with where each begins in the bytes of a stream.
        state_bytes: Bytes of a stream's state.
        weight_bytes: Bytes of weights and biases.

    Raises:
        BundleError: Its sums could overflow, or an output of it is an input too.
    """

    def __init__(self, manifest: Manifest, program: Program) -> None:
        outputs = {tensor.name: tensor for tensor in manifest.outputs}
        heads = enumerate(manifest.scoring.heads)
        self.outputs = [(i, outputs[head.output]) for i, head in heads if head.output in outputs]
        pairs = state_tensors(manifest)
        starts = np.cumsum([0, *(before.shape[-1] for before, _ in pairs)]).tolist()
        self.states: list[tuple[Tensor, Tensor, int]] = [
            (before, after, start) for (before, after), start in zip(pairs, starts, strict=False)
        ]
        self.state_bytes: int = starts[-1]
        self.frame = next(tensor for tensor in manifest.inputs if tensor.name == manifest.input)
        self.program = program
        dense = [step for step in program.steps if isinstance(step, FullyConnected)]
        self.weight_bytes = sum(step.weights.nbytes + step.bias.nbytes for step in dense)


def network_text(network: Network, prefix: str) -> str:
    """The part of the C file that is the network."""
    program, graph = network.program, network.program.graph
    inputs = {_input(program, network.frame.name): "frame"}
    for before, _, start in network.states:
        inputs[_input(program, before.name)] = f"&network[{start}]"
    if not inputs.keys() >= {*graph.inputs}:
        raise BundleError(
            "the network has an input that the manifest does not name", do="build the bundle again"
        )
    arena = place(program, inputs)
    tables = _Tables(program, arena)
    calls = [line for number, step in enumerate(program.steps) for line in tables.call(number, step)]
    ends = [
        f"memcpy({_said(i)}, {arena.where(_output(program, t.name))}, CHANNELS);"
        for i, (_, t) in enumerate(network.outputs)
    ]
    ends += [
        f"memcpy(&network[{start}], {arena.where(_output(program, after.name))}, {after.shape[-1]});"
        for _, after, start in network.states
    ]
    body = [f"int8_t arena[{max(arena.size, 1)}];", *calls, *(f"(void){line}" for line in ends)]
    resets = [
        f"(void)memset(&network[{start}], {before.zero_point}, {before.shape[-1]});"
        for before, _, start in network.states
    ]
    values = {
        "TABLES": tables.text(),
        "STEP": _lines(body),
        "RESET": _lines(resets),
        "FRAME_SCALE": real(network.frame.scale),
        "FRAME_ZERO": network.frame.zero_point,
        "OUTPUTS": ", ".join(
            f"{{{reals((t.scale,), cast=True)}, {t.zero_point}, {i}}}" for i, t in network.outputs
        ),
    }
    return fill(template("network.c.in", prefix), values)


def _said(i: int) -> str:
    return f"&said[{i} * CHANNELS]" if i else "said"


def _lines(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _input(program: Program, name: str) -> int:
    return next(i for i in program.graph.inputs if program.graph.tensors[i].name == name)


def _output(program: Program, name: str) -> int:
    return next(i for i in program.graph.outputs if program.graph.tensors[i].name == name)


class _Tables:
    """Collects constants while calls are written; equal lookup tables are written once."""

    def __init__(self, program: Program, arena: Arena) -> None:
        self._program, self._arena = program, arena
        self._tables: list[str] = []
        self._lookups: dict[bytes, str] = {}
        self._used = {"scaled"}

    def text(self) -> str:
        """Functions that are called, and the tables after them."""
        snippets = re.split(r"^/\*- (\w+) -\*/\n", template("kernels.c.in", "edge_lstm"), flags=re.MULTILINE)[
            1:
        ]
        pieces = dict(zip(snippets[::2], snippets[1::2], strict=True))
        functions = [piece for name, piece in pieces.items() if name in self._used]
        return "".join(functions) + "\n".join(self._constants() + self._tables)

    def call(self, number: int, step: Step) -> Iterator[str]:
        """The statements of one step."""
        self._used.add(type(step).__name__)
        tensors = self._program.graph.tensors
        if not (isinstance(step, Slice) and self._arena.is_alias(step.output)):
            yield f"/* {comment(tensors[step.output].name)} */"
        yield from self._statements(number, step)

    def _statements(self, number: int, step: Step) -> Iterator[str]:
        match step:
            case FullyConnected():
                yield self._dense(number, step)
            case Add():
                yield self._add(number, step)
            case Mul():
                yield self._mul(number, step)
            case Lookup():
                yield self._lookup(step)
            case Softmax():
                yield self._softmax(number, step)
            case Slice():
                yield from self._slice(step)
            case Concatenate():
                yield from self._concatenate(step)

    def _constants(self) -> list[str]:
        return [
            array(f"int8_t constant_{i}[{data.size}]", integers(data.ravel().tolist()))
            for i, data in self._program.constants.items()
        ]

    def _dense(self, number: int, step: FullyConnected) -> str:
        weights = step.weights.astype(np.int64)
        bias = step.bias.astype(np.int64) - step.input_zero * weights.sum(axis=1)
        rows, columns = weights.shape
        greatest = (np.abs(bias) + 128 * np.abs(weights).sum(axis=1)).max(initial=0)
        if greatest > _LARGEST or max(rows, columns) > _MOST_ROWS:
            raise BundleError("a layer of the network is too large for C: its sums could exceed 32 bits")
        right = 31 - step.shift
        self._tables += [
            array(f"int8_t weights_{number}[{weights.size}]", integers(weights.ravel().tolist())),
            array(f"int32_t bias_{number}[{rows}]", integers(bias.tolist())),
            array(f"int32_t multiplier_{number}[{right.size}]", integers(step.multiplier.tolist())),
            array(f"uint8_t right_{number}[{right.size}]", integers(right.tolist())),
            array(
                f"dense dense_{number}",
                f"weights_{number}, bias_{number}, multiplier_{number}, right_{number}, "
                f"{rows}, {columns}, {int(right.size > 1)}, {step.output_zero}",
            ),
        ]
        return f"fully_connected(&dense_{number}, {self._at(step.input)}, {self._at(step.output)});"

    def _add(self, number: int, step: Add) -> str:
        factors = [_whole(step.a_scaling), step.sign * _whole(step.b_scaling)]
        right = _right(step.output_scaling) - 30
        if step.output_scaling[0] != 2**30 or 255 * sum(map(abs, factors)) + 2 ** (right - 1) > _LARGEST:
            raise StateError(f"a sum of the kernel has no form in C: {step}")
        numbers = [*factors, right, step.a_zero, step.b_zero, step.output_zero]
        self._tables.append(array(f"sum_rule sum_{number}", integers(numbers)))
        return f"add(&sum_{number}, {self._pair(step)});"

    def _mul(self, number: int, step: Mul) -> str:
        numbers = [step.scaling[0], _right(step.scaling), step.a_zero, step.b_zero, step.output_zero]
        self._tables.append(array(f"product_rule product_{number}", integers(numbers)))
        return f"multiply(&product_{number}, {self._pair(step)});"

    def _lookup(self, step: Lookup) -> str:
        key = step.table.tobytes()
        if key not in self._lookups:
            name = f"{step.function.lower()}_{len(self._lookups)}"
            self._lookups[key] = name
            self._tables.append(array(f"int8_t {name}[256]", integers(step.table.tolist())))
        places = f"{self._at(step.input)}, {self._width(step.output)}, {self._at(step.output)}"
        return f"look_up({self._lookups[key]}, {places});"

    def _softmax(self, number: int, step: Softmax) -> str:
        self._tables.append(array(f"uint32_t exps_{number}[256]", integers(step.exps.tolist())))
        places = f"{self._at(step.input)}, {self._width(step.output)}, {self._at(step.output)}"
        return f"softmax(exps_{number}, {places});"

    def _slice(self, step: Slice) -> Iterator[str]:
        if not self._arena.is_alias(step.output):
            yield self._copy(step.output, 0, step.input, step.start, step.stop - step.start)

    def _concatenate(self, step: Concatenate) -> Iterator[str]:
        at = 0
        for tensor in step.inputs:
            yield self._copy(step.output, at, tensor, 0, self._width(tensor))
            at += self._width(tensor)

    def _copy(self, output: int, to: int, tensor: int, start: int, width: int) -> str:
        return f"(void)memcpy({self._arena.where(output, to)}, {self._arena.where(tensor, start)}, {width});"

    def _pair(self, step: Add | Mul) -> str:
        width = self._width(step.output)
        terms = (f"{self._at(t)}, {0 if self._width(t) < width else 1}" for t in (step.a, step.b))
        return f"{', '.join(terms)}, {width}, {self._at(step.output)}"

    def _at(self, tensor: int) -> str:
        return self._arena.where(tensor)

    def _width(self, tensor: int) -> int:
        return self._program.width(tensor)


def _whole(scaling: Scaling) -> int:
    """A scaling that is a whole number."""
    factor, rest = divmod(scaling[0], 1 << _right(scaling))
    if rest:
        raise StateError(f"a factor of the kernel is no whole number: {scaling}")
    return factor


def _right(scaling: Scaling) -> int:
    return 31 - scaling[1]
