"""An MQTT broker inside this process, for the demo alone."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from edge_lstm.errors import BrokerError

__all__ = ["EmbeddedBroker"]

START_S = 15.0
ATTEMPTS = 5


class EmbeddedBroker:
    """amqtt on a free port of 127.0.0.1, open to everybody on this machine.

    It speaks MQTT 3.1.1 only, as amqtt does, and forgets everything when it ends.

    Attributes:
        port: The port, once it runs.
    """

    def __init__(self) -> None:
        self.port = 0
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Self:
        """Start, and wait until clients can connect.

        Raises:
            BrokerError: It does not start.
        """
        # amqtt reports every packet; what a user of the demo must know comes as an exception.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        self._thread.start()
        try:
            self.port = self._started.result(START_S)
        except Exception as error:
            raise BrokerError("the embedded MQTT broker does not start", got=repr(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - it belongs to the thread that waits for the start
            if not self._started.done():
                self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        broker, port = await _start()
        self._started.set_result(port)
        await self._stop.wait()
        await broker.shutdown()


async def _start() -> tuple[Any, int]:
    """A running broker and its port."""
    from amqtt.broker import Broker  # noqa: PLC0415 - the demo extra
    from amqtt.errors import BrokerError as StartError  # noqa: PLC0415

    for _ in range(ATTEMPTS):
        try:
            port = _free_port()
            broker = Broker(_settings(port))
            await broker.start()
        except StartError:  # somebody took the port in between
            continue
        return broker, port
    raise BrokerError("no free port on 127.0.0.1", got=f"{ATTEMPTS} ports that were taken at once")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _settings(port: int) -> dict[str, object]:
    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {anonymous: {"allow_anonymous": True}},
    }
