"""The model that is run, and the readings that it is fed: a simulated plant of eight channels."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm.arrays import read_arrays
from edge_lstm.bundle import GOLDEN, Bundle, open_bundle
from tests.benchmark.daemon.wire import publish
from tests.benchmark.detection.digest import code_digest

__all__ = ["Rows", "default_bundle", "rows_of"]

ROWS, UPDATES = 6000, 300
PERIODS = 128, 64, 32
"""Of the plant's swings, in readings: they divide the rows that are kept, so that these go round."""

_KEPT = 128
_FIRST_S = 1_767_225_600


def default_bundle(folder: Path) -> Path:
    """A bundle of the default settings, but for fewer updates; made anew when the trainer has changed."""
    out = folder / f"model-{code_digest('trainer.cli')[:16]}.elb"
    if not out.is_file():
        history = folder / "history.csv"
        _plant().write_csv(history)
        command = [sys.executable, "-m", "edge_lstm", "train", str(history), "--out", str(out)]
        subprocess.run([*command, "--updates", str(UPDATES)], check=True, capture_output=True)
    return out


def _plant() -> pl.DataFrame:
    """Eight channels that follow three swings, one digit after the point, as transmitters send."""
    rng, moments = np.random.default_rng(0), np.arange(ROWS)
    swings = np.stack([np.sin(2 * np.pi * moments / period) for period in PERIODS], axis=1)
    values = 5 + 1.2 / np.sqrt(3) * swings @ rng.normal(size=(3, 8)) + 0.15 * rng.normal(size=(ROWS, 8))
    table = pl.DataFrame(np.clip(np.round(values, 1), 0.1, 9.9), schema=list("abcdefgh"))
    return table.insert_column(0, pl.Series("time", _FIRST_S + moments))


@dataclass(frozen=True, slots=True)
class Rows:
    """Readings that a model finds normal.

    Attributes:
        channels: Names, the order of all values.
        values: Channel units (rows, channels); after the last comes the first again.
    """

    channels: tuple[str, ...]
    values: NDArray[np.float64]

    def payload(self, row: int, time_ms: int | None = None) -> bytes:
        """The JSON object of one reading, with its time under ``t`` where it has one."""
        said = dict(zip(self.channels, self.values[row % len(self.values)].tolist(), strict=True))
        timed = said if time_ms is None else {"t": time_ms, **said}
        return json.dumps(timed, separators=(",", ":")).encode()

    def packets(
        self, prefix: str, streams: Sequence[str], count: int, *, qos: int, turn: int = 0
    ) -> Iterator[bytes]:
        """PUBLISH packets, stream after stream, each its rows in order, round and round; encoded once.

        A packet identifier comes again after thousands of messages, long after its acknowledgement.

        Args:
            prefix: First level of the topics.
            streams: Machines.
            count: Packets in all.
            qos: 0 or 1.
            turn: Readings that each machine has had before.
        """
        payloads = [self.payload(row) for row in range(len(self.values))]
        made = []
        for i in range(min(count, len(streams) * len(payloads))):
            later, stream = divmod(i, len(streams))
            payload = payloads[(turn + later + 2 * stream) % len(payloads)]
            made.append(publish(f"{prefix}/{streams[stream]}", payload, mid=(i % 65_535 + 1) * qos))
        return itertools.islice(itertools.cycle(made), count)


def rows_of(bundle: Bundle | Path) -> Rows:
    """The golden frames of a bundle that lie in the usual range, as readings of four digits."""
    bundle = open_bundle(bundle) if isinstance(bundle, Path) else bundle
    manifest = bundle.manifest
    frames = read_arrays(bundle.read(GOLDEN))["frames"][:_KEPT].astype(np.float64)
    values = frames * np.asarray(manifest.scaling.scale) + np.asarray(manifest.scaling.centre)
    short = np.array([[float(f"{value:.4g}") for value in row] for row in values])
    return Rows(tuple(channel.name for channel in manifest.channels), short)
