"""The work, job by job, in several processes; what was done is kept and not done again."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import re
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue

import click
import msgspec

from tests.benchmark.detection.baselines import run_baselines
from tests.benchmark.detection.cases import Case, cases
from tests.benchmark.detection.digest import code_digest, data_digest
from tests.benchmark.detection.results import Result
from trainer.settings import TrainSettings

__all__ = ["FOLDERS", "Job", "Plan", "jobs_of", "run_all"]

FOLDERS = {
    "smd": "smd",
    "asd": "asd",
    "skab": "skab",
    "skab-deployed": "skab",
    "cmapss": "cmapss",
    "ims": "ims_bearing",
    "nab": "nab",
    "operation": "ims_bearing",
}
"""Where the data of each set lies."""
_TASKS_A_PROCESS = 10
"""TensorFlow keeps every graph it compiled; a new process is cheaper than the memory."""
_FIXED_S, _PER_ROW_S = {"members": 12.0, "windowed": 12.0, "baselines": 0.3}, 1.5e-3
"""First guess of what a job costs; the share of it that is done gives the time that is left."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Attributes:
        data: Folder of the recordings.
        sets: Data sets and protocols.
        seeds: Seeds of training.
        cache: Where results are kept.
        settings: How edge-lstm is trained, but for the seed.
        processes: How many at a time.
    """

    data: Path
    sets: tuple[str, ...]
    seeds: tuple[int, ...]
    cache: Path
    settings: TrainSettings
    processes: int = 2


@dataclass(frozen=True, slots=True)
class Job:
    """One part of the work on one case."""

    case: Case
    part: str
    settings: TrainSettings
    kept: Path

    @property
    def title(self) -> str:
        """For the terminal."""
        return f"{self.case.set}/{self.case.name} seed {self.settings.seed} {self.part}"

    @property
    def cost(self) -> float:
        """First guess, seconds."""
        rows = self.case.rows + sum(len(one.values) for one in self.case.tests)
        return _FIXED_S[self.part] + rows * (_PER_ROW_S if self.part != "baselines" else 1e-5)


def jobs_of(plan: Plan) -> list[Job]:
    """Every job, the longest first; baselines have no seed and run once."""
    jobs = []
    for which in plan.sets:
        for case in cases(plan.data, which):
            for seed in plan.seeds:
                settings = msgspec.structs.replace(plan.settings, seed=seed)
                parts = ["members"] if which == "operation" else ["members", "windowed"]
                jobs += [Job(case, part, settings, _kept(plan, case, part, settings)) for part in parts]
            if which != "operation":
                settings = msgspec.structs.replace(plan.settings, seed=0)
                kept = _kept(plan, case, "baselines", settings)
                jobs.append(Job(case, "baselines", settings, kept))
    return sorted(jobs, key=lambda job: -job.cost)


def _kept(plan: Plan, case: Case, part: str, settings: TrainSettings) -> Path:
    """The file of a result: its name says what it is, and its end all that it depends on."""
    depends = (
        code_digest(f"tests.benchmark.detection.{part}"),
        data_digest(plan.data / FOLDERS[case.set]),
        {"members": msgspec.json.encode(settings), "windowed": settings.model.updates}.get(part),
    )
    digest = hashlib.sha256(repr(depends).encode()).hexdigest()
    name = re.sub(r"\W+", "-", f"{case.set} {case.name}")
    return plan.cache / f"{name}.{settings.seed}.{part}.{digest[:16]}.json"


def run_all(plan: Plan) -> list[Result]:
    """Do what has not been done; every result of the plan."""
    plan.cache.mkdir(parents=True, exist_ok=True)
    jobs = jobs_of(plan)
    missing = [job for job in jobs if not job.kept.is_file()]
    click.echo(f"{len(jobs)} jobs, {len(jobs) - len(missing)} of them kept from before", err=True)
    if missing:
        _run_missing(missing, plan.processes)
    return [msgspec.json.decode(job.kept.read_bytes(), type=Result) for job in jobs]


def _run_missing(missing: Sequence[Job], processes: int) -> None:
    # One thread a process: two trainings side by side must not fight for the cores.
    os.environ |= {
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    begun, done, total = time.monotonic(), 0.0, sum(job.cost for job in missing)
    waiting = SimpleQueue[Job]()
    for job in missing:
        waiting.put(job)
    finished = SimpleQueue[tuple[Job, Result]]()
    with ThreadPoolExecutor(processes) as threads:
        keepers = [threads.submit(_keep_busy, waiting, finished) for _ in range(processes)]
        for i in range(1, len(missing) + 1):
            job, result = _next(finished, keepers)
            done += job.cost
            left = (time.monotonic() - begun) * (total / done - 1)
            click.echo(
                f"{i}/{len(missing)} {job.title}: training {result.train_s:.0f} s, "
                f"processor {result.cpu_s:.0f} s{_best(result)}; about {left / 60:.0f} min left",
                err=True,
            )


def _next(finished: SimpleQueue[tuple[Job, Result]], keepers: Sequence[Future[None]]) -> tuple[Job, Result]:
    """What comes next; what a keeper raised is raised here."""
    while True:
        for one in keepers:
            if one.done():
                one.result()
        try:
            return finished.get(timeout=1.0)
        except Empty:
            continue


def _keep_busy(waiting: SimpleQueue[Job], finished: SimpleQueue[tuple[Job, Result]]) -> None:
    """Give one process job after job, and a new process now and then.

    An executor with ``max_tasks_per_child`` would do it, but hangs (python/cpython#115634).
    """
    spawn = multiprocessing.get_context("spawn")
    while not waiting.empty():
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            for _ in range(_TASKS_A_PROCESS):
                try:
                    job = waiting.get_nowait()
                except Empty:
                    return
                finished.put((job, pool.submit(perform, job).result()))


def _best(result: Result) -> str:
    """The VUS-PR of each method, for the one who looks on."""
    means = {
        name: sum(one.vus_pr for one in rows) / len(rows) for name, rows in result.figures.items() if rows
    }
    return "; " + ", ".join(f"{name} {mean:.3f}" for name, mean in means.items()) if means else ""


def perform(job: Job) -> Result:
    """Do one job and keep what comes out."""
    result = msgspec.structs.replace(_perform(job), date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine())
    part = job.kept.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(result))
    part.replace(job.kept)
    return result


def machine() -> str:
    """Processor, cores and system, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _perform(job: Job) -> Result:
    if job.part == "baselines":
        return run_baselines(job.case)
    if job.part == "members":
        from tests.benchmark.detection.members import run_members  # it loads TensorFlow, which takes seconds

        return run_members(job.case, job.settings)
    from tests.benchmark.detection.windowed import run_windowed

    return run_windowed(job.case, job.settings.seed, updates=job.settings.model.updates)
