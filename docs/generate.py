"""Writes the generated documents: command reference, configuration keys and JSON Schemas.

``python docs/generate.py`` writes them, ``--check`` fails when they are not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge_lstm.cli import main as group
from edge_lstm.schemas import generated

__all__ = ["documents", "main"]

DOCS = Path(__file__).parent
_INTRODUCTION = """\
<!-- Generated from --help by docs/generate.py: change the command, then run `make docs`. -->

# edge-lstm, the command line

Results go to standard output, everything else to standard error.
Exit code 0: done; 1: failed, with one line that says why; 2: wrong usage.
Every option has an environment variable, `EDGE_LSTM_<COMMAND>_<OPTION>`; the command line stands over it.
"""


def documents() -> dict[Path, str]:
    """Path to content of every generated document."""
    return {DOCS / name: text for name, text in {**generated(), "cli-edge-lstm.md": _reference()}.items()}


def _reference() -> str:
    root = click.Context(group, info_name="edge-lstm", terminal_width=100, **group.context_settings)
    parts = [_INTRODUCTION, _section("edge-lstm", group.get_help(root))]
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        if command is None:
            raise click.UsageError(f"no command '{name}' behind its entry point")
        context = click.Context(command, info_name=name, parent=root, terminal_width=100)
        parts.append(_section(f"edge-lstm {name}", command.get_help(context)))
        for part, below in getattr(command, "commands", {}).items():
            inner = click.Context(below, info_name=part, parent=context, terminal_width=100)
            parts.append(_section(f"edge-lstm {name} {part}", below.get_help(inner)))
    return "\n".join(parts)


def _section(title: str, text: str) -> str:
    body = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```text\n{body}\n```\n"


def main(argv: list[str]) -> int:
    """Write, or with ``--check`` compare; 1 when a document is not current."""
    stale = {
        path: text
        for path, text in documents().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in argv:
        for path in stale:
            print(f"{path.relative_to(DOCS.parent)} is not current: run 'make docs'", file=sys.stderr)
        return 1 if stale else 0
    for path, text in stale.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
