"""``edge-lstm doctor``."""

from __future__ import annotations

import math
import os
from pathlib import Path

import click
import msgspec

__all__ = ["Duration", "doctor"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST_S = 366 * 86_400


class Duration(click.ParamType[float]):
    """``90s``, ``30m``, ``2h`` or ``1d`` to seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it, or end with what is expected."""
        text = str(value).strip()
        number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
        try:
            seconds = float(number) * _UNITS[unit]
        except ValueError:
            seconds = 0.0
        if not 1 <= seconds <= _MOST_S:
            self.fail(f"{text!r} is no time like 90s, 30m, 2h or 1d, from a second to a year", param, ctx)
        return seconds


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
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True, max=1e6),
    show_envvar=True,
    help="Messages a second, of all machines together: what must the broker keep? With --outage.",
)
@click.option(
    "--outage",
    type=Duration(),
    show_envvar=True,
    help="Longest time away that may lose nothing, like 90s, 30m, 2h or 1d. With --rate.",
)
@click.option(
    "--message-bytes",
    type=click.IntRange(1, 2**24),
    default=256,
    show_envvar=True,
    show_default=True,
    help="Payload and topic of a usual message; with --rate.",
)
@click.option("--json", "as_json", is_flag=True, show_envvar=True, help="Print JSON for machines.")
@click.pass_context
def doctor(
    context: click.Context,
    config: Path | None,
    bundle: Path | None,
    root: Path,
    rate: float | None,
    outage: float | None,
    message_bytes: int,
    as_json: bool,
) -> None:
    """Look at this board: Python, C library, processor, memory, backends, Edge TPU, disk, clock, broker.

    Each line is ok, info, warn or fail, with what was found and, below it, what to do.
    Nothing is changed; a daemon that runs meanwhile is not disturbed.

    With --rate and --outage it computes what Mosquitto must be set to so that no reading is
    lost, and prints it at the end. With --config too it measures at the running broker how many
    messages are sent ahead and kept, and whether a test message gets through; these go to
    BASE/NODE/doctor/... only.

    Exit code 0 when no line says fail, else 1.
    """
    from edge_lstm.doctor.examine import examine, passed, plan  # noqa: PLC0415 - fast --help

    if rate is not None and not math.isfinite(rate):
        raise click.BadParameter(f"{rate} is no number of messages a second.", param_hint="'--rate'")
    if (rate is None) != (outage is None):
        raise click.UsageError("--rate and --outage belong together.")
    findings = examine(root=root, bundle=bundle, config=config, environ=os.environ)
    promised = None
    if rate is not None and outage is not None:
        promised = plan(rate, outage, message_bytes=message_bytes, config=config, environ=os.environ)
        findings += promised.findings
    good = passed(findings)
    if as_json:
        report: dict[str, object] = {"passed": good, "findings": findings}
        if promised is not None:
            report |= {"needs": promised.needs, "mosquitto": promised.settings}
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        for one in findings:
            click.echo(f"{one.status:<5} {one.check:<16} {one.fact}")
            if one.fix:
                click.echo(f"{'':<22} -> {one.fix}")
        if promised is not None:
            click.echo(f"\n{promised.settings}", nl=False)
    context.exit(0 if good else 1)
