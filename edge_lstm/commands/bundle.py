"""``edge-lstm inspect`` and ``edge-lstm selftest``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click
import msgspec

from edge_lstm.backends import load_backend
from edge_lstm.bundle import MODEL, Bundle, open_bundle
from edge_lstm.commands.backend import CHOICES, choose_backend
from edge_lstm.contracts.config import BackendChoice
from edge_lstm.contracts.manifest import MEMBER
from edge_lstm.errors import BackendError
from edge_lstm.selftest import SelfTestResult
from edge_lstm.selftest import selftest as run_selftest

__all__ = ["inspect", "selftest"]

_BUNDLE = click.argument("bundle", type=click.Path(path_type=Path))
_ALL = "all"
_JSON = click.option("--json", "as_json", is_flag=True, show_envvar=True, help="Print JSON for machines.")


@click.command(
    epilog="Example: edge-lstm inspect model.elb --json",
    short_help="Show what a bundle says of itself.",
)
@_BUNDLE
@_JSON
def inspect(bundle: Path, as_json: bool) -> None:
    """Show the manifest of BUNDLE: channels, model, threshold, figures."""
    opened = open_bundle(bundle)
    if as_json:
        facts = {"sha256": opened.sha256, "manifest": opened.manifest}
        click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())
    else:
        click.echo("\n".join(_facts(opened)))


def _facts(bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    grid, threshold = manifest.grid, manifest.threshold
    units = [
        f"{c.name}{f' [{c.unit}]' if c.unit else ''}{' (context)' if c.role == 'context' else ''}"
        for c in manifest.channels
    ]
    lines = [
        f"bundle      {manifest.id} {manifest.version}, format {manifest.format}, created {manifest.created}",
        f"sha256      {bundle.sha256}",
        f"channels    {len(units)}: {', '.join(units)}",
        f"period      {grid.period_s:g} s; silence over {grid.gap_after_s:g} s starts the state anew",
        f"warm-up     {grid.warm_up} frames",
        f"model       {_network(bundle)}",
        f"members     {', '.join(dict.fromkeys(MEMBER[head.kind] for head in manifest.scoring.heads))}",
        f"heads       {', '.join(head.kind for head in manifest.scoring.heads)}",
        (
            f"threshold   {threshold.level:.6g} for {threshold.budget_per_month:g} false alarms a month"
            f" (expected {threshold.expected_per_month:.3g}"
            f"{', extrapolated' if threshold.extrapolated else ''})"
        ),
        f"assets      {', '.join(manifest.assets) or 'any (one scaling)'}",
    ]
    if manifest.edgetpu is not None:
        compiled = manifest.edgetpu
        lines.append(
            f"edge tpu    compiled by {compiled.compiler}: {compiled.on_tpu} operators on the TPU,"
            f" {compiled.on_cpu} on the CPU"
        )
    if manifest.score_when:
        lines.append(f"score when  {manifest.score_when}")
    lines += [
        f"{name:<11} {value}" for name, value in manifest.training.items() if isinstance(value, str | int)
    ]
    if "rank_correlation" in manifest.fidelity:
        changed, tuned = manifest.fidelity.get("changed_verdicts", 0), manifest.training.get("int8_tuning")
        lines.append(
            f"int8/float  rank correlation of scores {manifest.fidelity['rank_correlation']:.4f}, "
            f"{changed:.3%} of the verdicts changed{', tuned for int8' if tuned else ''}"
        )
    lines += [f"member      {name}, {entry.length} bytes" for name, entry in manifest.files.items()]
    return lines


def _network(bundle: Bundle) -> str:
    manifest = bundle.manifest
    if not manifest.input:
        return "no network"
    state = sum(t.shape[-1] for t in manifest.inputs if t.name != manifest.input)
    return f"{len(bundle.read(MODEL))} bytes, {len(manifest.states)} state(s), {state} numbers a stream"


@click.command(
    epilog="Example: edge-lstm selftest model.elb --backend all",
    short_help="Replay a bundle's golden vectors on this board.",
)
@_BUNDLE
@click.option(
    "--backend",
    type=click.Choice([*CHOICES, _ALL]),
    default="auto",
    show_default=True,
    show_envvar=True,
    help="What runs the network; auto is the fastest that runs here, all is each in turn.",
)
@_JSON
@click.pass_context
def selftest(context: click.Context, bundle: Path, backend: str, as_json: bool) -> None:
    """Replay the golden vectors of BUNDLE on this board: does it compute what the build machine did?

    Exit code 0 when it does, 1 when it does not. With --backend all a backend that is not available
    here is named with the reason, and only the others count; at least one has to run.
    """
    opened = open_bundle(bundle)
    if backend == _ALL:
        facts = _every_backend(opened)
        click.echo(_encode(facts) if as_json else "\n".join(map(_line, facts)))
        ran = [fact["passed"] for fact in facts if fact["available"]]
        context.exit(0 if ran and all(ran) else 1)
    result = run_selftest(opened, choose_backend(opened, cast("BackendChoice", backend)))
    fact = _fact(result)
    click.echo(_encode(fact) if as_json else _line({**fact, "available": True}))
    context.exit(0 if result.passed else 1)


def _every_backend(bundle: Bundle) -> list[dict[str, Any]]:
    facts: list[dict[str, Any]] = []
    # The first choice is auto, which is all there is to choose without a network.
    for name in CHOICES[1:] if bundle.manifest.input else CHOICES[:1]:
        try:
            result = run_selftest(bundle, load_backend(bundle, name))
        except BackendError as error:
            facts.append({"backend": name, "available": False, "reason": str(error)})
        else:
            facts.append({**_fact(result), "available": True})
    return facts


def _fact(result: SelfTestResult) -> dict[str, Any]:
    return {"passed": result.passed, **msgspec.to_builtins(result)}


def _encode(facts: object) -> str:
    return msgspec.json.encode(facts).decode()


def _line(fact: dict[str, Any]) -> str:
    if not fact["available"]:
        return f"n/a:  {fact['backend']}: {fact['reason']}"
    off = "greatest difference 0: bit for bit"
    if fact["greatest"]:
        off = (
            f"greatest difference {fact['greatest']:g} quantization steps in '{fact['tensor']}' "
            f"at step {fact['tick']} (tolerance {fact['tolerance']})"
        )
    return f"{'pass' if fact['passed'] else 'FAIL'}: {fact['steps']} steps on {fact['backend']}, {off}"
