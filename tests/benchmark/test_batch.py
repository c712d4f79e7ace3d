"""What a reading costs in micro-batches: figures of one run, printed and never asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_lstm.bundle import open_bundle
from tests.benchmark.batch import measure_batch, report


def test_readings_in_batches_against_bare_invokes(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Part by part, and as readings a second in ratio to the model's own work."""
    bundle = open_bundle(tiny_bundle)
    found = measure_batch(bundle, streams=64)
    with capsys.disabled():
        print("\n" + report(found, streams=64, channels=len(bundle.manifest.channels)))  # noqa: T201 - a benchmark's result
    assert min(found.values()) > 0
