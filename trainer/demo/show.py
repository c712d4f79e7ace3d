"""What the demo says to the person in front of it."""

from __future__ import annotations

import click

from edge_lstm.contracts.alert import Alert
from edge_lstm.simulate import Fault
from edge_lstm.times import NS, parse_time
from trainer.demo.watch import Message

__all__ = ["show_alert", "show_score", "show_verdict", "step"]


def step(number: int, text: str) -> None:
    """The heading of one of the five steps."""
    click.secho(f"[{number}/5] {text}", bold=True)


def show_score(message: Message) -> None:
    """One line for a score."""
    score = message.json()
    if {"time", "score", "threshold"} <= set(score):
        click.echo(
            f"   {score['time']}  score {score['score']:.2f} against threshold {score['threshold']:.2f}"
        )


def show_alert(alert: Alert, *, fault_ns: int, after_s: float) -> None:
    """The alert for people, with the time since the fault began: simulated and real, ``after_s`` seconds."""
    simulated_s = (parse_time(alert.time) - fault_ns) / NS
    click.secho(f"\n   ALERT  {alert.text}", fg="red", bold=True)
    click.echo(f"   {alert.type} at {alert.time}, asset {alert.asset}, severity {alert.severity}")
    click.echo(f"   score {alert.score:.2f} against threshold {alert.threshold:.2f}")
    click.echo(f"   {after_s:.1f} s after the fault began ({simulated_s:.0f} s of the pump's time)")
    click.echo(f"   {'channel':<20} {'share':>6} {'actual':>10} {'expected':>10}")
    for part in alert.contributors:
        values = f"{part.actual:>10.2f} {part.expected:>10.2f} {part.unit}"
        click.echo(f"   {part.channel:<20} {part.share:>6.0%} {values}")
    click.echo("")


def show_verdict(fault: Fault, alert: Alert) -> bool:
    """Say whether the alert names the right cause, and return it."""
    first = alert.contributors[0].channel if alert.contributors else "nothing"
    signature = " or ".join(fault.contributors)
    right = first in fault.contributors
    click.secho(
        f"   {'right' if right else 'WRONG'}: the first contributor is {first}; "
        f"{fault.kind.name} shows in {signature}",
        fg="green" if right else "red",
    )
    return right
