"""The reference kernel against TFLite's own reference kernels, operator by operator, and XNNPACK."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = [pytest.mark.train, pytest.mark.timeout(280)]

tf = pytest.importorskip("tensorflow", reason="needs edge-lstm[train]")

from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: E402
from tensorflow.lite.python import schema_py_generated as schema  # noqa: E402

from edge_lstm.arrays import read_arrays  # noqa: E402
from edge_lstm.backends import BACKENDS  # noqa: E402
from edge_lstm.backends.compiler import program_of  # noqa: E402
from edge_lstm.backends.program import Add, Lookup, Mul, Program, Softmax, Step, reads  # noqa: E402
from edge_lstm.backends.reference import ReferenceBackend, compute  # noqa: E402
from edge_lstm.bundle import GOLDEN, MODEL, Bundle, open_bundle  # noqa: E402
from edge_lstm.contracts.manifest import Scoring  # noqa: E402
from edge_lstm.core.stepper import state_tensors  # noqa: E402
from edge_lstm.model_file import Graph, read_model  # noqa: E402
from edge_lstm.selftest import golden_run, selftest  # noqa: E402
from edge_lstm.testing import fake_manifest  # noqa: E402
from trainer.cells import CELLS, PeepholeCell  # noqa: E402
from trainer.convert import Converted, Representative, convert  # noqa: E402
from trainer.flatbuffer import operators_of  # noqa: E402
from trainer.model import HEADS, Autoencoder, Shape  # noqa: E402

Tensors = dict[int, NDArray[np.int8]]
Integers = NDArray[np.int64]
CHANNELS = 3
FIXED_BOTH = {"CONCATENATION", "STRIDED_SLICE"}
"""They move numbers: one scale on both sides."""
FIXED_OUT = {"LOGISTIC", "SOFTMAX", "TANH"}
"""TFLite's specification says which scale they have."""
SMALL = Shape(CHANNELS, units=6, code=2)
SHAPES = {
    # Every pair of cell and mode, cell and layers, cell and attention; the linear path in half of them.
    **{
        f"{cell} {mode}": replace(
            SMALL,
            cell=cell,
            mode=mode,
            layers=1 + (i + j) % 2,
            attention=(0, 3, 5)[(i + j) % 3],
            linear=mode != "reconstruction" and j == i % 2,
        )
        for i, cell in enumerate(CELLS)
        for j, mode in enumerate(HEADS)
    },
    "lstm of the usual size": Shape(CHANNELS, units=16, code=3),
}


@dataclass(frozen=True)
class Made:
    """A converted model, opened and compiled."""

    converted: Converted
    shape: Shape
    graph: Graph
    program: Program

    @property
    def content(self) -> bytes:
        """The file."""
        return self.converted.content


@pytest.fixture(scope="module", params=SHAPES)
def made(request: pytest.FixtureRequest) -> Made:
    """Random weights, peepholes too, with the ranges of random readings and states."""
    shape, rng = SHAPES[request.param], np.random.default_rng(5)
    model = Autoencoder(shape, seed=1)
    for cell in model.cells:
        if isinstance(cell, PeepholeCell):
            for peep in (cell.peep_i, cell.peep_f, cell.peep_o):
                peep.assign(rng.normal(size=peep.shape) / 2)
    states = tuple(rng.normal(size=(100, width)).astype(np.float32) for width in shape.widths)
    frames = rng.normal(size=(100, CHANNELS)).astype(np.float32)
    converted = convert(model, Representative(frames, states))
    graph = read_model(converted.content)
    return Made(converted, shape, graph, program_of(graph))


def bundle_of(made: Made) -> Bundle:
    """A bundle in memory."""
    names = tuple(f"c{i}" for i in range(CHANNELS))
    fake, whole = fake_manifest(names), made.converted
    heads = tuple(head for head in fake.scoring.heads if head.output in made.shape.heads)
    manifest = fake_manifest(
        names,
        inputs=whole.inputs,
        outputs=whole.outputs,
        states=whole.states,
        scoring=Scoring(8.0, 1e6, heads),
    )
    return Bundle(Path("memory"), "", manifest, {MODEL: whole.content})


def interpret(content: bytes, inputs: Tensors, **options: Any) -> Any:  # noqa: ANN401 - no types
    """An interpreter that has run a batch."""
    interpreter = Interpreter(model_content=content, num_threads=1, **options)
    for index, array in inputs.items():
        interpreter.resize_tensor_input(index, list(array.shape))
    interpreter.allocate_tensors()
    for index, array in inputs.items():
        interpreter.set_tensor(index, array)
    interpreter.invoke()
    return interpreter


def random_inputs(graph: Graph, rows: int, *, seed: int) -> Tensors:
    """Readings and states from the whole of int8."""
    rng = np.random.default_rng(seed)
    widths = {i: graph.tensors[i].shape[-1] for i in graph.inputs}
    return {i: rng.integers(-128, 128, (rows, width)).astype(np.int8) for i, width in widths.items()}


