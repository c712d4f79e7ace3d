"""``edge-lstm deploy`` and ``edge-lstm rollback``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from firmware_tools.service import DEFAULT_PREFIX, check_prefix
from firmware_tools.site import Broker, Site, parse_broker

__all__ = ["deploy", "rollback"]

F = TypeVar("F", bound=Callable[..., None])


class _Parsed(click.ParamType[Any]):
    """A value read by a function that raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _prefix(text: str) -> str:
    clean = text.rstrip("/")
    if (why := check_prefix(clean, systemd=False)) is not None:
        raise ValueError(f"'{text}': {why}")
    return clean


def _common(command: F) -> F:
    """Options of both commands: how to get there, and where and how it runs there."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    options = (
        click.option(
            "--port", type=click.IntRange(1, 65535), show_envvar=True, help="Port of the ssh server."
        ),
        click.option("--identity", type=file, show_envvar=True, help="Private key for ssh."),
        click.option(
            "--ssh-option",
            "ssh_option",
            multiple=True,
            metavar="KEY=VALUE",
            show_envvar=True,
            help="Handed to ssh with -o; repeatable. Host keys and all else are ssh's own configuration.",
        ),
        click.option(
            "--prefix",
            default=DEFAULT_PREFIX,
            type=_Parsed("FOLDER", _prefix),
            show_default=True,
            show_envvar=True,
            help="Folder of the installation on the device.",
        ),
        click.option(
            "--service",
            type=click.Choice(["auto", "systemd", "process"]),
            default="auto",
            show_default=True,
            show_envvar=True,
            help="How the daemon runs there; process is a stand-in for machines without systemd.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(1, 3600),
            default=90.0,
            show_default=True,
            show_envvar=True,
            help="Longest wait for the daemon's health message, seconds.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _report(status: str, part: str, text: str) -> None:
    """One line a part; what is not a result goes to standard error."""
    click.echo(f"{status:<12} {part:<9} {text}".rstrip(), err=status in ("WARNING", "log", ""))


@click.command(
    short_help="Bring a bundle to a device and prove that it runs.",
    epilog="Example: edge-lstm deploy model.elb pi@press-3 --broker 192.168.1.10 --node press-3",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("target")
@_common
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    show_envvar=True,
    help="Configuration for the device.  [default: the one that is there, else a new one]",
)
@click.option(
    "--broker",
    type=_Parsed("HOST[:PORT]", parse_broker),
    show_envvar=True,
    help="Put this broker into the configuration.",
)
@click.option("--node", show_envvar=True, help="Put this name of the device into the configuration.")
@click.option(
    "--wheel",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    show_envvar=True,
    help="Install edge-lstm from this wheel file.",
)
@click.option(
    "--requirement",
    show_envvar=True,
    help="Install edge-lstm as pip finds it, like 'edge-lstm==0.1.0'.  [default: the version that runs here]",
)
@click.option(
    "--python",
    default="python3",
    show_default=True,
    show_envvar=True,
    help="Python 3.11 to 3.13 on the device, which the runtime is made with.",
)
@click.option("--dry-run", is_flag=True, show_envvar=True, help="Say what would change, and change nothing.")
def deploy(
    bundle: Path,
    target: str,
    port: int | None,
    identity: Path | None,
    ssh_option: tuple[str, ...],
    prefix: str,
    service: Any,  # noqa: ANN401 - one of the choices
    timeout: float,
    config: Path | None,
    broker: Broker | None,
    node: str | None,
    wheel: Path | None,
    requirement: str | None,
    python: str,
    dry_run: bool,
) -> None:
    """Bring BUNDLE to TARGET: runtime, configuration, service; switch to it and hear from it over MQTT.

    TARGET is local (this machine), HOST or USER@HOST, as ssh knows it. The bundle must pass its
    selftest on the device before anything changes. When the daemon does not report the new bundle
    within the timeout, what ran before is brought back. A second run changes nothing.
    """
    from edge_lstm.bundle import open_bundle  # noqa: PLC0415 - fast --help
    from firmware_tools import deploy as work  # noqa: PLC0415
    from firmware_tools.hosts import open_host  # noqa: PLC0415
    from firmware_tools.runtime import choose_runtime  # noqa: PLC0415

    if wheel is not None and requirement is not None:
        raise click.UsageError("--wheel and --requirement say the same thing; give one.")
    open_bundle(bundle)  # a bad bundle is said before a wheel is built and a host is asked
    settings = work.Settings(prefix=prefix, service=service, python=python, timeout_s=timeout)
    changed = _Counted()
    with tempfile.TemporaryDirectory(prefix="elstm-") as folder:
        runtime = choose_runtime(wheel, requirement, folder=Path(folder))
        with open_host(target, port=port, identity=identity, options=ssh_option) as host:
            work.deploy(
                bundle,
                host,
                runtime=runtime,
                site=Site(config, broker, node),
                settings=settings,
                report=changed.report,
                dry_run=dry_run,
            )
    click.echo(changed.summary(dry_run=dry_run))


class _Counted:
    """Prints every part, and counts the changes."""

    def __init__(self) -> None:
        self._changes = 0

    def report(self, status: str, part: str, text: str) -> None:
        """Take one part."""
        self._changes += status in ("changed", "would change")
        _report(status, part, text)

    def summary(self, *, dry_run: bool) -> str:
        """The last line."""
        if not self._changes:
            return "nothing to change"
        parts = f"{self._changes} part{'s' if self._changes > 1 else ''}"
        return f"{parts} would change; nothing was changed" if dry_run else f"{parts} changed"


@click.command(
    short_help="Go back to the bundle that ran on a device before.",
    epilog="Example: edge-lstm rollback pi@press-3",
)
@click.argument("target")
@_common
def rollback(
    target: str,
    port: int | None,
    identity: Path | None,
    ssh_option: tuple[str, ...],
    prefix: str,
    service: Any,  # noqa: ANN401 - one of the choices
    timeout: float,
) -> None:
    """Go back on TARGET to the bundle and the runtime that ran before the last deployment.

    TARGET is local (this machine), HOST or USER@HOST, as ssh knows it. A second rollback goes
    forward again. The configuration stays as it is.
    """
    from firmware_tools import deploy as work  # noqa: PLC0415 - fast --help
    from firmware_tools.hosts import open_host  # noqa: PLC0415

    settings = work.Settings(prefix=prefix, service=service, timeout_s=timeout)
    with open_host(target, port=port, identity=identity, options=ssh_option) as host:
        work.rollback(host, settings=settings, report=_report)
