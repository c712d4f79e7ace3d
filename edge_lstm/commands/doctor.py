"""``edge-lstm doctor``."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

__all__ = ["doctor"]


@click.command(
    short_help="Say what this board can do, and what to put right.",
    epilog="Example: edge-lstm doctor --config edge-lstm.yaml --bundle model.elb",
)
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="The site's configuration: its broker, bundle and folder of states are tried too.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="Replay this bundle's golden vectors on every backend.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("/"),
    show_envvar=True,
    help="Read /proc, /sys, /dev and /run below this folder: a copy of another board's.",
)
@click.option("--json", "as_json", is_flag=True, show_envvar=True, help="Print JSON for machines.")
@click.pass_context
def doctor(
    context: click.Context, config: Path | None, bundle: Path | None, root: Path, as_json: bool
) -> None:
    """Look at this board: Python, C library, processor, memory, backends, Edge TPU, disk, clock, broker.

    Each line is ok, info, warn or fail, with what was found and, below it, what to do.
    Nothing is changed; a daemon that runs meanwhile is not disturbed.

    Exit code 0 when no line says fail, else 1.
    """
    from edge_lstm.doctor.examine import examine, passed  # noqa: PLC0415 - fast --help

    findings = examine(root=root, bundle=bundle, config=config, environ=os.environ)
    good = passed(findings)
    if as_json:
        report = {"passed": good, "findings": findings}
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        for one in findings:
            click.echo(f"{one.status:<5} {one.check:<16} {one.fact}")
            if one.fix:
                click.echo(f"{'':<22} -> {one.fix}")
    context.exit(0 if good else 1)
