"""``edge-lstm compile``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from edge_lstm.bundle import EDGETPU_MODEL, open_bundle
from edge_lstm.errors import CompileError
from firmware_tools.edgetpu import Compiled, add_to_bundle, compile_model, find_compiler, network
from firmware_tools.edgetpu_rules import Preflight, preflight

__all__ = ["compile_bundle"]


@click.command(
    "compile",
    short_help="Compile a bundle's network for the Edge TPU.",
    epilog="Example: edge-lstm compile model.elb --check",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    show_envvar=True,
    help="Write another bundle, and leave BUNDLE as it is.",
)
@click.option(
    "--check", is_flag=True, show_envvar=True, help="Only say what would not map; no compiler needed."
)
@click.option(
    "--compiler",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="EDGE_LSTM_COMPILER",
    show_envvar=True,
    help="The vendor's compiler.  [default: edgetpu_compiler on the PATH]",
)
@click.option(
    "--allow-cpu",
    is_flag=True,
    show_envvar=True,
    help="Take a model of which some operators stay on the CPU.",
)
@click.option(
    "--min-runtime-version",
    type=click.IntRange(10, 14),
    show_envvar=True,
    help="Oldest Edge TPU runtime that shall run it.  [default: the compiler's choice]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 3600),
    default=180.0,
    show_default=True,
    show_envvar=True,
    help="Longest time for the compiler, seconds.",
)
@click.option("--json", "as_json", is_flag=True, show_envvar=True, help="Print JSON for machines.")
@click.pass_context
def compile_bundle(
    context: click.Context,
    bundle: Path,
    out: Path | None,
    check: bool,
    compiler: Path | None,
    allow_cpu: bool,
    min_runtime_version: int | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Compile the network of BUNDLE for the Edge TPU and put it into the bundle.

    First the network is held against the rules that the vendor documents; then the vendor's
    compiler, which must be installed, does the work, and its log and its output are checked. A
    network that would not be on the Edge TPU in full is refused.

    Exit code 0 when the bundle was written, or with --check when no documented rule is broken.
    """
    opened = open_bundle(bundle)
    graph = network(opened)
    found = preflight(graph)
    if check:
        _tell_check(found, as_json=as_json)
        context.exit(0 if found.mapped else 1)
    if not as_json:
        click.echo("\n".join(_check_lines(found)))
    if found.findings and not allow_cpu:
        raise CompileError(
            "the network would not be on the Edge TPU in full",
            got="; ".join(map(str, found.findings)),
            do="--allow-cpu compiles it all the same",
        )
    program = find_compiler(compiler)
    compiled = compile_model(
        opened, program, allow_cpu=allow_cpu, min_runtime_version=min_runtime_version, timeout_s=timeout
    )
    target = out if out is not None else bundle
    digest = add_to_bundle(opened, compiled, target)
    _tell_result(found, compiled, target, digest, as_json=as_json)


def _tell_check(found: Preflight, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(_check_facts(found)).decode())
    else:
        click.echo("\n".join(_check_lines(found)))


def _check_facts(found: Preflight) -> dict[str, object]:
    facts: dict[str, object] = msgspec.to_builtins(found)
    return {"mapped": found.mapped, **facts}


def _check_lines(found: Preflight) -> list[str]:
    total = sum(count for _, _, count in found.operators)
    kinds = ", ".join(f"{count} {name} v{version}" for name, version, count in found.operators)
    lines = [f"operators  {total}: {kinds}", *(f"not mapped {finding}" for finding in found.findings)]
    lines += [f"hint       {hint}" for hint in found.hints]
    if found.mapped:
        lines.append("pre-flight no documented rule is broken; the compiler has the last word")
    else:
        broken = len({finding.index for finding in found.findings})
        lines.append(f"pre-flight {broken} of {total} operators would stay on the CPU")
    return lines


def _tell_result(found: Preflight, compiled: Compiled, target: Path, digest: str, *, as_json: bool) -> None:
    log = compiled.log
    if as_json:
        facts = {
            "bundle": str(target),
            "sha256": digest,
            "bytes": len(compiled.content),
            "preflight": _check_facts(found),
            "log": msgspec.to_builtins(log),
        }
        click.echo(msgspec.json.encode(facts).decode())
        return
    click.echo(f"compiler   Edge TPU Compiler {log.version}")
    click.echo("\n".join(f"mapped     {row}" for row in log.rows))
    if log.memory:
        click.echo(f"memory     {'; '.join(log.memory)}")
    placed = f"{log.on_tpu} operators on the TPU, {log.on_cpu} on the CPU"
    click.echo(f"written    {target}: {EDGETPU_MODEL}, {len(compiled.content)} bytes, {placed}")
    click.echo(f"sha256     {digest}")
