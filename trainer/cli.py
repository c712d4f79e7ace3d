"""``edge-lstm train`` and ``edge-lstm replay``: options in, the library's functions called, lines out."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
import msgspec

from edge_lstm.commands.backend import choose_replayed, replay_backend_option
from edge_lstm.contracts.commission import LEAST_READINGS, MOST_READINGS, CommissionConfig
from edge_lstm.contracts.manifest import Member
from edge_lstm.errors import ConfigError, OperatorError
from edge_lstm.quiet import quiet_stderr
from trainer.extras import need_extra
from trainer.outputs import need_folder, refuse_overwriting
from trainer.settings import TrainSettings
from trainer.settings_rules import check_ranges, check_settings

if TYPE_CHECKING:
    from edge_lstm.contracts.config import DeviceConfig
    from trainer.data import History
    from trainer.labelled import LabelledStretch

__all__ = [
    "check_channels",
    "commission_of",
    "history_options",
    "read_training",
    "replay",
    "train",
    "train_settings",
]

F = TypeVar("F", bound=Callable[..., Any])

_PATHS = click.argument("history", nargs=-1, required=True, type=click.Path(path_type=Path))


def _option(*names: str, **facts: Any) -> Callable[[F], F]:
    return click.option(*names, show_envvar=True, **facts)


_HISTORY_OPTIONS = (
    _option("--time-column", help="Column that holds the time; found by itself when it is plain."),
    _option("--time-format", help="auto, s, ms, us, ns, rfc3339 or a strptime pattern."),
    _option("--delimiter", help="Separator of CSV columns; found by itself."),
    _option(
        "--layout",
        type=click.Choice(["auto", "wide", "long"]),
        help="A column a channel, or time/channel/value.",
    ),
    _option("--channel-column", help="Long layout: column that names the channel."),
    _option("--value-column", help="Long layout: column that holds the value."),
    _option("--asset-column", help="Column that names the machine."),
    _option(
        "--ignore", multiple=True, metavar="COLUMN", help="Leave a column out (labels, say); repeatable."
    ),
    _option("--mixed-time-zones", type=click.Choice(["error", "convert"]), help="What to do about them."),
    _option(
        "--gap-factor", type=click.FloatRange(1.5, 1e6), help="Silence, in periods, that breaks the history."
    ),
)


def history_options(function: F) -> F:
    """How to read a history: the options that train, replay and evaluate share."""
    for option in reversed(_HISTORY_OPTIONS):
        function = option(function)
    return function


@click.command(
    short_help="Build a bundle from sensor history.",
    epilog="Example: edge-lstm train history.csv --out model.elb --ignore label",
)
@_PATHS
@_option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle to write, model.elb for example.",
)
@_option("--config", type=click.Path(path_type=Path), help="train.yaml; options stand over it.")
@_option("--name", help="Name of the model; by default the bundle's file name.")
@_option("--model-version", help="Version of the model.")
@_option("--seed", type=click.IntRange(0, 2**32 - 1), help="Same seed, same machine: same bundle.")
@_option(
    "--budget", type=click.FloatRange(min=0, min_open=True), help="False alarms a month that are acceptable."
)
@_option(
    "--keep-float",
    is_flag=True,
    default=None,
    help="Put the float network into the bundle too, for replay --backend float.",
)
@_option("--labels", help="Column that is 1 where a row is known to be anomalous: not learned, judged by.")
@_option("--members", help="What scores: lstm, ewma, pca, var, any of them with commas; or auto.")
@_option("--cell", type=click.Choice(["lstm", "gru", "peephole", "cifg"]), help="Kind of recurrent cell.")
@_option(
    "--mode",
    type=click.Choice(["both", "reconstruction", "forecast"]),
    help="What the model says: this reading rebuilt, the next one forecast, or both.",
)
@_option("--units", type=click.IntRange(1, 512), help="Width of the LSTM.")
@_option("--layers", type=click.IntRange(1, 4), help="Recurrent layers.")
@_option("--code", type=click.IntRange(1, 512), help="Width of the bottleneck.")
@_option("--updates", type=click.IntRange(1, 1_000_000), help="Weight updates in all.")
@_option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Highest learning rate.")
@_option("--dropout", type=click.FloatRange(0, 0.9), help="Share of hidden numbers dropped in training.")
@_option("--held-out", type=click.FloatRange(0.05, 0.5), help="Share of the history, its end, that judges.")
@_option(
    "--constant",
    type=click.Choice(["auto", "error", "drop", "keep"]),
    help="What to do about channels that never change.",
)
@_option(
    "--folds",
    type=click.IntRange(2, 50),
    help="Judge by blocked cross-validation too: so many more trainings.",
)
@history_options
def train(
    history: tuple[Path, ...], out: Path, config: Path | None, folds: int | None, **options: Any
) -> None:
    """Build a bundle from sensor HISTORY: CSV or Parquet files, or a folder of them.

    Profiles the data, trains an LSTM autoencoder with carried state, converts it to int8,
    calibrates the alarm threshold on the int8 model and packs everything into one file.
    """
    settings = train_settings(config, options)
    name = settings.name or out.stem
    _check_out(out, name)
    refuse_overwriting([out], [*history, config])
    need_extra("train", ("polars", "rich", "tensorflow"), what="training")
    # The models are small, and the same bundle from the same seed needs one kind of device.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from trainer.profile import profile  # noqa: PLC0415 - polars takes a while to load
    from trainer.progress import watcher  # noqa: PLC0415

    with watcher() as watching:
        watching.stage("read and profile the history")
        table, labelled = read_training(history, settings)
        check_channels(settings, table.channels, config)
        check_ranges(settings, table, config)
        profiled = profile(table)
    for line in profiled.lines():
        click.echo(line)
    if labelled:
        rows = sum(int(one.marks.sum()) for one in labelled)
        click.echo(f"labels: {rows} rows labelled 1, in {len(labelled)} stretches, are not learned")
    with quiet_stderr():  # TensorFlow's start-up notes are not for our users
        from trainer.build import build, wake_tensorflow  # noqa: PLC0415
        from trainer.describe import card, report, summary  # noqa: PLC0415
        from trainer.pack import pack  # noqa: PLC0415

        wake_tensorflow()

    with watcher() as watching:
        validated = None
        if folds:
            from trainer.folds_train import cross_validate  # noqa: PLC0415

            watching.say(f"--folds {folds}: {folds} more trainings before that of the bundle")
            validated = cross_validate(table, settings, folds=folds, watcher=watching)
        built = build(table, settings, name=name, watcher=watching, labelled=labelled)
        built.note(profile=profiled.to_dict())
        if validated:
            built.measured(folds=validated)
        watching.stage("golden vectors, card, report, bundle")
        bundle = pack(built, out, card=card(built.manifest), report=report(built, profiled))
    for line in summary(bundle.manifest):
        click.echo(line)
    click.echo(f"wrote {out} ({out.stat().st_size} bytes), sha256 {bundle.sha256}")


_TOP = {
    "name": "name",
    "model_version": "version",
    "seed": "seed",
    "held_out": "held_out",
    "labels": "labels",
}
_SECTIONS = {
    "int8": ("keep_float",),
    "model": ("cell", "mode", "units", "layers", "code", "updates", "learning_rate", "dropout"),
    "history": (
        "time_column",
        "time_format",
        "delimiter",
        "layout",
        "channel_column",
        "value_column",
        "asset_column",
        "ignore",
        "constant",
        "mixed_time_zones",
        "gap_factor",
    ),
}


def train_settings(config: Path | None, options: dict[str, Any]) -> TrainSettings:
    """Defaults, then train.yaml, then options.

    Raises:
        ConfigError: A key or value is wrong.
    """
    from edge_lstm.config import load_struct  # noqa: PLC0415 - not needed for --help

    settings = load_struct(config, TrainSettings, environ={})[0] if config else TrainSettings()
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    top: dict[str, Any] = {key: given[name] for name, key in _TOP.items() if name in given}
    for section, names in _SECTIONS.items():
        over = {name: given[name] for name in names if name in given}
        if over:
            top[section] = msgspec.structs.replace(getattr(settings, section), **over)
    if "members" in given:
        said = [member.strip() for member in given["members"].split(",")]
        wrong = [member for member in said if member not in get_args(Member)]
        if said != ["auto"] and wrong:
            raise ConfigError(
                "there is no such member",
                key="--members",
                expected=f"auto, {', '.join(get_args(Member))}",
                got=wrong[0],
            )
        top["members"] = "auto" if said == ["auto"] else tuple(said)
    if "budget" in given:
        top["alarm"] = msgspec.structs.replace(settings.alarm, budget_per_month=given["budget"])
    settings = msgspec.structs.replace(settings, **top)
    check_settings(settings, config)
    return settings


def _check_out(out: Path, name: str) -> None:
    """Find out before the training, and not after it, that the result cannot be written."""
    need_folder(out)
    if out.is_dir():
        raise OperatorError(
            f"{out} is a folder", expected="the path of the bundle to write", do="--out model.elb"
        )
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    if not name or set(name) - allowed:
        raise OperatorError(
            "the model's name has characters that do not fit in topics",
            expected="letters, digits, '.', '_' and '-'",
            got=name,
            do="give one with --name",
        )


def check_channels(settings: TrainSettings, channels: Sequence[str], config: Path | None) -> None:
    """A misspelt channel would lose its valid range without a word."""
    for name, channel in settings.channels.items():
        if name not in channels and channel.role != "ignored":
            near = difflib.get_close_matches(name, channels, n=1)
            raise ConfigError(
                "there is no such channel in the history",
                path=config,
                key=f"channels.{name}",
                expected=f"'{near[0]}'" if near else f"one of {', '.join(channels)}",
            )


def read_training(paths: tuple[Path, ...], settings: TrainSettings) -> tuple[History, list[LabelledStretch]]:
    """The normal history as the settings say it is to be read, and stretches with labelled anomalies.

    Raises:
        HistoryError: The first thing that is wrong with it.
    """
    from trainer.data import read_history, read_options  # noqa: PLC0415
    from trainer.labelled import without_anomalies  # noqa: PLC0415
    from trainer.labels import read_labels  # noqa: PLC0415

    ignored = [name for name, channel in settings.channels.items() if channel.role == "ignored"]
    labels = [settings.labels] if settings.labels else []
    ignore = tuple(dict.fromkeys([*settings.history.ignore, *ignored, *labels]))
    given = {**msgspec.structs.asdict(settings.history), "ignore": ignore}
    if not settings.labels:
        return read_history(paths, **given), []
    marks = read_labels(paths, settings.labels, channels=(), options=read_options(**given))
    return without_anomalies(read_history(paths, **given), marks)


def commission_of(site: DeviceConfig | None, readings: int | None) -> CommissionConfig:
    """How unknown machines are learned: as the site says, with the command line's number over it."""
    config = site.commission if site else CommissionConfig()
    return config if readings is None else msgspec.structs.replace(config, readings=readings)


