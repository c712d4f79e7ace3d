"""The gate: an int8 model that does not give the verdicts of the float model is never shipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.contracts.manifest import Manifest, State, Tensor
from edge_lstm.core import stepper
from tests.contest_cases import latched_mode
from trainer.build import Built, build
from trainer.convert import Converted
from trainer.data import History, Segment
from trainer.fidelity import Material, measure
from trainer.flatbuffer import describe, edited
from trainer.gate import FidelityError, failures
from trainer.pack import members_of
from trainer.progress import Watcher
from trainer.settings import AlarmSettings, Int8Settings, ModelSettings, TrainSettings

pytestmark = pytest.mark.train

Floats = NDArray[np.float64]
STEPS = 4000
SETTINGS = TrainSettings(
    members=("lstm",),
    model=ModelSettings(updates=150),
    int8=Int8Settings(steps=STEPS, most_changed_verdicts=0.05, tuning_updates=0),
    alarm=AlarmSettings(budget_per_month=300),
)


def history(rows: int = 3000) -> History:
    """A machine with a hidden mode, a minute a row."""
    values = latched_mode(rows, seed=0)
    time_ns = np.arange(rows, dtype=np.int64) * 60 * 10**9
    names = tuple(f"c{i}" for i in range(values.shape[1]))
    return History(
        channels=names, segments=(Segment("", "made.csv", time_ns, values),), period_s=60.0, files=()
    )


@pytest.fixture(scope="module")
def built() -> Built:
    """A real training that passed the gate."""
    return build(history(), SETTINGS, name="made", watcher=Watcher())


def found(built: Built, int8: Converted) -> list[str]:
    """What the gate says of another int8 form of the built network."""
    rng = np.random.default_rng(0)
    normal = np.concatenate([one.z[-500:] for one in built.traces])
    faulty = normal + np.repeat(
        rng.choice([-4.0, 0.0, 4.0], size=(len(normal) // 50, normal.shape[1])), 50, 0
    )
    marks = np.r_[np.zeros(len(normal), bool), np.abs(faulty - normal).max(axis=1) > 0]
    material = Material(np.clip(np.concatenate([normal, faulty]), -8, 8), marks)
    real, weights = built.float_converted, built.weights
    fidelity = measure(built.manifest, int8, real, weights, material, steps=STEPS)
    return failures(fidelity.figures, SETTINGS.int8)


def test_what_was_built_passes_and_says_so(built: Built) -> None:
    """Figures of the replay are in the manifest; nothing is beyond its limit."""
    said = built.manifest.fidelity
    assert said["steps"] >= STEPS
    assert said["rank_correlation"] > 0.995
    assert said["episodes"]["float"] > 0
    assert said["vus_pr"]["float"] > 0.2
    assert set(said["error_by_channel"]) == {c.name for c in built.manifest.channels}
    assert not found(built, built.converted)


def swapped_states(int8: Converted) -> Converted:
    """Hidden goes in where cell belongs, and the other way round."""
    (hidden, cell) = int8.states
    states = (State(hidden.input, cell.output), State(cell.input, hidden.output))
    return replace(int8, states=states)


def coarse_states(int8: Converted) -> Converted:
    """Both states on a grid sixteen times too coarse."""

    def spoil(tensors: dict[str, Any]) -> None:
        for state in int8.states:
            for name in (state.input, state.output):
                quantization = tensors[name].quantization
                quantization.scale = [16 * float(quantization.scale[0])]

    content = edited(int8.content, spoil)
    inputs, outputs = describe(content)
    return Converted(content, inputs, outputs, int8.states)


def short_range(int8: Converted) -> Converted:
    """The frame's tensor ends at two deviations, as a history without faults would set it."""

    def spoil(tensors: dict[str, Any]) -> None:
        quantization = tensors["frame"].quantization
        quantization.scale = [2 / 127]

    content = edited(int8.content, spoil)
    inputs, outputs = describe(content)
    return Converted(content, inputs, outputs, int8.states)


@pytest.mark.parametrize("spoil", [coarse_states, short_range])
def test_spoiled_files_fail(built: Built, spoil: Callable[[Converted], Converted]) -> None:
    """Scales that are wrong inside the model file."""
    assert "rank correlation" in found(built, spoil(built.converted))[0]


