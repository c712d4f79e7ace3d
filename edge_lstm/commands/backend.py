"""The option ``--backend``, which every command that runs a network has."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

import click

from edge_lstm.contracts.config import BackendChoice

if TYPE_CHECKING:
    from edge_lstm.bundle import Bundle
    from edge_lstm.core.backend import Backend

__all__ = ["CHOICES", "backend_option", "choose_backend", "choose_replayed", "replay_backend_option"]

CHOICES: tuple[BackendChoice, ...] = get_args(BackendChoice)

backend_option = click.option(
    "--backend",
    type=click.Choice(CHOICES),
    show_envvar=True,
    help="What runs the network, in place of the configuration's; auto is the fastest that runs here.",
)

_FLOAT = "float"
replay_backend_option = click.option(
    "--backend",
    type=click.Choice([*CHOICES, _FLOAT]),
    show_envvar=True,
    help="What runs the network; float is the network before int8, of a bundle that kept it.",
)


def choose_replayed(bundle: Bundle, choice: str | None) -> tuple[Bundle, Backend]:
    """A bundle to replay, and its backend; see `choose_backend`.

    Args:
        bundle: A verified bundle.
        choice: Of `replay_backend_option`.

    Raises:
        BackendError: It is not available on this board.
        BundleError: The model's tensors are not those of the manifest, or there is no float network.
    """
    from edge_lstm.backends.floating import float_bundle  # noqa: PLC0415 - fast --help

    if choice == _FLOAT:
        bundle = float_bundle(bundle)
        return bundle, choose_backend(bundle, "litert")
    return bundle, choose_backend(bundle, cast("BackendChoice | None", choice))


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
