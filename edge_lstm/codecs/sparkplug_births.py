"""What births of Sparkplug have said: names and types behind the aliases, and where the sequence is.

All of it is a function of the messages so far, bounded, and written down with the rest of
the state: a restarted daemon reads data that came after a birth which it will not hear again.
"""

from __future__ import annotations

import msgspec

from edge_lstm.codecs.base import MAX_MEMBERS, CodecStateError
from edge_lstm.codecs.sparkplug_payload import BDSEQ, Metric

__all__ = ["MAX_DEVICES", "MAX_METRICS", "MAX_NODES", "BirthError", "Births", "Device", "Node"]

MAX_NODES = 256
"""Most edge nodes of one input."""
MAX_DEVICES = 1_024
"""Most devices of one edge node."""
MAX_METRICS = 65_536
"""Most metrics of one input, over all nodes and devices."""
MAX_NAME = 256
"""Longest name of a metric, characters."""
_VERSION = 1


class BirthError(ValueError):
    """A birth certificate is more than is remembered."""


class Device(msgspec.Struct, array_like=True):
    """The metrics of a device, or of the node itself, as its birth said.

    Attributes:
        types: Name to data type.
        names: Alias to name.
    """

    types: dict[str, int] = {}
    names: dict[int, str] = {}


class Node(msgspec.Struct, array_like=True):
    """An edge node.

    Attributes:
        born: Whether its birth was heard, and no death since.
        bd_seq: Which birth it was, ``None`` when it did not say.
        seq: Sequence number of the last message, 0 to 255.
        asked_ns: When it was last asked for a rebirth, 0 for never; time of arrival of a message.
        devices: Those that were born; the node's own metrics are under the empty name.
    """

    born: bool = False
    bd_seq: int | None = None
    seq: int = 0
    asked_ns: int = 0
    devices: dict[str, Device] = {}


class _Kept(msgspec.Struct, array_like=True):
    """What is written down."""

    version: int
    nodes: dict[str, Node]


_DECODER = msgspec.msgpack.Decoder(_Kept)


class Births:
    """The edge nodes of one input."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._metrics = 0

    def node(self, name: str) -> Node | None:
        """The node of that name, made if need be; ``None`` when there is no room for one more."""
        found = self._nodes.get(name)
        if found is None and self._room():
            found = self._nodes[name] = Node()
        return found

    def begin(self, node: Node, metrics: list[Metric], seq: int) -> None:
        """A node is born: what was known of its devices holds no more.

        Raises:
            BirthError: It has more metrics than are remembered.
        """
        self.end(node)
        self.learn(node, "", metrics)
        node.born, node.seq = True, seq
        node.bd_seq = bd_seq_of(metrics)

    def learn(self, node: Node, device: str, metrics: list[Metric]) -> None:
        """Remember the metrics of a device in place of those that it had.

        Raises:
            BirthError: That is more than is remembered.
        """
        self.forget(node, device)
        if len(metrics) > MAX_MEMBERS or self._metrics + len(metrics) > MAX_METRICS:
            raise BirthError(f"more metrics than are remembered: {MAX_MEMBERS} each, {MAX_METRICS} together")
        if len(node.devices) >= MAX_DEVICES:
            raise BirthError(f"more than {MAX_DEVICES} devices at one node")
        found = Device()
        for metric in metrics:
            if not metric.name or len(metric.name) > MAX_NAME:
                raise BirthError(f"a metric of a birth needs a name of 1 to {MAX_NAME} characters")
            found.types[metric.name] = metric.datatype
            if metric.alias is not None:
                found.names[metric.alias] = metric.name
        node.devices[device] = found
        self._metrics += len(found.types)

    def forget(self, node: Node, device: str) -> None:
        """What is known of a device holds no more."""
        gone = node.devices.pop(device, None)
        if gone is not None:
            self._metrics -= len(gone.types)

    def end(self, node: Node) -> list[str]:
        """A node has died, and its devices with it; their names, without the node's own."""
        devices = list(node.devices)
        for device in devices:
            self.forget(node, device)
        node.born = False
        return [device for device in devices if device]

    def dump(self) -> bytes:
        """Everything, for `load`; empty when there is nothing."""
        return msgspec.msgpack.encode(_Kept(_VERSION, self._nodes)) if self._nodes else b""

    def load(self, raw: bytes) -> None:
        """Go on from what `dump` wrote.

        Raises:
            CodecStateError: It was not written by `dump` of this version.
        """
        try:
            kept = _DECODER.decode(raw) if raw else _Kept(_VERSION, {})
        except (ValueError, RecursionError) as error:
            raise CodecStateError(f"not the births of edge nodes: {error}") from error
        if kept.version != _VERSION:
            raise CodecStateError(f"births of version {kept.version}; expected {_VERSION}")
        self._nodes = kept.nodes
        self._metrics = sum(
            len(device.types) for node in kept.nodes.values() for device in node.devices.values()
        )

    def _room(self) -> bool:
        """Whether one more node fits; one that is dead makes room."""
        if len(self._nodes) < MAX_NODES:
            return True
        dead = next((name for name, node in self._nodes.items() if not node.devices), None)
        if dead is not None:
            del self._nodes[dead]
        return dead is not None


def bd_seq_of(metrics: list[Metric]) -> int | None:
    """The number that pairs births and deaths, if it is there."""
    found = next((metric.value for metric in metrics if metric.name == BDSEQ), None)
    return int(found) if isinstance(found, int) else None
