"""``edge-lstm torture``."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from edge_lstm.errors import MissingExtraError

__all__ = ["torture"]

_SIZES = ("quick", "usual", "long")


@click.command(
    short_help="Prove on this machine that no reading and no alert is lost.",
    epilog="Example: edge-lstm torture --only kill,broker-crash --trials 50",
)
@click.option(
    "--only",
    show_envvar=True,
    help="Nemeses, with commas: kill, crash-points, power-cut, broker-crash, broker-forgets, partition, "
    "disk-full, poison, clock.",
)
@click.option(
    "--trials", type=click.IntRange(1), show_envvar=True, help="Faults of each, in place of its own number."
)
@click.option("--seed", show_envvar=True, help="Where all choices come from; one is made and printed.")
@click.option(
    "--size",
    type=click.Choice(_SIZES),
    default="usual",
    show_default=True,
    show_envvar=True,
    help="How many faults: a minute, ten, or half an hour with 2,000 kills.",
)
@click.option("--quick", is_flag=True, show_envvar=True, help="The same as --size quick.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_envvar=True,
    help="Do it again, with other choices, until so much time has passed.",
)
@click.option(
    "--controls/--no-controls", default=True, show_envvar=True, help="Run the negative controls too."
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    show_envvar=True,
    help="Torture this bundle's model in place of the witness; its states are compared whole.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    show_envvar=True,
    help="Work in this folder, on the disk that is to be tried, and leave logs and states there.",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    show_envvar=True,
    help="Write a page of it, like docs/proof.md.",
)
@click.pass_context
def torture(
    context: click.Context,
    only: str | None,
    trials: int | None,
    seed: str | None,
    size: str,
    quick: bool,
    minutes: float,
    controls: bool,
    bundle: Path | None,
    keep: Path | None,
    write: Path | None,
) -> None:
    """Kill daemons, cut their power, crash their broker, and check that nothing is lost or doubled.

    Daemons run the code of edge-lstm run, with a model that forgets nothing: every reading lost,
    scored twice, swapped or mixed up shows in its state and in its alerts. Each nemesis has
    controls, daemons with one safeguard left out, in which the harness must find fault.

    Needs mosquitto on the PATH; power-cut and disk-full mount small file systems, so they need root.

    Exit code 0 when everything held and every control failed, else 1.
    """
    if find_spec("mqtt5") is None:
        raise MissingExtraError("torture speaks MQTT with the package mqtt5", do="pip install mqtt5")
    from edge_lstm.torture.proof import page, table  # noqa: PLC0415 - fast --help
    from edge_lstm.torture.session import Session, chosen  # noqa: PLC0415 - fast --help

    names = chosen(only)
    said = seed or secrets.token_hex(4)
    _tell(f"seed {said}")
    with (
        _folder(keep) as folder,
        closing(Session(folder=folder, seed=said, bundle=bundle, tell=_tell)) as session,
    ):
        rows = session.run(
            names, size="quick" if quick else size, trials=trials, controls=controls, minutes=minutes
        )
        click.echo(table(rows))
        complaints = [line for row in rows for line in row.complaints()]
        for line in complaints:
            click.echo(f"-> {line}")
        if not complaints:
            click.echo("-> every promise held, and every control was found out")
        if write is not None:
            text = page(rows, seed=said, what=session.what, folder=folder, command=_command(sys.argv))
            write.write_text(text, "utf-8")
    context.exit(1 if complaints else 0)


def _command(argv: Sequence[str]) -> str:
    words = list(argv[1:])
    if "--keep" in words:  # a folder of this machine, of no use to a reader
        at = words.index("--keep")
        del words[at : at + 2]
    return " ".join(["edge-lstm", *words])


def _tell(line: str) -> None:
    click.echo(line, err=True)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where to work: a folder that stays, or one that goes."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="edge-lstm-torture-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
