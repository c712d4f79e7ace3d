"""``python -m tests.benchmark.detection``: run, then write the page and its pictures."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from tests.benchmark.detection.cases import SETS
from tests.benchmark.detection.page import write_page
from tests.benchmark.detection.work import Plan, run_all
from trainer.settings import TrainSettings

ROOT = Path(__file__).parents[3]
SEEDS = 3


@click.command()
@click.option("--sets", default=" ".join(SETS), help="Some of them, separated by spaces or commas.")
@click.option("--seeds", type=click.IntRange(1, 100), default=SEEDS, show_default=True, help="How many.")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=ROOT.parent / "shared" / "data",
    help="Folder of the recordings.",
)
@click.option(
    "--cache", type=click.Path(path_type=Path), default=ROOT / ".bench", help="Where results are kept."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The page; by default docs/benchmarks.md after a whole run, else a page in the cache.",
)
@click.option("--updates", type=click.IntRange(1), help="Weight updates; fewer than usual to try it out.")
def main(
    *, sets: str, seeds: int, jobs: int, data: Path, cache: Path, out: Path | None, updates: int | None
) -> None:
    """Hold edge-lstm against baselines on recordings with labels."""
    chosen = tuple(sets.replace(",", " ").split())
    for name in chosen:
        if name not in SETS:
            raise click.BadParameter(f"'{name}' is none of {', '.join(SETS)}", param_hint="--sets")
    settings = TrainSettings()
    if updates:
        settings = msgspec.structs.replace(
            settings, model=msgspec.structs.replace(settings.model, updates=updates)
        )
    plan = Plan(data, chosen, tuple(range(seeds)), cache, settings, jobs)
    results = run_all(plan)
    whole = set(chosen) == set(SETS) and seeds == SEEDS and not updates
    page = out or (ROOT / "docs" if whole else cache) / "benchmarks.md"
    write_page(page, plan, results)
    click.echo(f"wrote {page}")


if __name__ == "__main__":
    main()
