"""int8 against float on recordings that were not learned, for every kind of cell."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.core.normalize import normalizers
from edge_lstm.quiet import quiet_stderr
from edge_lstm.times import NS
from tests.benchmark.detection.cases import START_NS, Case, Stretch, cases
from tests.benchmark.detection.members import history_of
from trainer.build import Built, build, wake_tensorflow
from trainer.fidelity import Material, measure
from trainer.gate import FidelityError
from trainer.progress import Watcher
from trainer.scale import CLIP
from trainer.settings import Int8Settings, TrainSettings
from trainer.split import hold

__all__ = ["LONG_STEPS", "Measured", "perform", "pump"]

LONG_STEPS = 100_000
_PASS = 10_000
_ANYTHING = Int8Settings(
    least_rank_correlation=-1.0,
    most_changed_verdicts=1.0,
    most_vus_pr_lost=1.0,
    most_saturated=1.0,
    most_error_growth=1e6,
    tuning_updates=0,
)
_FAULTS = ("bearing_wear", "cavitation", "blocked_valve", "stuck_sensor", "drop_out", "drift")
_FAULT_EVERY_S, _FAULT_FOR_S = 2000, 500


class Measured(msgspec.Struct, frozen=True):
    """One training and what came of it.

    Attributes:
        set: The data set.
        case: The machine.
        cell: Kind of cell.
        refused: What the gate said where it refused the build; empty where it passed.
        tuned: Whether quantization-aware training was needed.
        gate: Figures of the build's own replay.
        recordings: Figures of each recording that was not learned.
        train_s: Duration of the build, seconds.
        model_bytes: Size of the int8 model.
    """

    set: str
    case: str
    cell: str
    refused: str
    tuned: bool
    gate: dict[str, Any]
    recordings: list[dict[str, Any]]
    train_s: float
    model_bytes: int


def pump(folder: Path) -> Case:
    """A simulated pump: hours of history, and a day with faults."""
    tables = []
    for name, rows, options in (
        ("history", 10_000, ["--seed", "1"]),
        ("test", LONG_STEPS, ["--seed", "2", "--labels", *(f"--fault={one}" for one in _faults())]),
    ):
        path = folder / f"{name}.parquet"
        command = [sys.executable, "-m", "edge_lstm", "simulate", "--history", str(rows), "--out", str(path)]
        subprocess.run([*command, *options], check=True, capture_output=True)
        tables.append(pl.read_parquet(path))
    channels = tuple(c for c in tables[0].columns if c not in {"time", "asset", "anomaly"})
    stretches = []
    for table in tables:
        values = table.select(channels).to_numpy().astype(np.float64)
        labels = (
            table["anomaly"].to_numpy() > 0 if "anomaly" in table.columns else np.zeros(len(values), np.bool_)
        )
        times = START_NS + np.arange(len(values), dtype=np.int64) * NS
        stretches.append(Stretch("pump", "", times, values, labels))
    return Case("simulated", "pump", channels, (stretches[0],), (stretches[1],), 1)


def _faults() -> list[str]:
    """One kind after the other, of growing strength, all through the day."""
    starts = range(1000, LONG_STEPS - _FAULT_FOR_S, _FAULT_EVERY_S)
    return [
        f"{_FAULTS[i % 6]}@{start}s:for={_FAULT_FOR_S}s:strength={0.5 + 0.5 * (i // 6 % 3)}"
        for i, start in enumerate(starts)
    ]


def perform(data: Path, which: str, name: str, cell: str, updates: int | None) -> Measured:
    """Train one cell on one machine and compare int8 with float on its recordings."""
    with quiet_stderr():
        wake_tensorflow()
    with TemporaryDirectory() as folder:
        here = Path(folder)
        found = [pump(here)] if which == "simulated" else cases(data, which)
        (case,) = [one for one in found if one.name == name]
        (here / "history").mkdir()
        history = history_of(case, here / "history")
    settings = TrainSettings()
    model = msgspec.structs.replace(settings.model, cell=cell, updates=updates or settings.model.updates)
    settings = msgspec.structs.replace(settings, model=model)
    begun, refused = time.monotonic(), ""
    try:
        built = build(history, settings, name="benchmark", watcher=Watcher())
    except FidelityError as error:
        refused = str(error)
        settings = msgspec.structs.replace(settings, int8=_ANYTHING)
        built = build(history, settings, name="benchmark", watcher=Watcher())
    train_s = time.monotonic() - begun
    columns = [case.channels.index(channel) for channel in history.channels]
    return Measured(
        set=which,
        case=name,
        cell=cell,
        refused=refused,
        tuned="int8_tuning" in built.manifest.training,
        gate=_plain(built.manifest.fidelity),
        recordings=[_compare(built, test, columns) for test in case.tests],
        train_s=train_s,
        model_bytes=len(built.converted.content),
    )


def _compare(built: Built, test: Stretch, columns: Sequence[int]) -> dict[str, Any]:
    manifest = built.manifest
    default, named = normalizers(manifest.scaling, manifest.assets, clip=CLIP)
    scaling = named.get(test.asset, default)
    z: NDArray[np.float64] = scaling.forward(hold(test.values[:, list(columns)], scaling.centre))
    forms = built.converted, built.float_converted
    whole = measure(manifest, *forms, built.weights, Material(z, test.labels), steps=len(z))
    figures = _plain(whole.figures)
    if len(z) >= LONG_STEPS:  # whether the error grows is seen on the same rows, over and over
        short = Material(z[:_PASS], test.labels[:_PASS])
        again = measure(manifest, *forms, built.weights, short, steps=LONG_STEPS)
        figures["error_growth"] = again.figures["error_growth"]
    return figures


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "error_by_channel"}