@click.command(
    short_help="Run recorded data through the device's pipeline, without a broker.",
    epilog="Example: edge-lstm replay history.csv --bundle model.elb --scores scores.csv --html replay.html",
)
@_PATHS
@_option("--bundle", type=click.Path(path_type=Path), help="The bundle; by default the one of --config.")
@_option("--config", type=click.Path(path_type=Path), help="Device configuration: node, alarm, commission.")
@_option(
    "--commission",
    type=click.IntRange(LEAST_READINGS, MOST_READINGS),
    help="Learn the scaling of a machine that the bundle does not name from its first readings, so many.",
)
@_option("--scores", type=click.Path(path_type=Path), help="Write scores: .csv, .parquet or .jsonl.")
@_option("--channels", is_flag=True, help="With --scores: the reconstruction error of every channel too.")
@_option("--alerts", type=click.Path(path_type=Path), help="Write alerts as JSON lines, the very payloads.")
@_option("--html", type=click.Path(path_type=Path), help="Write a page with readings, scores and episodes.")
@_option(
    "--asset", default="asset", show_default=True, help="Name of the machine where the recording has none."
)
@replay_backend_option
@history_options
def replay(
    history: tuple[Path, ...],
    bundle: Path | None,
    config: Path | None,
    commission: int | None,
    scores: Path | None,
    channels: bool,
    alerts: Path | None,
    html: Path | None,
    asset: str,
    backend: str | None,
    **options: Any,
) -> None:
    """Run HISTORY (CSV or Parquet files, or a folder) through a bundle as the daemon would."""
    need_extra("history", ("polars",), what="replay")
    from edge_lstm.bundle import open_bundle  # noqa: PLC0415 - not needed for --help
    from edge_lstm.config import load_config  # noqa: PLC0415
    from edge_lstm.contracts.alarm import AlarmOverrides  # noqa: PLC0415
    from trainer.data import read_history  # noqa: PLC0415
    from trainer.replay import replay as run  # noqa: PLC0415
    from trainer.replay import (  # noqa: PLC0415
        replay_lines,
        replay_notes,
        write_alerts,
        write_html,
        write_scores,
    )

    site = load_config(config, environ=os.environ) if config else None
    if bundle is None and site is None:
        raise click.UsageError("give --bundle, or --config with a bundle in it")
    refuse_overwriting([scores, alerts, html], [*history, bundle, config])
    opened, chosen = choose_replayed(
        open_bundle(bundle or Path(site.bundle if site else "")), backend or (site.backend if site else None)
    )
    names = tuple(channel.name for channel in opened.manifest.channels)
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    period_s = opened.manifest.grid.period_s
    table = read_history(history, channels=names, strict=False, period_s=period_s, **given)
    replayed = run(
        opened,
        table,
        node=site.node if site else "replay",
        alarm=site.alarm if site else AlarmOverrides(),
        commission=commission_of(site, commission),
        asset=asset,
        backend=chosen,
    )
    if scores:
        write_scores(scores, replayed, names, with_channels=channels)
    if alerts:
        write_alerts(alerts, replayed)
    if html:
        write_html(html, replayed, opened, title=", ".join(path.name for path in history))
    for line in replay_notes(opened, table, replayed):
        click.echo(f"note: {line}", err=True)
    for line in replay_lines(replayed):
        click.echo(line)
