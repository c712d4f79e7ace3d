"""``edge-lstm run``: the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge_lstm.commands.backend import backend_option
from edge_lstm.contracts.config import BackendChoice, DeviceConfig

__all__ = ["run"]


@click.command(
    short_help="Score readings from MQTT and publish alerts, until stopped.",
    epilog="Example: edge-lstm run --config edge-lstm.yaml",
)
@click.option(
    "--config",
    "-c",
    required=True,
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="The site's configuration; configs/edge-lstm.yaml explains every key.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="Run this bundle in place of the configuration's.",
)
@backend_option
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    show_envvar=True,
    help="Least level that is logged, in place of the configuration's.",
)
def run(config: Path, bundle: Path | None, backend: BackendChoice | None, log_level: str | None) -> None:
    """Score readings from MQTT with the bundle's model and publish scores, alerts and health.

    Every key of the configuration can be set by an environment variable too, sections
    joined by two underscores: EDGE_LSTM__MQTT__HOST=broker.local

    SIGTERM and SIGINT save the states and end it with exit code 0. SIGHUP reads configuration
    and bundle anew; when they cannot be used, that is logged and the old ones run on. Logs go
    to standard error.
    """
    from edge_lstm.config import load_config  # noqa: PLC0415 - fast --help
    from edge_lstm.daemon import serve  # noqa: PLC0415 - fast --help
    from edge_lstm.logs import setup_logs  # noqa: PLC0415 - fast --help

    options = {
        "bundle": None if bundle is None else str(bundle.absolute()),
        "backend": backend,
        "log_level": log_level,
    }

    def load() -> DeviceConfig:
        return load_config(config, environ=os.environ, options=options)

    setup_logs(load().log_level)
    serve(load, environ=os.environ)
