"""``edge-lstm tune``: options in, the search called, a train.yaml out."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_lstm.errors import ConfigError
from edge_lstm.quiet import quiet_stderr
from trainer.cli import check_channels, history_options, read_training, train_settings
from trainer.extras import need_extra
from trainer.outputs import need_folder, refuse_overwriting
from trainer.settings import TrainSettings

__all__ = ["tune"]

F = TypeVar("F", bound=Callable[..., Any])


def _option(*names: str, **facts: Any) -> Callable[[F], F]:
    return click.option(*names, show_envvar=True, **facts)


@click.command(
    short_help="Search for better settings, under limits of size and time.",
    epilog="Example: edge-lstm tune history.csv --out tuned.yaml --max-bytes 8000 --html tune.html",
)
@click.argument("history", nargs=-1, required=True, type=click.Path(path_type=Path))
@_option(
    "--out", required=True, type=click.Path(path_type=Path), help="The train.yaml to write, tuned.yaml say."
)
@_option("--config", type=click.Path(path_type=Path), help="train.yaml to begin with; options stand over it.")
@_option(
    "--trials",
    type=click.IntRange(1, 100_000),
    default=30,
    show_default=True,
    help="Trials in all, those of an interrupted search among them.",
)
@_option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="No trial begins after so many minutes of this run.",
)
@_option(
    "--storage",
    type=click.Path(path_type=Path),
    help="SQLite file that keeps the trials; by default beside --out, its ending replaced by .study.db.",
)
@_option("--max-bytes", type=click.IntRange(min=1), help="Most bytes of int8 model.")
@_option(
    "--max-step-us",
    type=click.FloatRange(min=0, min_open=True),
    help="Longest median time of a step, microseconds measured on this machine.",
)
@_option("--html", type=click.Path(path_type=Path), help="Write a page: quality against size, all trials.")
@_option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of the search and of each training.")
@_option("--members", help="What scores: lstm and any of ewma, pca, var, with commas.")
@_option("--updates", type=click.IntRange(1, 1_000_000), help="Weight updates of each trial.")
@_option("--held-out", type=click.FloatRange(0.05, 0.5), help="Share of the history, its end, that judges.")
@_option(
    "--constant",
    type=click.Choice(["auto", "error", "drop", "keep"]),
    help="What to do about channels that never change.",
)
@history_options
def tune(
    history: tuple[Path, ...],
    out: Path,
    config: Path | None,
    trials: int,
    timeout: float | None,
    storage: Path | None,
    max_bytes: int | None,
    max_step_us: float | None,
    html: Path | None,
    **options: Any,
) -> None:
    """Search for the settings that find most faults in HISTORY with the smallest network.

    Each trial is a whole training with the contest on injected faults; the first one is that of
    the settings as they are. The same command goes on where an interrupted one stopped.
    """
    settings = train_settings(config, options)
    if settings.members != "auto" and "lstm" not in settings.members:
        raise ConfigError(
            "there is no network to tune",
            path=config,
            key="members",
            expected="auto, or lstm among them",
            got=", ".join(settings.members),
        )
    place = storage or out.with_suffix(".study.db")
    for path in (out, place, *([html] if html else [])):
        need_folder(path)
    refuse_overwriting([out, place, html], [*history, config])
    need_extra("tune", ("optuna", "polars", "rich", "tensorflow"), what="tuning")
    # The models are small, and the same trials from the same seed need one kind of device.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with quiet_stderr():  # TensorFlow's start-up notes are not for our users
        from trainer.build import wake_tensorflow  # noqa: PLC0415 - takes seconds to load
        from trainer.tune_trial import run_trial  # noqa: PLC0415

        wake_tensorflow()
    import optuna  # noqa: PLC0415

    from trainer.progress import watcher  # noqa: PLC0415
    from trainer.tune import choose, search  # noqa: PLC0415
    from trainer.tune_html import write_tuning  # noqa: PLC0415
    from trainer.tune_space import Space  # noqa: PLC0415
    from trainer.tune_study import Limits, identity, open_study  # noqa: PLC0415
    from trainer.tune_text import trial_line, tune_lines, tuned_yaml  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    limits = Limits(max_bytes=max_bytes, max_step_us=max_step_us)
    with watcher() as watching:
        watching.stage("read the history")
        table, _ = read_training(history, settings)  # labels keep anomalies out of the search
        check_channels(settings, table.channels, config)
        space = Space(settings, len(table.channels))
        watching.stage("search")
        with open_study(place, identity(table, settings, space, limits)) as study:
            try:
                done = search(
                    study,
                    space,
                    partial(run_trial, table),
                    limits=limits,
                    trials=trials,
                    seconds=None if timeout is None else 60 * timeout,
                    watcher=watching,
                    said=lambda some: trial_line(some, trials),
                )
            except KeyboardInterrupt:
                watching.say(f"finished trials are kept in {place}: the same command goes on from there")
                raise
    choice = choose(done, space.default)
    chosen = space.settings(choice.chosen.params)
    out.write_text(tuned_yaml(chosen, choice, done, history=table, limits=limits), encoding="utf-8")
    if html:
        write_tuning(html, done, choice, space, history=table, limits=limits, title=out.name)
    for line in tune_lines(done, choice, space):
        click.echo(line)
    if options.get("updates"):
        click.echo(
            f"note: {out} has updates: {settings.model.updates}, as the trials had; "
            f"give train --updates {TrainSettings().model.updates} for a bundle that is trained to the end"
        )
    click.echo(f"wrote {out}; next: edge-lstm train HISTORY --config {out} --out model.elb")
