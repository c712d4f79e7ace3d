"""``edge-lstm evaluate``: options in, the library's functions called, figures out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from edge_lstm.commands.backend import choose_replayed, replay_backend_option
from edge_lstm.contracts.commission import LEAST_READINGS, MOST_READINGS
from trainer.cli import commission_of, history_options
from trainer.extras import need_extra
from trainer.outputs import refuse_overwriting

if TYPE_CHECKING:
    from edge_lstm.bundle import Bundle
    from trainer.data import History
    from trainer.labels import Labels
    from trainer.replay import Replayed

__all__ = ["evaluate"]

_NO_LABELS = (
    "without --labels nothing can be said of quality: an episode may be a fault that was seen, "
    "or a false alarm"
)


@click.command(
    short_help="Hold a bundle against a labelled recording.",
    epilog="Example: edge-lstm evaluate model.elb test.csv --labels anomaly --html evaluation.html",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--labels", metavar="COLUMN", show_envvar=True, help="Column of labels: 1 is anomalous, 0 is not."
)
@click.option("--json", "as_json", is_flag=True, show_envvar=True, help="Print JSON for machines.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="Write a page with all figures and curves.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="Device configuration: alarm overrides and commission of the site.",
)
@click.option(
    "--commission",
    type=click.IntRange(LEAST_READINGS, MOST_READINGS),
    show_envvar=True,
    help="Learn the scaling of a machine that the bundle does not name from its first readings, so many; "
    "they are not judged.",
)
@click.option(
    "--window",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    show_envvar=True,
    help="VUS-PR: widest buffer around an event, in readings.",
)
@click.option(
    "--step",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    show_envvar=True,
    help="VUS-PR: from one buffer width to the next.",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 1000),
    show_envvar=True,
    help="Mean and spread of every figure over so many blocks in time; nothing is trained anew.",
)
@click.option(
    "--asset",
    default="asset",
    show_default=True,
    show_envvar=True,
    help="Name of the machine where the recording has none.",
)
@replay_backend_option
@history_options
def evaluate(
    bundle: Path,
    data: tuple[Path, ...],
    labels: str | None,
    as_json: bool,
    html: Path | None,
    config: Path | None,
    commission: int | None,
    window: int,
    step: int,
    folds: int | None,
    asset: str,
    backend: str | None,
    **options: Any,
) -> None:
    """Run DATA (CSV or Parquet files, or folders) through BUNDLE as the daemon would, and judge the result.

    With --labels: VUS-PR and AUC-PR of the score; precision, recall, F1, false episodes and delay of
    the alarms; reconstruction errors. Without: reconstruction errors, episodes and their rates.
    """
    need_extra("history", ("polars",), what="evaluation")
    from edge_lstm.bundle import open_bundle  # noqa: PLC0415 - not needed for --help
    from edge_lstm.config import load_config  # noqa: PLC0415
    from edge_lstm.contracts.alarm import AlarmOverrides  # noqa: PLC0415
    from trainer.data import read_history, read_options  # noqa: PLC0415
    from trainer.evaluate import evaluate as run  # noqa: PLC0415
    from trainer.evaluate_text import evaluation_lines  # noqa: PLC0415
    from trainer.folds_evaluate import evaluate_blocks  # noqa: PLC0415
    from trainer.labels import read_labels  # noqa: PLC0415
    from trainer.replay import replay  # noqa: PLC0415
    from trainer.tracks import refuse_backward, tracks_of  # noqa: PLC0415

    site = load_config(config, environ=os.environ) if config else None
    refuse_overwriting([html], [*data, bundle, config])
    opened, chosen = choose_replayed(open_bundle(bundle), backend or (site.backend if site else None))
    manifest = opened.manifest
    names = tuple(channel.name for channel in manifest.channels)
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    given |= {"strict": False, "period_s": manifest.grid.period_s}
    history = read_history(data, channels=names, **given)
    refuse_backward(history)
    marks = None
    if labels is not None:
        marks = read_labels(data, labels, channels=names, options=read_options(**given))
    replayed = replay(
        opened,
        history,
        node="evaluate",
        alarm=site.alarm if site else AlarmOverrides(),
        asset=asset,
        commission=commission_of(site, commission),
        backend=chosen,
    )
    tracks = tracks_of(replayed, history, manifest, asset=asset, labels=marks)
    level = replayed.scores[0].threshold if replayed.scores else manifest.threshold.level
    found = run(
        opened,
        tracks,
        level=level,
        readings=replayed.readings,
        labels=labels,
        window=window,
        step=step,
        notes=_notes(opened, history, replayed, marks),
    )
    if folds:
        over = evaluate_blocks(tracks, names, folds=folds, level=level, window=window, step=step)
        found = msgspec.structs.replace(found, folds=over)
    if html:
        from trainer.evaluate_html import write_evaluation  # noqa: PLC0415

        title = ", ".join(path.name for path in data)
        write_evaluation(html, found, tracks, replayed, manifest, title=title)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    for line in evaluation_lines(found):
        click.echo(line)


def _notes(bundle: Bundle, history: History, replayed: Replayed, marks: Labels | None) -> list[str]:
    from trainer.replay import replay_notes  # noqa: PLC0415 - polars takes a while to load
    from trainer.tracks import learned_note  # noqa: PLC0415

    notes = [] if marks is not None else [_NO_LABELS]
    notes += [
        f"column '{name}' looks like a label too and is left out" for name in (marks.others if marks else ())
    ]
    rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(replayed.rejects.items()))
    notes += [f"readings the device would reject are not judged: {rejected}"] if rejected else []
    return notes + replay_notes(bundle, history, replayed) + learned_note(bundle.manifest, replayed)
