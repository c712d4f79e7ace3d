"""``edge-lstm``: one verb a command, found through entry points so that no package needs another."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

import click

from edge_lstm import __version__
from edge_lstm.errors import OperatorError

__all__ = ["main", "run_main"]

GROUP = "edge_lstm.commands"

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class _Verbs(click.Group):
    """Loads a command only when it is asked for; none of them slows down the daemon's start."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(entry.name for entry in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        found = [entry for entry in entry_points(group=GROUP) if entry.name == cmd_name]
        return _load(found[0]) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the verbs named when there is no such verb."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"No such command '{args[0]}'. Commands: {', '.join(self.list_commands(ctx))}.")
        return super().resolve_command(ctx, args)


def _load(entry: EntryPoint) -> click.Command:
    command = entry.load()
    if not isinstance(command, click.Command):
        raise TypeError(f"entry point {entry.name} is not a click command")
    return command


@click.group(
    cls=_Verbs,
    context_settings={"auto_envvar_prefix": "EDGE_LSTM", "help_option_names": ["-h", "--help"]},
    epilog="Example: edge-lstm train history.csv --out model.elb",
)
@click.version_option(__version__, prog_name="edge-lstm")
@click.option("--debug", is_flag=True, help="Show tracebacks.", show_envvar=True)
def main(debug: bool) -> None:
    """Watch machines with an LSTM that remembers every reading."""


def run_main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 failed (one line on standard error), 2 wrong usage, 130 interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args or os.environ.get("EDGE_LSTM_DEBUG", "").lower() in ("1", "true", "yes", "on")
    try:
        code = main.main(args, prog_name="edge-lstm", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except OperatorError as error:
        if debug:
            raise
        click.echo(f"edge-lstm: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away: not an error worth a word (POSIX habit).
        _drop_output()
        return 1
    except OSError as error:
        if debug or error.errno not in _NO_ROOM:
            raise
        _drop_output()
        click.echo(f"edge-lstm: cannot write {error.filename or 'the output'}: {error.strerror}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _drop_output() -> None:
    """What is still in the buffer must not fail once more when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