def test_swapped_hidden_and_cell_fail(built: Built) -> None:
    """Same shapes, plausible numbers, nonsense."""
    spoiled = swapped_states(built.converted)
    manifest = msgspec.structs.replace(built.manifest, states=spoiled.states)
    wrong = replace_manifest(built, manifest)
    assert "rank correlation" in found(wrong, spoiled)[0]


def replace_manifest(built: Built, manifest: Manifest) -> Built:
    """The same training with another manifest."""
    return Built(
        manifest,
        built.fitted,
        built.traces,
        built.tail,
        built.converted,
        built.float_converted,
        built.weights,
        built.fidelity,
    )


def unclipped(real: Floats, tensor: Tensor) -> NDArray[Any]:
    """The cast that turns 200 into -56."""
    if tensor.dtype == "float32":
        return real.astype(np.float32)
    return (np.rint(real * 2 / tensor.scale) + tensor.zero_point).astype(np.int64).astype(np.int8)


def off_by_a_zero_point(real: Floats, tensor: Tensor) -> NDArray[Any]:
    """Quantized with a zero point that is not the tensor's."""
    if tensor.dtype == "float32":
        return real.astype(np.float32)
    whole: NDArray[Any] = np.clip(np.rint(real / tensor.scale) + tensor.zero_point + 20, -128, 127)
    return whole.astype(np.int8)


@pytest.mark.parametrize("spoiled", [unclipped, off_by_a_zero_point])
def test_wrong_quantization_on_the_host_fails(
    built: Built, spoiled: Callable[..., NDArray[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device's own mistakes are in the replay, too."""
    monkeypatch.setattr(stepper, "quantize", spoiled)
    monkeypatch.setattr(stepper, "WIDEST", 0)  # tables are made of the right arithmetic
    assert "rank correlation" in found(built, built.converted)[0]


def test_limit_that_cannot_be_kept_is_tuned_for_and_then_refused() -> None:
    """Quantization-aware training is tried; what does not suffice then ends the build with advice."""
    strict = Int8Settings(steps=STEPS, least_rank_correlation=1.0, tuning_updates=20)
    said: list[str] = []

    class Listener(Watcher):
        def say(self, text: str) -> None:
            said.append(text)

    with pytest.raises(
        FidelityError,
        match=r"after tuning.*at least 1\.0000 \(int8\.least_rank_correlation: 1\).*--members var",
    ):
        build(history(), msgspec.structs.replace(SETTINGS, int8=strict), name="made", watcher=Listener())
    assert "int8 does not follow float" in said[0]
    assert "int8 against float over" in said[-1]


def test_bundle_without_a_network_has_nothing_to_compare() -> None:
    """Only linear members: no figures, no gate."""
    linear = msgspec.structs.replace(SETTINGS, members=("var",))
    built = build(history(1200), linear, name="made", watcher=Watcher())
    assert built.manifest.fidelity == {}
    assert "model.int8.tflite" not in members_of(built)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rank_correlation": 0.9}, "rank correlation of the scores 0.9000, at least 0.9950"),
        ({"changed_verdicts": 0.05}, "verdicts that changed 5.00%, at most 2.00%"),
        ({"vus_pr": {"int8": 0.5, "float": 0.6}}, "VUS-PR lost 0.1000, at most 0.0100"),
        ({"labelled_vus_pr": {"int8": 0.5, "float": 0.6}}, "VUS-PR lost 0.1000, at most 0.0100"),
        ({"saturated": {"cell_out_0": 0.2}}, "float goes on 20.00%"),
        ({"error_growth": 2.0}, "over the replay 2, at most 1.05"),
    ],
)
def test_each_limit_is_named_with_its_key(change: dict[str, Any], says: str) -> None:
    """One figure beyond its limit at a time."""
    good: dict[str, Any] = {
        "steps": 20_000,
        "rank_correlation": 1.0,
        "changed_verdicts": 0.0,
        "vus_pr": None,
        "labelled_vus_pr": None,
        "saturated": {},
        "error_growth": 1.0,
    }
    assert not failures(good, Int8Settings())
    (text,) = failures(good | change, Int8Settings())
    assert says in text
    assert "(int8." in text
