"""SIGHUP: a new configuration and bundle, proven before the old ones are let go.

Everything that can be wrong with them is looked for while the old ones still run; when
something is, that is told and they run on. Else the daemon writes its states down, ends
the connection without a farewell (the broker keeps the session and with it the readings)
and begins anew in the same process, as a restart would, with states that go on when the
bundle is the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_lstm.backends import Selected, select_backend
from edge_lstm.bundle import Bundle, open_bundle
from edge_lstm.contracts.config import DeviceConfig
from edge_lstm.errors import ConfigError, OperatorError
from edge_lstm.io.settings import mqtt_settings
from edge_lstm.logs import event, setup_logs
from edge_lstm.selftest import verify

__all__ = ["Prepared", "Reloader", "fixed_changes", "prepare"]

log = logging.getLogger(__name__)

_FIXED = ("host", "port", "protocol", "client_id", "base")
"""Keys of ``mqtt`` that make another session: readings that wait in the old one would be left there."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that can run: its files are there and its bundle is verified on this board.

    Attributes:
        config: The site.
        bundle: The model.
        selected: What runs it on the processor; it takes over when an Edge TPU is lost.
    """

    config: DeviceConfig
    bundle: Bundle
    selected: Selected


def prepare(config: DeviceConfig) -> Prepared:
    """Open and verify everything that a configuration names.

    Raises:
        OperatorError: Something of it cannot be used.
    """
    mqtt_settings(config)
    bundle = open_bundle(config.bundle)
    selected = select_backend(bundle, "auto" if config.backend == "edgetpu" else config.backend)
    result = verify(bundle, selected.backend)
    log.info(event("bundle.verified", path=bundle.path, sha256=bundle.sha256[:16], off_by=result.greatest))
    return Prepared(config, bundle, selected)


def fixed_changes(running: DeviceConfig, wanted: DeviceConfig) -> Iterator[str]:
    """Keys that differ and that only a restart can change.

    With another name, session, broker or state folder, what waits under the old one would
    be lost or left behind, and no reload may lose a reading.
    """
    if running.node != wanted.node:
        yield "node"
    if running.state_dir != wanted.state_dir:
        yield "state_dir"
    for key in _FIXED:
        if getattr(running.mqtt, key) != getattr(wanted.mqtt, key):
            yield f"mqtt.{key}"
    if running.metrics != wanted.metrics:
        yield "metrics"


class Reloader:
    """What runs, and what is to run after a reload.

    Args:
        load: Reads the configuration as at the start: file, environment, command line.
        running: What runs.
        prepare: Opens and verifies what a configuration names.

    Attributes:
        running: What runs.
        reloads: Reloads that were done.
        problem: Why the newest one was refused; empty when it was not.
    """

    def __init__(
        self,
        load: Callable[[], DeviceConfig],
        running: Prepared,
        *,
        prepare: Callable[[DeviceConfig], Prepared] = prepare,
    ) -> None:
        self._load, self._prepare = load, prepare
        self._wanted: Prepared | None = None
        self.running = running
        self.reloads = 0
        self.problem = ""

    def check(self) -> bool:
        """Read and prove the configuration anew; false when it is refused, and `problem` says why."""
        try:
            config = self._load()
            if changed := list(fixed_changes(self.running.config, config)):
                self.refuse(_restart_needed(changed))
                return False
            self._wanted = self._prepare(config)
        except OperatorError as error:
            self.refuse(error)
            return False
        except Exception as error:  # a fault of ours in the new must not end the old
            log.exception(event("reload.failed"))
            self.refuse(error)
            return False
        return True

    def refuse(self, why: object) -> None:
        """What runs goes on."""
        self._wanted = None
        self.problem = f"the new configuration is not used: {why}"
        log.error(event("reload.refused", reason=why))

    @property
    def wanted(self) -> Prepared:
        """What `switch` will give."""
        return self._wanted or self.running

    def switch(self) -> Prepared:
        """From now on, what `check` has proven runs; nothing changes when there is no such thing."""
        if self._wanted is not None:
            self.running, self._wanted = self._wanted, None
            self.reloads += 1
            self.problem = ""
            setup_logs(self.running.config.log_level)
            bundle = self.running.bundle
            log.info(event("reload.done", number=self.reloads, sha256=bundle.sha256[:16]))
        return self.running


def _restart_needed(changed: list[str]) -> ConfigError:
    return ConfigError(
        "cannot change while the daemon runs",
        key=", ".join(changed),
        do="restart it (systemctl restart edge-lstm), or set the old value again",
    )
