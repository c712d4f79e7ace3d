"""``edge-lstm export``: a bundle in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["export"]


class _Prefix(click.ParamType[Any]):
    name = "PREFIX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        from firmware_tools.c_text import check_prefix  # noqa: PLC0415 - fast --help

        try:
            return check_prefix(value)
        except ValueError as error:
            self.fail(f"'{value}': {error}", param, ctx)


@click.group(
    short_help="Turn a bundle into source code.",
    epilog="Example: edge-lstm export c model.elb --out firmware",
)
def export() -> None:
    """Turn a bundle into source code."""


@export.command(
    short_help="C99 for microcontrollers.",
    epilog="Example: edge-lstm export c model.elb --out firmware",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="Folder to write: a new one, an empty one, or that of an earlier export.",
)
@click.option(
    "--asset",
    show_envvar=True,
    help="Scaling of this machine of the bundle.  [default: the one for machines it does not name]",
)
@click.option(
    "--prefix",
    type=_Prefix(),
    default="edge_lstm",
    show_default=True,
    show_envvar=True,
    help="What all names of the code begin with; two models in one firmware need two.",
)
def c(bundle: Path, out: Path, asset: str | None, prefix: str) -> None:
    """Write BUNDLE as one .c and one .h in C99: network, scoring and threshold, without heap or libm.

    Beside them: a self-test with golden vectors, an example that scores a CSV file (CMake), an
    Arduino library and a PlatformIO project. No compiler is needed here.
    """
    from edge_lstm.bundle import open_bundle  # noqa: PLC0415 - fast --help
    from firmware_tools.c_export import export as run  # noqa: PLC0415
    from firmware_tools.c_folder import write_folder  # noqa: PLC0415

    opened = open_bundle(bundle)
    done = run(opened, asset=asset, prefix=prefix)
    write_folder(out, done.files, bundle=opened.sha256)
    click.echo(f"wrote {out}: {prefix}_model.c, {prefix}_model.h and {len(done.files) - 2} files around them")
    for real, option in (("DOUBLE", ""), ("FLOAT", ", with -D" + prefix.upper() + "_REAL_FLOAT")):
        weights = done.facts["WEIGHT_BYTES"] + done.facts[f"LINEAR_{real}"]
        click.echo(f"weights {weights} bytes, a stream {done.facts[f'STATE_{real}']} bytes of RAM{option}")
