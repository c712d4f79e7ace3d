"""``python -m tests.benchmark.int8``: int8 against float, then the block of the page."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.benchmark.detection.cases import cases
from tests.benchmark.int8.kernels import measure_kernels
from tests.benchmark.int8.page import write
from tests.benchmark.int8.work import Measured, perform, pump
from trainer.cells import CELLS

ROOT = Path(__file__).parents[3]
SETS = ("skab-deployed", "smd", "asd")


@click.command()
@click.option("--cells", default=" ".join(CELLS), show_default=True, help="Some of them.")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=ROOT.parent / "shared" / "data",
    help="Folder of the recordings.",
)
@click.option("--updates", type=click.IntRange(1), help="Weight updates; fewer than usual to try it out.")
@click.option("--machines", type=click.IntRange(1), help="Machines of each set; fewer to try it out.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "benchmarks.md")
def main(*, cells: str, jobs: int, data: Path, updates: int | None, machines: int | None, out: Path) -> None:
    """Hold the int8 model against the float model."""
    os.environ |= {
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    wanted = [(which, one.name) for which in SETS for one in cases(data, which)[:machines]]
    wanted.append(("simulated", "pump"))
    work = [(data, *one, cell, updates) for cell in cells.split() for one in wanted]
    results: list[Measured] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        for done in as_completed([pool.submit(perform, *one) for one in work]):
            results.append(done.result())
            click.echo(f"{len(results)}/{len(work)} {_line(results[-1])}", err=True)
    with TemporaryDirectory() as folder:
        kernels = measure_kernels(pump(Path(folder)), Path(folder))
    write(out, results, kernels)
    click.echo(f"wrote {out}")


def _line(one: Measured) -> str:
    gate = one.gate
    changed = [f"{100 * each['changed_verdicts']:.3f}" for each in one.recordings[:3]]
    return (
        f"{one.cell} {one.set}/{one.case} {one.train_s:.0f} s{' tuned' if one.tuned else ''}"
        f"{' REFUSED ' + one.refused if one.refused else ''}; "
        f"gate rank {gate['rank_correlation']:.4f}, changed {gate['changed_verdicts']:.3%}; recordings rank "
        f"{min(each['rank_correlation'] for each in one.recordings):.4f}, changed % {' '.join(changed)}"
    )


if __name__ == "__main__":
    main()
