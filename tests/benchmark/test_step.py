"""How much the pipeline costs around the model: ratios of one run, printed and never asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_lstm.bundle import open_bundle
from tests.benchmark.step import BATCH, measure_step


def test_step_and_reading_against_bare_invoke(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Frame to heads, alone and in a batch, and reading to score, as multiples of the invoke itself."""
    found = measure_step(open_bundle(tiny_bundle))
    with capsys.disabled():
        print(  # noqa: T201 - the result of a benchmark is its print
            f"\ninvoke {found['invoke_us']:.1f} us; around it {found['around']:.1f} x; "
            f"a reading {found['reading_us'] / found['invoke_us']:.0f} x; "
            f"a step of {BATCH} streams {found['batch_to_batch']:.1f} x its bare invoke, "
            f"a stream of it {found['batch_to_single']:.2f} x a bare invoke of one"
        )
    assert min(found["invoke_us"], found["batch_invoke_us"]) > 0
