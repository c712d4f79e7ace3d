"""The option ``--backend``, which every command that runs a network has."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from edge_lstm.contracts.config import BackendChoice

if TYPE_CHECKING:
    from edge_lstm.bundle import Bundle
    from edge_lstm.core.backend import Backend

__all__ = ["CHOICES", "backend_option", "choose_backend"]

CHOICES: tuple[BackendChoice, ...] = get_args(BackendChoice)

backend_option = click.option(
    "--backend",
    type=click.Choice(CHOICES),
    show_envvar=True,
    help="What runs the network, in place of the configuration's; auto is the fastest that runs here.",
)


def choose_backend(bundle: Bundle, choice: BackendChoice | None) -> Backend:
    """A backend as chosen, with a note on standard error when ``auto`` had to fall back.

    Args:
        bundle: A verified bundle.
        choice: Nothing chosen is ``auto``.

    Raises:
        BackendError: It is not available on this board.
        BundleError: The model's tensors are not those of the manifest.
    """
    from edge_lstm.backends import select_backend  # noqa: PLC0415 - fast --help

    selected = select_backend(bundle, choice or "auto")
    if selected.fallback:
        click.echo(f"note: {selected.reason}; using the {selected.backend.name} kernel", err=True)
    return selected.backend
