"""What each int8 tensor can hold: by what the model is, where that is known, and else as measured.

The converter takes every tensor's range from representative rows. A machine that fails leaves
those ranges: the float model follows it and the int8 model stops at the rail, and the two
disagree just when it matters. So tensors whose reach the model itself bounds (the reading, the
states, the products on the way to a state) get that reach, whatever was seen; and what only
goes into a sigmoid or tanh ends where those are flat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import State
from trainer.rounding import CELL, GATE, ONE
from trainer.scale import CLIP

__all__ = ["avoid_ties", "rescale", "set_ranges"]

_SQUASHES = frozenset({"LOGISTIC", "TANH"})
_INT8_STEPS = 127
MARGIN = 1.1
"""What was measured is not the utmost."""
SPARE = 1.5
"""Of a sum that nothing squashes: how much farther than measured it may go."""
_INT32 = 2**31 - 1
_INT32_TYPE = 2  # TensorType.INT32 of the schema
_MIDDLE = 2e-5
"""How near to the middle between two integers single precision cannot tell the sides of a product."""
_NUDGES = 1 + np.arange(200) / 20_000


def set_ranges(
    model: Any, operators: Sequence[str], named: Mapping[str, int], frame: str, states: Sequence[State]
) -> None:
    """Set scale and zero point of the tensors whose reach is known, in place.

    Args:
        model: An opened int8 model.
        operators: Its operators by name, in order.
        named: Tensor of each name in the signature.
        frame: Name of the input that takes the reading.
        states: Names of every state's tensors.
    """
    graph = _Graph(model, operators)
    reach = {named[frame]: graph.reach([named[frame]], most=CLIP)}
    for state in states:
        most = CELL if state.input.startswith("cell") else ONE
        both = [named[state.input], named[state.output]]
        reach |= dict.fromkeys(both, graph.reach(both, most=most))
    for tensor, most in graph.products(reach).items():
        reach[tensor] = reach.get(tensor, graph.reach([tensor], most=most))
    for tensor, most in (reach | graph.sums(reach)).items():
        if most > 0:  # a path whose weights are all 0 keeps what the converter gave it
            graph.rescale(tensor, most / _INT8_STEPS, 0)
    graph.cap_gates()


def avoid_ties(model: Any, operators: Sequence[str], groups: Sequence[set[int]]) -> None:
    """Widen the ranges of products by up to 1 % until none ends in the middle between two integers.

    Runtimes part ways there: XNNPACK rounds half to even in single precision on x86 and half up on
    Arm, the reference kernel half up. A gate (scale 1/256) times a cell that has one scale before
    and after would in one of 256 products. Where no scale avoids all of them, it is the best one.

    Args:
        model: An opened int8 model.
        operators: Its operators by name, in order.
        groups: Tensors that have to keep one scale.
    """
    graph, tensors = _Graph(model, operators), model.subgraphs[0].tensors
    for name, op in zip(operators, model.subgraphs[0].operators, strict=True):
        if name == "MUL":
            out = int(op.outputs[0])
            a, b, to = (tensors[int(i)].quantization for i in (*op.inputs, out))
            reach = [np.arange(-128, 128) - int(one.zeroPoint[0]) for one in (a, b)]
            scales = np.float32(a.scale[0]) * np.float32(b.scale[0])
            scale = _off_ties(
                np.unique(np.outer(*reach)).astype(np.float64) * float(scales), float(to.scale[0])
            )
            for tensor in next((group for group in groups if out in group), {out}):
                graph.rescale(tensor, scale, int(to.zeroPoint[0]))


def rescale(model: Any, operators: Sequence[str], tensor: int, scale: float, zero_point: int) -> None:
    """Give one tensor of an opened model another scale; a bias that rests on it is rounded anew."""
    _Graph(model, operators).rescale(tensor, scale, zero_point)


def _off_ties(products: NDArray[np.float64], scale: float) -> float:
    """The least widened scale in which no product is within `_MIDDLE` of a middle."""
    best, farthest = scale, -1.0
    for nudge in _NUDGES:
        value = products / float(np.float32(scale * nudge))
        value = value[np.abs(value) <= _INT8_STEPS + 1]
        near = float(np.abs(value - np.floor(value) - 0.5).min())
        if near > farthest:
            best, farthest = scale * nudge, near
        if near > _MIDDLE:
            break
    return best


class _Graph:
    """An opened model whose scales can be changed."""

    def __init__(self, model: Any, operators: Sequence[str]) -> None:
        self._model, self._graph = model, model.subgraphs[0]
        self._ops = list(zip(operators, self._graph.operators, strict=True))
        self._readers: dict[int, list[tuple[str, Any]]] = {}
        for name, op in self._ops:
            for i in op.inputs:
                self._readers.setdefault(int(i), []).append((name, op))

    def reach(self, tensors: Sequence[int], *, most: float, margin: float = MARGIN) -> float:
        """How far from 0 tensors go, as measured and a little farther, but no farther than `most`."""
        facts = [self._graph.tensors[tensor].quantization for tensor in tensors]
        ends = [(float(one.scale[0]), int(one.zeroPoint[0])) for one in facts]
        return min(most, margin * max(scale * max(128 + zero, 127 - zero) for scale, zero in ends))

    def products(self, known: Mapping[int, float]) -> dict[int, float]:
        """Bounds of the products of tensors that are bounded themselves."""
        bounds = dict(known)
        found = {}
        for name, op in self._ops:
            first = int(op.outputs[0])
            if name in _SQUASHES or (name == "SUB" and int(op.inputs[1]) in bounds):  # 1 - a gate
                bounds[first] = ONE
            elif name == "MUL" and all(int(i) in bounds for i in op.inputs):
                found[first] = bounds.setdefault(first, float(np.prod([bounds[int(i)] for i in op.inputs])))
        return found

    def sums(self, known: Mapping[int, float]) -> dict[int, float]:
        """Bounds of weighted sums that no sigmoid or tanh follows: the code, and what the heads say.

        A sum is bounded by its weights where its input is; real faults drive it farther than
        injected ones.
        """
        bounds = dict(known) | dict.fromkeys(
            (int(op.outputs[0]) for n, op in self._ops if n in _SQUASHES), ONE
        )
        found = {}
        for name, op in self._ops:
            out = int(op.outputs[0])
            if name == "FULLY_CONNECTED" and not self._is_squashed(out):
                most = self._heaviest(op, bounds.get(int(op.inputs[0]), np.inf))
                found[out] = self.reach([out], most=most, margin=SPARE)
        return found

    def _heaviest(self, op: Any, bound: float) -> float:
        """How far the farthest of its outputs can go with an input within +-bound."""
        weights, *bias = (self._real(int(i)) for i in op.inputs[1:] if i >= 0)
        total = bound * np.abs(weights).sum(axis=1)
        return float((total + np.abs(bias[0]) if bias else total).max())

    def _real(self, tensor: int) -> NDArray[np.float64]:
        """What a constant stands for."""
        constant = self._graph.tensors[tensor]
        dtype = "<i4" if constant.type == _INT32_TYPE else "i1"
        whole = np.frombuffer(bytes(self._model.buffers[constant.buffer].data), dtype).reshape(constant.shape)
        return whole.astype(np.float64) * float(constant.quantization.scale[0])

    def cap_gates(self) -> None:
        """End what only goes into sigmoids and tanhs at +-`GATE`."""
        for name, op in self._ops:
            if name not in {"ADD", "FULLY_CONNECTED"} or not self._is_squashed(int(op.outputs[0])):
                continue
            tensors = self._parts(int(op.outputs[0]))
            facts = self._graph.tensors[tensors[0]].quantization
            scale, zero = float(facts.scale[0]), int(facts.zeroPoint[0])
            low, high = max(-GATE, (-128 - zero) * scale), min(GATE, (127 - zero) * scale)
            scale = (high - low) / 255
            for tensor in tensors:
                self.rescale(tensor, scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))

    def _is_squashed(self, tensor: int) -> bool:
        readers = self._readers.get(tensor, [])
        return bool(readers) and all(
            name in _SQUASHES
            or (name in {"SPLIT", "ADD"} and all(self._is_squashed(int(i)) for i in op.outputs))
            for name, op in readers
        )

    def _parts(self, tensor: int) -> list[int]:
        """A tensor and what it is split into: the same numbers."""
        splits = [op for name, op in self._readers.get(tensor, []) if name == "SPLIT"]
        return [tensor, *(int(i) for op in splits for i in op.outputs)]

    def rescale(self, tensor: int, scale: float, zero_point: int) -> None:
        """Give a tensor another scale; a bias that rests on it is rounded anew."""
        facts = self._graph.tensors[tensor].quantization
        before = float(facts.scale[0])
        facts.scale, facts.zeroPoint = [np.float32(scale)], [zero_point]
        for name, op in self._readers.get(tensor, []):
            if (
                name == "FULLY_CONNECTED"
                and op.inputs[0] == tensor
                and len(op.inputs) > 2
                and op.inputs[2] >= 0
            ):
                self._rescale_bias(int(op.inputs[2]), before / float(np.float32(scale)))

    def _rescale_bias(self, tensor: int, ratio: float) -> None:
        bias = self._graph.tensors[tensor]
        buffer = self._model.buffers[bias.buffer]
        old = np.frombuffer(bytes(buffer.data), "<i4").astype(np.float64)
        new = np.clip(np.rint(old * ratio), -_INT32, _INT32).astype("<i4")
        buffer.data = np.frombuffer(new.tobytes(), np.uint8)
        bias.quantization.scale = [np.float32(float(bias.quantization.scale[0]) / ratio)]
