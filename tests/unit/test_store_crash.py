"""A process that ends at any point loses nothing that it said was done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_lstm.io.crash import CRASH_STATUS, STORE_POINTS, VARIABLE
from edge_lstm.io.store import Store
from tests import store_model
from tests.store_model import BUNDLE, restore, uninterrupted

HITS = (1, 2, 3)


def run(folder: Path, count: int, *, crash_at: str, loss_window_s: float = 0.0) -> tuple[int, int, set[int]]:
    """Run the model in a process that ends at a point: its status, the last message told, rows told sent."""
    command = [sys.executable, store_model.__file__, str(folder), str(count), str(loss_window_s)]
    root = str(Path(store_model.__file__).parents[1])
    done = subprocess.run(
        command,
        env={**os.environ, VARIABLE: crash_at, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = [line.split() for line in done.stdout.splitlines()]
    taken = max((int(number) for what, number in told if what == "taken"), default=0)
    sent = {int(number) for what, number in told if what == "sent"}
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, taken, sent


def check(folder: Path, taken: int, sent: set[int]) -> int:
    """The folder holds what an uninterrupted run would: how many messages that is."""
    store = Store(folder, wake=lambda: None, segment_bytes=store_model.SEGMENT_BYTES)
    found = store.recover(BUNDLE)
    model = restore(found)
    remade = [row for block in found.blocks for row in model.take(block)]
    expected, rows = uninterrupted(model.taken)
    assert not found.problem
    assert model.taken >= taken
    assert expected == model
    kept = {row.seq: row for row in found.outbox} | {
        row.seq: row for row in remade if row.seq > found.outbox_last
    }
    assert set(kept.values()) <= set(rows)
    assert {row.seq for row in rows} <= set(kept) | sent
    alerts = {row.alert_seq for row in rows if row.alert_seq and row.seq <= found.outbox_last}
    assert alerts == {alert.alert_seq for alert in store.alerts(0, 10_000)}
    store.close(1.0)
    return model.taken


@pytest.mark.parametrize(("hit", "loss_window_s"), [*((hit, 0.0) for hit in HITS), (2, 30.0)])
def test_crash_at_every_point_loses_nothing_that_was_told(
    tmp_path: Path, hit: int, loss_window_s: float
) -> None:
    """One folder goes through a crash at every point, one after the other."""
    folder, taken, sent = tmp_path / "state", 0, set[int]()
    points = [point for point in STORE_POINTS if not loss_window_s or "sync" in point or "write" in point]
    for point in points:
        status, last, told = run(folder, 120, crash_at=f"{point}:{hit}", loss_window_s=loss_window_s)
        assert (point, CRASH_STATUS) == (point, status)
        sent |= told
        taken = check(folder, max(taken, last), sent)
    status, last, told = run(folder, 10, crash_at="")
    assert status == 0
    check(folder, last, sent | told)
