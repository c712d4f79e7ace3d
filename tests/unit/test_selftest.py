"""Golden vectors: what they must be to prove anything."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edge_lstm.backends.none import NoNetwork
from edge_lstm.bundle import GOLDEN, Bundle, open_bundle, write_bundle
from edge_lstm.commands.bundle import inspect, selftest
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.core.backend import TensorArray
from edge_lstm.errors import BundleError, SelfTestError
from edge_lstm.selftest import LEAST_STEPS, MOST_STEPS, golden_run, verify
from edge_lstm.testing import FakeBackend, fake_manifest


def bundle_with(golden: Mapping[str, Any], manifest: Manifest | None = None) -> Bundle:
    """A bundle in memory with these golden vectors."""
    buffer = io.BytesIO()
    np.savez(buffer, **golden)
    return Bundle(Path("memory"), "", manifest or fake_manifest(), {GOLDEN: buffer.getvalue()})


def golden_of(steps: int) -> dict[str, Any]:
    """What the fake model answers."""
    frames = np.random.default_rng(0).normal(size=(steps, 2))
    bundle = Bundle(Path("memory"), "", fake_manifest(), {})
    return {"frames": frames, **golden_run(bundle, FakeBackend(), frames)}


def level_alone() -> Manifest:
    """A bundle of the EWMA alone: no network, no weights."""
    whole = fake_manifest()
    scoring = type(whole.scoring)(whole.scoring.clip, whole.scoring.cap, whole.scoring.heads[2:])
    return fake_manifest(inputs=(), outputs=(), input="", states=(), scoring=scoring)


def test_golden_vectors_come_out() -> None:
    """Bit for bit, and one that is changed is found."""
    golden = golden_of(50)
    assert 0 == verify(bundle_with(golden), FakeBackend()).greatest

    golden["forecast"][30, 1] += 1
    with pytest.raises(SelfTestError, match="1 in 'forecast' at step 30"):
        verify(bundle_with(golden), FakeBackend())


class OneOff(FakeBackend):
    """A kernel that rounds the cell up where the golden one rounds down."""

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """One more than it should be, in a state that multiplies by 5 what it is given."""
        said = super().step(frame, state)
        state[1][:] = np.where(state[1] < 127, state[1] + 1, state[1])
        return said


def test_difference_is_that_of_one_step() -> None:
    """Every step begins with the golden states: one off stays one off, and does not lead far away."""
    golden = golden_of(50)
    off = golden_run(bundle_with(golden), OneOff(), golden["frames"])
    assert np.abs(off["cell_out_0"].astype(int) - golden["cell_out_0"]).max() > 10

    result = verify(bundle_with(golden, fake_manifest(golden_tolerance=1)), OneOff())
    assert (1, "cell_out_0") == (result.greatest, result.tensor)
    with pytest.raises(SelfTestError, match="1 in 'cell_out_0'"):
        verify(bundle_with(golden), OneOff())


@pytest.mark.parametrize("steps", [1, LEAST_STEPS - 1, MOST_STEPS + 1])
def test_too_few_steps_prove_nothing_and_too_many_take_forever(steps: int) -> None:
    """The first steps from a fresh state are the easiest to get right."""
    golden = golden_of(1)
    golden["frames"] = np.zeros((steps, 2))

    with pytest.raises(SelfTestError, match="16 to 10000 frames of 2 channels"):
        verify(bundle_with(golden), FakeBackend())


@pytest.mark.parametrize("shape", [(50,), (50, 3), (1, 50, 2)])
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """They are checked before the interpreter sees them."""
    with pytest.raises(SelfTestError, match="of 2 channels, got an array of shape"):
        verify(bundle_with({**golden_of(50), "frames": np.zeros(shape)}), FakeBackend())


def test_golden_vectors_without_a_number_prove_nothing() -> None:
    """NaN differs from everything by NaN, which is not more than the tolerance."""
    golden = golden_of(50)
    golden["forecast"] = golden["forecast"] * np.nan

    with pytest.raises(SelfTestError, match="'forecast' is not of finite numbers"):
        verify(bundle_with(golden), FakeBackend())


def test_level_alone_has_nothing_to_compute() -> None:
    """Its selftest still reads the frames."""
    assert verify(bundle_with({"frames": np.zeros((20, 2))}, level_alone()), NoNetwork()).passed
    with pytest.raises(SelfTestError, match="'frames'"):
        verify(bundle_with({}, level_alone()), NoNetwork())


def test_bundle_without_network_is_shown_and_tested(tmp_path: Path) -> None:
    """Both commands once looked for the network."""
    path = tmp_path / "m.elb"
    write_bundle(path, level_alone(), bundle_with({"frames": np.zeros((20, 2))}).members)

    shown = CliRunner().invoke(inspect, [str(path)])
    tested = CliRunner().invoke(selftest, [str(path)])

    assert (0, 0) == (shown.exit_code, tested.exit_code)
    assert "model       no network" in shown.output
    assert tested.output.startswith("pass: 20 steps")


def test_endless_file_is_no_bundle() -> None:
    """/dev/zero has no size to look at, and no end."""
    with pytest.raises(BundleError, match="too large"):
        open_bundle("/dev/zero")
