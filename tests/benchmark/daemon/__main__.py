"""``python -m tests.benchmark.daemon``: the daemon's figures, then the block of the page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from edge_lstm.quiet import quiet_stderr
from tests.benchmark.daemon.found import Found
from tests.benchmark.daemon.latency import measure_latency
from tests.benchmark.daemon.memory import measure_memory
from tests.benchmark.daemon.model import default_bundle, rows_of
from tests.benchmark.daemon.replay import measure_replay
from tests.benchmark.daemon.site import Site, cores, open_site
from tests.benchmark.daemon.throughput import WAYS, Way, measure_throughput
from tests.benchmark.daemon.wear import measure_recovery, measure_starts, measure_wear

ROOT = Path(__file__).parents[3]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Plan:
    """How much of each; seconds where it is not a number of things."""

    ways: tuple[Way, ...]
    rounds: int
    turn_s: float
    replay: tuple[int, int]
    alerts: tuple[tuple[str, str], ...]
    alerts_s: float
    backends: tuple[str, ...]
    chunk: int
    chunks: int
    starts: int
    wear_s: float
    lost: int


_FULL = _Plan(
    ways=WAYS,
    rounds=3,
    turn_s=3.0,
    replay=(9, 150),
    alerts=(("mqtt5", "strict"), ("mqtt5", "batched"), ("paho", "strict"), ("paho", "batched")),
    alerts_s=15.0,
    backends=("litert", "reference"),
    chunk=50_000,
    chunks=20,
    starts=10,
    wear_s=120.0,
    lost=3000,
)
_QUICK = _Plan(
    ways=tuple(way for way in WAYS if way.code in {"e1", "d1", "e0", "d0"}),
    rounds=1,
    turn_s=0.0,
    replay=(1, 5),
    alerts=(("mqtt5", "strict"),),
    alerts_s=0.5,
    backends=("litert",),
    chunk=1000,
    chunks=6,
    starts=1,
    wear_s=1.0,
    lost=200,
)


@click.command()
@click.option("--quick", is_flag=True, help="A little of everything, in seconds: whether it works.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Run this one; null is one of the default settings, trained once.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "build" / "bench-daemon",
    help="For the model and for states: on the storage that counts.",
)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "benchmarks.md")
def main(*, quick: bool, bundle: Path | None, folder: Path, out: Path) -> None:
    """Measure the daemon against an empty subscriber, a bare invoke and its own promises."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    folder.mkdir(parents=True, exist_ok=True)
    bundle = bundle or default_bundle(folder)
    load, begun = os.getloadavg()[0], time.monotonic()
    os.sched_setaffinity(0, {cores()[1]})
    command = "make bench-daemon" + (' ARGS="--quick"' if quick else "")
    with open_site(folder / "site", bundle.absolute(), rows_of(bundle)) as site:
        found = _measure(site, _QUICK if quick else _FULL, begun=begun, load=load, command=command)
    with quiet_stderr():  # only now, because it loads TensorFlow
        from tests.benchmark.daemon.page import write
    write(out, found)
    for trouble in found.troubles():
        click.echo(f"not accounted for: {trouble}", err=True)
    click.echo(f"wrote {out} after {found.minutes:.1f} minutes")
    raise SystemExit(bool(found.troubles()))


def _measure(site: Site, plan: _Plan, *, begun: float, load: float, command: str) -> Found:
    return Found(
        turns=_told(
            "throughput",
            lambda: measure_throughput(site, ways=plan.ways, rounds=plan.rounds, turn_s=plan.turn_s),
        ),
        replayed=_told("replay", lambda: measure_replay(site, rounds=plan.replay[0], batches=plan.replay[1])),
        latencies=_told("alerts", lambda: measure_latency(site, plan.alerts, seconds=plan.alerts_s)),
        memories=_told(
            "memory",
            lambda: [
                measure_memory(site, one, chunk=plan.chunk, chunks=plan.chunks) for one in plan.backends
            ],
        ),
        starts=_told("starts", lambda: measure_starts(site, times=plan.starts)),
        wears=_told("wear", lambda: measure_wear(site, ("strict", "batched"), seconds=plan.wear_s)),
        recovery=_told("recovery", lambda: measure_recovery(site, readings=plan.lost)),
        payload=len(site.rows.payload(0)),
        storage=_file_system(site.folder),
        minutes=(time.monotonic() - begun) / 60,
        load=load,
        command=command,
    )


def _told(what: str, work: Callable[[], T]) -> T:
    begun = time.monotonic()
    found = work()
    click.echo(f"{what}: {time.monotonic() - begun:.0f} s", err=True)
    return found


def _file_system(folder: Path) -> str:
    """Its type, by the longest mount point above the folder (proc_mounts(5))."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    above = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda one: len(one[0]))[1]


if __name__ == "__main__":
    main()
