"""``edge-lstm status``."""

from __future__ import annotations

import os
from pathlib import Path

import click

__all__ = ["status"]

_NOT_RUNNING, _UNKNOWN = 3, 4
"""Exit codes of a service's status, as LSB's init scripts and systemctl have them."""


@click.command(
    short_help="Say how the daemon on this machine is.",
    epilog="Example: edge-lstm status --config edge-lstm.yaml",
)
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="The daemon's configuration, for the folder of its states.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="The folder itself, in place of the configuration's. Neither: /var/lib/edge-lstm.",
)
@click.option("--json", "as_json", is_flag=True, show_envvar=True, help="Print JSON for machines.")
@click.pass_context
def status(context: click.Context, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Ask the daemon that runs on this machine what it runs, and how it is. Nothing is changed.

    It answers root and its own user: sudo edge-lstm status

    Exit code 0 when all is well, 1 when the daemon is starting or something is wrong with it,
    3 when none runs, 4 when it cannot be asked.
    """
    from edge_lstm.status import Answer, look, report  # noqa: PLC0415 - fast --help

    if state_dir is None:
        state_dir = _state_dir(context, config)
    answer: Answer = look(state_dir)
    if answer.status is None:
        click.echo(f"edge-lstm: {answer.why}", err=True)
        context.exit(_NOT_RUNNING if answer.not_running else _UNKNOWN)
    click.echo(answer.json() if as_json else report(answer.status), nl=as_json)
    context.exit(0 if answer.status.state == "ok" else 1)


def _state_dir(context: click.Context, config: Path | None) -> Path:
    from edge_lstm.config import load_config  # noqa: PLC0415 - fast --help
    from edge_lstm.errors import ConfigError  # noqa: PLC0415 - fast --help

    if config is None:
        return Path("/var/lib/edge-lstm")
    try:
        return Path(load_config(config, environ=os.environ).state_dir)
    except ConfigError as error:  # a daemon may well run, with the configuration from before
        click.echo(f"edge-lstm: {error}; or name the folder of the states with --state-dir", err=True)
        context.exit(_UNKNOWN)
