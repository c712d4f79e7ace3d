"""The reference kernel's rules, its short cuts, and the models it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_lstm.backends.compiler import program_of
from edge_lstm.backends.program import Add, FullyConnected, Mul, Program, Softmax, Step, reads
from edge_lstm.backends.reference import ReferenceBackend, _kernel, compute
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.errors import BackendError, BundleError
from edge_lstm.model_file import Graph, GraphTensor, Operator
from edge_lstm.testing import fake_manifest

SCALES = st.floats(2.0**-10, 2.0**2, width=32)
ZERO_POINTS = st.one_of(st.sampled_from([-128, 0, 127]), st.integers(-128, 127))
INT8 = arrays(np.int8, (7, 5))
RAILS = np.array([-128, -127, -1, 0, 1, 126, 127], np.int8)


def tensor(
    name: str, width: int = 5, scale: float = 0.1, zero: int = 0, data: np.ndarray | None = None
) -> GraphTensor:
    """An int8 tensor of a graph."""
    shape = (1, width) if data is None else data.shape
    dtype = "int8" if data is None else data.dtype.name
    return GraphTensor(name, shape, dtype, (scale,), (zero,), 0, data)


def graph(name: str, tensors: list[GraphTensor], *, inputs: tuple[int, ...], **options: float) -> Graph:
    """One operator, whose output is the last tensor and whose inputs are all before it."""
    last = len(tensors) - 1
    operator = Operator(name, 1, tuple(range(last)), (last,), options)
    return Graph(tuple(tensors), (operator,), inputs, (last,))


def only(compiled: Program) -> Step:
    """The one step of a program."""
    (step,) = compiled.steps
    return step


def check_short_cut(step: Step, *operands: np.ndarray) -> None:
    """The fast form gives what the rule gives, for a batch and for one stream."""
    expected, kernel = compute(step, *operands), _kernel(step, view=True)
    got = kernel(*operands)
    assert got.dtype == np.int8
    np.testing.assert_array_equal(expected, got)
    np.testing.assert_array_equal(expected[0], kernel(*(operand[0] for operand in operands)))


@given(
    SCALES, SCALES, SCALES, ZERO_POINTS, ZERO_POINTS, ZERO_POINTS, st.sampled_from(["ADD", "SUB"]), INT8, INT8
)
def test_sums_are_right_to_half_a_step(  # noqa: PLR0917 - what hypothesis draws
    sa: float, sb: float, so: float, za: int, zb: int, zo: int, name: str, a: np.ndarray, b: np.ndarray
) -> None:
    """Against real numbers, with every zero point, and from its table."""
    step = only(
        program_of(
            graph(
                name, [tensor("a", 5, sa, za), tensor("b", 5, sb, zb), tensor("c", 5, so, zo)], inputs=(0, 1)
            )
        )
    )
    sign = 1 if name == "ADD" else -1
    real = (sa * (a.astype(float) - za) + sign * sb * (b.astype(float) - zb)) / so + zo
    assert isinstance(step, Add)
    fine = 2.0 ** -(1 - step.output_scaling[1])  # of the scale that the terms are added in
    assert (np.abs(compute(step, a, b) - real.clip(-128, 127)) <= 0.5 + 256 * fine).all()
    check_short_cut(step, a, b)


@given(SCALES, SCALES, SCALES, ZERO_POINTS, ZERO_POINTS, ZERO_POINTS, INT8, INT8)
def test_products_are_exact_to_half_a_step(
    sa: float, sb: float, so: float, za: int, zb: int, zo: int, a: np.ndarray, b: np.ndarray
) -> None:
    """Against real numbers, with every zero point, and from its table."""
    step = only(
        program_of(
            graph(
                "MUL", [tensor("a", 5, sa, za), tensor("b", 5, sb, zb), tensor("c", 5, so, zo)], inputs=(0, 1)
            )
        )
    )
    real = sa * sb / so * (a.astype(float) - za) * (b.astype(float) - zb) + zo
    assert (np.abs(compute(step, a, b) - real.clip(-128, 127)) <= 0.5 + 1e-3).all()
    check_short_cut(step, a, b)


@given(
    SCALES,
    st.lists(SCALES, min_size=3, max_size=3),
    SCALES,
    ZERO_POINTS,
    ZERO_POINTS,
    arrays(np.int8, (3, 5)),
    arrays(np.int32, 3),
    INT8,
)
def test_matmuls_round_the_exact_sum(
    sx: float,
    sw: list[float],
    so: float,
    zx: int,
    zo: int,
    weights: np.ndarray,
    bias: np.ndarray,
    x: np.ndarray,
) -> None:
    """With a scale a row and with one, with any bias of 32 bits: doubles change nothing."""
    for scales in (tuple(sw), (sw[0],)):
        facts = GraphTensor("w", (3, 5), "int8", scales, (0,) * len(scales), 0, weights)
        said = GraphTensor("b", (3,), "int32", (1.0,), (0,), 0, bias)
        step = only(
            program_of(
                graph(
                    "FULLY_CONNECTED",
                    [tensor("x", 5, sx, zx), facts, said, tensor("y", 3, so, zo)],
                    inputs=(0,),
                )
            )
        )
        total = (x.astype(float) - zx) @ weights.T.astype(float) + bias
        real = total * sx * np.array(scales) / so + zo
        off = np.abs(compute(step, x) - real.clip(-128, 127))
        assert (off <= 0.5 + 1e-3).all()
        check_short_cut(step, x)


@pytest.mark.parametrize("shift", [0, -20])
def test_a_matmul_beyond_the_doubles_takes_the_slow_way(shift: int) -> None:
    """Sums of 32 bits times 31 bits do not fit 53: the rule itself runs."""
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (4, 2000)).astype(np.int8)
    bias = rng.integers(-(2**30), 2**30, 4).astype(np.int32)
    step = FullyConnected(0, 1, weights, bias, -128, 127, np.array([2**31 - 1]), np.array([shift]))
    check_short_cut(step, rng.integers(-128, 128, (6, 2000)).astype(np.int8))


def test_every_pair_of_numbers_has_its_place_in_the_table() -> None:
    """All 65,536, for a sum and a product with zero points at the rails."""
    every = np.arange(-128, 128).astype(np.int8)
    a, b = (grid.reshape(1, -1) for grid in np.meshgrid(every, every))
    check_short_cut(Add(0, 1, 2, -1, -128, 127, 5, (2**30 + 2**10, 21), (2**30, 19), (2**30, -18)), a, b)
    check_short_cut(Mul(0, 1, 2, 127, -128, -3, (2**30 + 99, -6)), a, b)


@given(arrays(np.int8, st.tuples(st.just(7), st.integers(1, 256))), st.floats(2.0**-8, 1.0, width=32))
@settings(max_examples=50)
def test_softmax_is_exact_to_half_a_step(x: np.ndarray, scale: float) -> None:
    """Shares of the whole in 256ths; one that is alone has all that int8 can say."""
    width = x.shape[1]
    step = only(
        program_of(
            graph(
                "SOFTMAX",
                [tensor("x", width, scale, 3), tensor("y", width, 1 / 256, -128)],
                inputs=(0,),
                beta=1.0,
            )
        )
    )
    assert isinstance(step, Softmax)
    exps = np.exp(scale * (x.astype(float) - x.max(axis=1, keepdims=True)))
    real = 256 * exps / exps.sum(axis=1, keepdims=True) - 128
    assert (np.abs(compute(step, x) - real.clip(-128, 127)) <= 0.5 + 1e-3).all()
    check_short_cut(step, x)


def test_constants_stand_for_every_place() -> None:
    """1 - f has a scalar, a peephole a number a unit."""
    for data in (np.array(100, np.int8), np.array([100], np.int8), np.array([[1, -2, 3, -4, 5]], np.int8)):
        made = graph("SUB", [tensor("one", data=data), tensor("f"), tensor("y")], inputs=(1,))
        program = program_of(made)
        step, f = only(program), np.stack([RAILS[:5], RAILS[2:]])
        assert [0, 1] == list(reads(step))
        constant = program.constants[0]
        expected = np.broadcast_to(data.ravel(), (2, 5))
        np.testing.assert_array_equal(compute(step, expected, f), _kernel(step, view=True)(constant, f))
        np.testing.assert_array_equal(compute(step, expected, f)[0], _kernel(step, view=True)(constant, f[0]))


Change = Callable[[Graph], Graph]


def _operator(**changes: Any) -> Change:  # noqa: ANN401 - any field
    return lambda g: replace(g, operators=(replace(g.operators[0], **changes),))


def _tensor(index: int, **changes: Any) -> Change:  # noqa: ANN401 - any field
    return lambda g: replace(
        g, tensors=tuple(replace(t, **changes) if i == index else t for i, t in enumerate(g.tensors))
    )


BAD: dict[str, tuple[Change, str]] = {
    "operator": (_operator(name="BUILTIN_99"), "BUILTIN_99 .operator 0.: unknown operator"),
    "activation": (_operator(options={"activation": 1}), "ADD .operator 0.: a fused activation"),
    "operands": (_operator(inputs=(0,)), "operands"),
    "absent operand": (_operator(inputs=(0, -1)), "operands"),
    "no operands": (_operator(inputs=()), "nothing has written"),
    "later operand": (_operator(inputs=(0, 2)), "nothing has written"),
    "float": (_tensor(0, dtype="float32"), "tensor 'a'.*float32"),
    "two scales": (_tensor(0, scales=(1.0, 2.0), zero_points=(0, 0)), "tensor 'a'"),
    "zero point": (_tensor(0, zero_points=(200,)), "tensor 'a'"),
    "three dimensions": (_tensor(0, shape=(1, 5, 1)), r"shape \(1, width\)"),
    "widths": (_tensor(0, shape=(1, 4)), "width 5"),
    "output": (lambda g: replace(g, outputs=(1, 2, 0), operators=()), "an output that nothing writes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_training_never_makes_is_refused(name: str) -> None:
    """With the operator, what was expected, and what to do."""
    change, said = BAD[name]
    whole = graph("ADD", [tensor("a"), tensor("b"), tensor("c")], inputs=(0, 1), activation=0)
    program_of(whole)
    with pytest.raises(BackendError, match=said) as caught:
        program_of(change(whole))
    assert "LiteRT" in str(caught.value)


def test_scales_too_far_apart_are_refused() -> None:
    """A sum that saturates at the smallest term is no sum."""
    with pytest.raises(BackendError, match="scales"):
        program_of(
            graph("ADD", [tensor("a", scale=4.0), tensor("b"), tensor("c", scale=2.0**-19)], inputs=(0, 1))
        )


def test_moves_between_scales_are_refused() -> None:
    """TFLite asks for one scale on both sides; to move without it would be to misread."""
    x, axis = tensor("x", 4), tensor("axis", data=np.array(1, np.int32))
    halves = [tensor("y", 2), tensor("z", 2, 0.2)]
    split = Operator("SPLIT", 1, (0, 1), (2, 3), {"num_splits": 2})
    made = Graph((axis, x, *halves), (split,), (1,), (2, 3))
    with pytest.raises(BackendError, match="scales"):
        program_of(made)
    program_of(replace(made, tensors=(axis, x, halves[0], tensor("z", 2))))


def test_a_model_that_is_none_is_a_bundle_error() -> None:
    """Damage is said in one line, with the member's name."""
    bundle = Bundle(Path("x.elb"), "", fake_manifest(), {MODEL: b"no model"})
    with pytest.raises(BundleError, match=r"x\.elb: model\.int8\.tflite: not a TFLite model"):
        ReferenceBackend(bundle)