def every_tensor(content: bytes, program: Program, rows: int, *, seed: int) -> Tensors:
    """What TFLite's reference kernels make of random inputs, at every tensor."""
    graph = program.graph
    interpreter = interpret(
        content,
        random_inputs(graph, rows, seed=seed),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    used = {i for step in program.steps for i in (*reads(step), step.output)} - set(program.constants)
    return {i: interpreter.get_tensor(i) for i in used} | dict(program.constants)


def compare(step: Step, tensors: Tensors) -> Integers:
    """Our answer minus TFLite's, for TFLite's operands."""
    got = compute(step, *(tensors[i] for i in reads(step)))
    return np.asarray(got.astype(np.int64) - tensors[step.output])


def gemmlowp_mul(step: Mul, tensors: Tensors) -> Integers:
    """A product as gemmlowp scales it: a doubled high half rounded, then a shift rounded again.

    `SaturatingRoundingDoublingHighMul` and `RoundingDivideByPOT` of gemmlowp's
    fixedpoint/fixedpoint.h; both round half away from zero.
    """
    a, b = (tensors[i].astype(np.int64) for i in (step.a, step.b))
    multiplier, shift = step.scaling
    product = ((a - step.a_zero) * (b - step.b_zero) << max(shift, 0)) * multiplier
    high = np.sign(product) * ((np.abs(product) + 2**30) >> 31)
    right = max(-shift, 0)
    whole = np.sign(high) * ((np.abs(high) + (1 << right >> 1)) >> right)
    return np.asarray((whole + step.output_zero).clip(-128, 127))


def check_operators(content: bytes, program: Program, *, seed: int) -> int:
    """Every operator against TFLite's, from TFLite's own operands; how many products differ."""
    tensors, products = every_tensor(content, program, 400, seed=seed), 0
    for step in program.steps:
        off = np.abs(compare(step, tensors))
        match step:
            case Mul():
                np.testing.assert_array_equal(gemmlowp_mul(step, tensors), tensors[step.output])
                assert off.max() <= 1
                products += int(off.sum())
            case Add() | Softmax():
                assert off.max() <= 1
                assert off.mean() <= 1e-3
            case Lookup():
                assert off.max() <= 1  # an entry within single precision's error of a half
                assert len(np.unique(tensors[reads(step)[0]][off > 0])) <= 1
            case _:
                assert off.max() == 0, type(step).__name__
    return products


def test_operators_are_those_of_tflites_reference_kernels(made: Made) -> None:
    """Bit for bit, but MUL (gemmlowp's second rounding), ADD, SUB and SOFTMAX: one off at most."""
    check_operators(made.content, made.program, seed=11)


def rescaled(content: bytes, *, seed: int) -> bytes:
    """The same graph with other scales, and zero points at the rails."""
    rng = np.random.default_rng(seed)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    tensors, ops = model.subgraphs[0].tensors, model.subgraphs[0].operators
    named = list(zip(operators_of(model), ops, strict=True))
    fixed = {i for name, op in named for i in (*op.inputs, *op.outputs) if name in FIXED_BOTH}
    fixed |= {i for name, op in named for i in op.outputs if name in FIXED_OUT}
    fixed |= {op.inputs[1] for name, op in named if name == "FULLY_CONNECTED"}
    for index, tensor in enumerate(tensors):
        if index not in fixed and tensor.type == schema.TensorType.INT8:
            zero = int(rng.integers(-128, 128))
            tensor.quantization.scale = [float(np.float32(2.0 ** rng.uniform(-9, 1)))]
            tensor.quantization.zeroPoint = [(-128, 127, 0, zero)[rng.integers(4)]]
    for name, op in named:
        if name == "SPLIT":
            for index in op.outputs:
                tensors[index].quantization = tensors[op.inputs[1]].quantization
        elif name == "FULLY_CONNECTED" and len(op.inputs) > 2 and op.inputs[2] >= 0:
            scales = [np.float32(tensors[i].quantization.scale[0]) for i in op.inputs[:2]]
            tensors[op.inputs[2]].quantization.scale = [float(scales[0] * scales[1])]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_operators_agree_at_the_rails_too(made: Made) -> None:
    """Zero points of -128 and 127, factors from thousandths to hundreds: most answers saturate."""
    products = 0
    for seed in range(3):
        content = rescaled(made.content, seed=seed)
        products += check_operators(content, program_of(read_model(content)), seed=seed)
    assert products > 0 or not any(isinstance(step, Mul) for step in made.program.steps)


def test_a_step_is_xnnpacks_to_one_quantization_step(made: Made) -> None:
    """From the same random readings and states, every output and every next state.

    XNNPACK scales the sums of a matmul in single precision, so one next to a half can come out one
    off, and an operator after it with a gain above one makes that two: of 21.6 million outputs of
    models with random weights and states 96 were one off and 13 more than one.
    """
    rows = 2000
    inputs = random_inputs(made.graph, rows, seed=23)
    interpreter = interpret(made.content, inputs)
    tensors: Tensors = inputs | dict(made.program.constants)
    for step in made.program.steps:
        tensors[step.output] = compute(step, *(tensors[i] for i in reads(step)))
    off = np.concatenate(
        [np.abs(tensors[i].astype(int) - interpreter.get_tensor(i)).ravel() for i in made.graph.outputs]
    )
    assert (off > 0).mean() <= 1e-4
    assert (off > 1).sum() <= 1


def test_a_batch_is_its_streams_one_by_one(made: Made) -> None:
    """Batches of several sizes through one backend, from rows that are not contiguous."""
    bundle, rng = bundle_of(made), np.random.default_rng(2)
    backend, widths = ReferenceBackend(bundle), [a.shape[-1] for a, _ in state_tensors(bundle.manifest)]
    for streams in (1, 3, 64, 2):
        frames = rng.integers(-128, 128, (5, streams, CHANNELS)).astype(np.int8)
        together = [rng.integers(-128, 128, (2 * streams, width)).astype(np.int8)[::2] for width in widths]
        alone = [array.copy() for array in together]
        for frame in frames:
            said = {name: array.copy() for name, array in backend.step(frame, together).items()}
            for i in range(streams):
                one = backend.step(frame[i], [array[i] for array in alone])
                for name, array in said.items():
                    np.testing.assert_array_equal(array[i], one[name])
            for array, single in zip(together, alone, strict=True):
                np.testing.assert_array_equal(array, single)


def test_the_backend_is_the_rules(made: Made) -> None:
    """Tables and doubles give what the rules give, step after step."""
    bundle = bundle_of(made)
    backend, graph = ReferenceBackend(bundle), made.graph
    pairs = [(graph.index(a.name), graph.index(b.name)) for a, b in state_tensors(bundle.manifest)]
    tensors = random_inputs(graph, 300, seed=4)
    states, frame = [tensors[a].copy() for a, _ in pairs], graph.index(bundle.manifest.input)
    tensors |= dict(made.program.constants)
    for _ in range(3):
        said = backend.step(tensors[frame], states)
        for step in made.program.steps:
            tensors[step.output] = compute(step, *(tensors[i] for i in reads(step)))
        for name, array in said.items():
            np.testing.assert_array_equal(tensors[graph.index(name)], array)
        for (before, after), state in zip(pairs, states, strict=True):
            np.testing.assert_array_equal(tensors[after], state)
            tensors[before] = tensors[after]


def test_a_trained_step_is_xnnpacks_to_one_quantization_step(tiny_bundle: Path) -> None:
    """20,000 random states of a trained model: nothing is two off."""
    content = open_bundle(tiny_bundle).read(MODEL)
    program = program_of(read_model(content))
    tensors = random_inputs(program.graph, 20_000, seed=29)
    interpreter = interpret(content, tensors)
    for step in program.steps:
        tensors[step.output] = compute(step, *(tensors[i] for i in reads(step)))
    for i in program.graph.outputs:
        off = np.abs(tensors[i].astype(int) - interpreter.get_tensor(i))
        assert off.max() <= 1
        assert off.mean() <= 1e-4


def test_golden_vectors_of_litert_come_out(tiny_bundle: Path) -> None:
    """Within the tolerance, and nearly all of the 256 steps bit for bit."""
    bundle = open_bundle(tiny_bundle)
    assert bundle.manifest.metrics  # a bundle of the trainer: its golden vectors are LiteRT's
    backend = ReferenceBackend(bundle)
    assert selftest(bundle, backend).passed
    golden = read_arrays(bundle.read(GOLDEN))
    got = golden_run(bundle, backend, golden["frames"].astype(float))
    equal = np.ones(len(golden["frames"]), bool)
    for name in {tensor.name for tensor in bundle.manifest.outputs} & set(got):
        equal &= (got[name] == golden[name]).all(axis=1)
    assert equal.mean() >= 0.9


@pytest.mark.parametrize("name", ["litert", "reference"])
def test_a_backend_says_its_name(name: str, tiny_bundle: Path) -> None:
    """A choice is found in alerts and health under the name it was chosen by."""
    assert name == BACKENDS[name](open_bundle(tiny_bundle)).name


def test_doubles_are_exact_for_a_usual_model(tiny_bundle: Path) -> None:
    """No matmul of the default model takes the slow way."""
    from edge_lstm.backends.program import FullyConnected
    from edge_lstm.backends.reference import _matmul

    program = program_of(read_model(open_bundle(tiny_bundle).read(MODEL)))
    matmuls = [step for step in program.steps if isinstance(step, FullyConnected)]
    assert [_matmul(step).__name__ for step in matmuls] == ["multiply"] * len(matmuls)
    assert any(isinstance(step, Add) for step in program.steps)


def test_no_product_ends_between_two_numbers(made: Made) -> None:
    """There half up (here, XNNPACK on Arm) and half to even (XNNPACK on x86) would part ways.

    Of all pairs of int8 numbers, and within the error of XNNPACK's single precision.
    """
    every = np.arange(-128, 128)
    for step in made.program.steps:
        if isinstance(step, Mul):
            scaled = np.outer(every - step.a_zero, every - step.b_zero) * step.scaling[0]
            whole = 1 << (31 - step.scaling[1])
            middle = np.abs(scaled % whole - whole // 2) / whole
            assert middle[np.abs(scaled) <= 128 * whole].min() > 1e-5
