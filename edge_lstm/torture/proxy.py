"""A bad network between daemon and broker, in user land: no netem, no root.

It also takes notes, as a witness between the two: what the broker handed to the daemon, and
what of it the daemon has acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Literal

from edge_lstm.torture.wire import frames, published

__all__ = ["Fault", "Proxy"]

Fault = Literal["none", "blackhole", "half_open", "delay", "slices", "refuse"]

_CHUNK = 65_536
_DELAY_S = 0.3
_CONNECT, _PUBLISH, _PUBACK = 1, 3, 4
_NO_LINGER = struct.pack("ii", 1, 0)


class _Link:
    """One connection through the proxy."""

    def __init__(self, down: asyncio.StreamWriter, up: asyncio.StreamWriter) -> None:
        self.down, self.up = down, up

    def reset(self) -> None:
        """End both sides with RST."""
        for writer in (self.down, self.up):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


class Proxy:
    """Listens on a free loopback port and forwards to the broker, as well as the fault allows.

    Args:
        port: The broker's.

    Attributes:
        port: Its own.
        acked: (topic, payload) of every reading that the daemon has acknowledged.
    """

    def __init__(self, port: int) -> None:
        self._broker = port
        self._fault: Fault = "none"
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._version = 5
        self._given: dict[int, tuple[str, bytes]] = {}
        self.acked: set[tuple[str, bytes]] = set()
        self._loop = asyncio.new_event_loop()
        self._healthy = asyncio.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all connections and the proxy."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(5)

    def begin(self, fault: Fault) -> None:
        """Let the network be bad from now on."""
        self._call(self._set, fault)

    def heal(self) -> None:
        """Let it be good again; bytes that were held back go on."""
        self._call(self._set, "none")

    def reset(self) -> None:
        """End every connection with RST."""
        self._call(self._reset)

    def inject(self, raw: bytes) -> None:
        """Send bytes to the daemon between two packets of the broker."""
        self._call(self._inject, raw)

    # ------------------------------------------------------------------------------ in its thread

    def _call(self, what: object, *args: object) -> None:
        done = threading.Event()

        def act() -> None:
            what(*args)  # type: ignore[operator]  # one of the methods below
            done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._healthy.set()
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, sock=self._listener))
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
            self._loop.close()

    def _end(self) -> None:
        self._reset()
        self._loop.stop()

    def _set(self, fault: Fault) -> None:
        self._fault = fault
        if fault in ("blackhole", "half_open"):
            self._healthy.clear()
        else:
            self._healthy.set()
        if fault == "half_open":  # the broker's side is gone, and nobody tells the daemon
            for link in self._links:
                link.up.transport.abort()

    def _reset(self) -> None:
        for link in tuple(self._links):
            link.reset()

    def _inject(self, raw: bytes) -> None:
        for link in self._links:
            if not link.down.is_closing():
                link.down.write(raw)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._fault in ("refuse", "half_open"):
            writer.transport.abort()
            return
        try:
            from_broker, up = await asyncio.open_connection("127.0.0.1", self._broker)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, up)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(reader, up, down=False), self._pump(from_broker, writer, down=True)
            )
        finally:
            self._links.discard(link)
            link.reset()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool) -> None:
        """Carry one direction, whole packets at a time, until one side ends."""
        held = bytearray()
        while True:
            try:
                chunk = await reader.read(_CHUNK)
            except OSError:
                chunk = b""
            if not chunk:
                if self._fault != "half_open":
                    writer.transport.abort()
                return
            held += chunk
            spans = frames(held)
            if not spans:
                continue
            end = spans[-1][1]
            whole = bytes(held[:end])
            del held[:end]
            self._note((whole[a:b] for a, b in spans), down=down)
            await self._forward(whole, writer)

    async def _forward(self, whole: bytes, writer: asyncio.StreamWriter) -> None:
        await self._healthy.wait()
        if self._fault == "delay":
            await asyncio.sleep(_DELAY_S)
        if self._fault == "slices":
            for i in range(len(whole)):
                if writer.is_closing():
                    return
                writer.write(whole[i : i + 1])
                await asyncio.sleep(0)
        elif not writer.is_closing():
            writer.write(whole)
        with contextlib.suppress(OSError):
            await writer.drain()

    def _note(self, packets: Iterable[bytes], *, down: bool) -> None:
        for raw in packets:
            kind = raw[0] >> 4
            if not down and kind == _CONNECT:  # 3.1.2.2: the level follows the name "MQTT"
                self._version = raw[raw.index(b"MQTT") + 4]
            elif down and kind == _PUBLISH:
                topic, payload, mid = published(raw, self._version)
                if mid is not None:
                    self._given[mid] = (topic, payload)
            elif not down and kind == _PUBACK:
                found = self._given.get(int.from_bytes(raw[2:4]))
                if found is not None:
                    self.acked.add(found)
