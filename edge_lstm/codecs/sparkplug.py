"""Sparkplug B (Eclipse Sparkplug 3.0.0): births, data by name or alias, deaths.

A host application hears it with QoS 0 and a clean session, as the specification demands of
it (chapters 5 and 6), so what is lost is lost. It is noticed, by the sequence number, and
the edge node is asked for a rebirth; nothing more can be promised.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_lstm.codecs.base import MAX_READINGS, Decoded, Envelope, Wish, gathered, refused, unreadable
from edge_lstm.codecs.fields import TimeReader
from edge_lstm.codecs.sparkplug_births import BirthError, Births, Device, Node, bd_seq_of
from edge_lstm.codecs.sparkplug_payload import (
    BDSEQ,
    Payload,
    number_of,
    read_payload,
    rebirth,
)
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reject, RejectReason
from edge_lstm.times import NS
from edge_lstm.topics import check_name

__all__ = ["ASK_EVERY_S", "SparkplugCodec"]

ASK_EVERY_S = 60
"""Shortest time between two requests for a rebirth of one edge node, seconds."""

_MAX_BYTES = 2**18
_OF_NODE, _OF_DEVICE = ("NBIRTH", "NDEATH", "NDATA"), ("DBIRTH", "DDEATH", "DDATA")
_COMMANDS = ("NCMD", "DCMD", "STATE")
_NOT_MEASURED = (BDSEQ, "Node Control/", "Device Control/")


class _Topic(NamedTuple):
    """``spBv1.0/GROUP/KIND/NODE[/DEVICE]`` (chapter 4); the device is empty for the node itself."""

    group: str
    kind: str
    node: str
    device: str

    @property
    def asset(self) -> str:
        return _asset(self.node, self.device)


class SparkplugCodec:
    """Reads what the edge nodes of one group say; see docs/format-reading.md.

    Args:
        source: The input.
    """

    def __init__(self, source: InputConfig) -> None:
        self._names, self._time = dict(source.channels), TimeReader(source)
        self._births = Births()

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        topic = _parse(envelope.topic)
        if isinstance(topic, str):
            return refused(RejectReason.BAD_TOPIC, "", topic)
        if (unfit := _unfit(topic, payload, envelope)) is not None:
            return unfit
        try:
            found = read_payload(payload)
        except ValueError as error:
            return unreadable(error, topic.asset)
        node = self._births.node(topic.node)
        if node is None:
            return refused(RejectReason.TOO_MANY_ASSETS, topic.asset, "too many edge nodes are alive")
        return self._heard(node, topic, found, envelope)

    def dump(self) -> bytes:
        """What births have said; see `edge_lstm.codecs.base.Codec.dump`."""
        return self._births.dump()

    def load(self, raw: bytes) -> None:
        """Go on from `dump`; see `edge_lstm.codecs.base.Codec.load`."""
        self._births.load(raw)

    def _heard(self, node: Node, topic: _Topic, payload: Payload, envelope: Envelope) -> Decoded:
        if topic.kind == "NDEATH":
            return self._node_died(node, topic, payload)
        lost = self._missed(node, topic, payload)
        if topic.kind == "DDEATH":
            self._births.forget(node, topic.device)
            decoded = Decoded((_dead(topic.asset),), stale=(topic.asset,))
        else:
            decoded, unknown = self._told(node, topic, payload, envelope)
            lost = lost or unknown
        if not lost:
            return decoded
        wishes = self._ask(node, topic, envelope.arrived_ns)
        return Decoded(decoded.items, decoded.odd, wishes, decoded.stale)

    def _told(self, node: Node, topic: _Topic, payload: Payload, envelope: Envelope) -> tuple[Decoded, bool]:
        """Births and data: what they say, and whether something in it has no meaning yet."""
        try:
            if topic.kind == "NBIRTH":
                self._births.begin(node, payload.metrics, payload.seq)
            elif topic.kind == "DBIRTH":
                self._births.learn(node, topic.device, payload.metrics)
        except BirthError as error:
            return refused(RejectReason.TOO_LARGE, topic.asset, str(error)), False
        device = node.devices.get(topic.device)
        if device is None:
            return refused(RejectReason.NOT_BORN, topic.asset, "no birth certificate was heard"), True
        return self._readings(device, topic.asset, payload, envelope)

    def _readings(
        self, device: Device, asset: str, payload: Payload, envelope: Envelope
    ) -> tuple[Decoded, bool]:
        found: dict[tuple[str, int], dict[str, float | None]] = {}
        rejects: list[Reject] = []
        odd: list[str] = []
        unknown = False
        for metric in payload.metrics:
            said = metric.name or device.names.get(metric.alias if metric.alias is not None else -1, "")
            datatype = device.types.get(said)
            if datatype is None:
                unknown = True
                continue
            if said.startswith(_NOT_MEASURED):
                continue
            time_ns = self._moment(metric.time_ms or payload.time_ms, asset, envelope)
            if isinstance(time_ns, Reject):
                rejects = rejects or [time_ns]
                continue
            name = self._names.get(said, said)
            value = number_of(metric, datatype) if metric.good else None
            found.setdefault((asset, time_ns), {})[name] = value
            if value is None and metric.value is not None:
                odd.append(name)
        if len(found) > MAX_READINGS:
            return refused(RejectReason.TOO_LARGE, asset, f"more than {MAX_READINGS} times"), unknown
        if not found and not rejects:
            reason = RejectReason.NOT_BORN if unknown else RejectReason.NOT_DATA
            detail = "of metrics that no birth has named" if unknown else "nothing measured is in it"
            return refused(reason, asset, detail), unknown
        return Decoded(gathered(found, rejects, envelope), tuple(odd)), unknown

    def _moment(self, time_ms: int, asset: str, envelope: Envelope) -> int | Reject:
        if not time_ms:
            return envelope.arrived_ns
        if time_ms >= 2**63 // 1_000_000:
            return Reject(RejectReason.BAD_TIME, asset, f"{time_ms} ms is out of range")
        time_ns = self._time.check(time_ms * 1_000_000, envelope)
        return time_ns if isinstance(time_ns, int) else Reject(time_ns.reason, asset, time_ns.detail)

    @staticmethod
    def _missed(node: Node, topic: _Topic, payload: Payload) -> bool:
        """Whether messages are missing before this one; a repeat is no gap.

        tck-id-payloads-sequence-num-incrementing: births of the node begin the count, all others go on
        with it, modulo 256. tck-id-operational-behavior-host-reordering-rebirth: ask after a gap.
        """
        if topic.kind == "NBIRTH":
            return False
        gap = not node.born or payload.seq not in (node.seq, (node.seq + 1) % 256)
        node.seq = payload.seq
        return gap

    def _node_died(self, node: Node, topic: _Topic, payload: Payload) -> Decoded:
        """A death holds if it is of the birth that we know: an old last will may come late.

        tck-id-payloads-ndeath-bdseq.
        """
        of = bd_seq_of(payload.metrics)
        if None not in (of, node.bd_seq) and of != node.bd_seq:
            return refused(RejectReason.NOT_DATA, topic.asset, "the death of an earlier session")
        devices = self._births.end(node)
        stale = (topic.asset, *(_asset(topic.node, device) for device in devices))
        return Decoded((_dead(topic.asset),), stale=stale)

    @staticmethod
    def _ask(node: Node, topic: _Topic, now_ns: int) -> tuple[Wish, ...]:
        """The wish for a rebirth, not too often; by times of arrival, so that a replay asks alike."""
        if node.asked_ns and abs(now_ns - node.asked_ns) < ASK_EVERY_S * NS:
            return ()
        node.asked_ns = now_ns
        return (Wish(f"spBv1.0/{topic.group}/NCMD/{topic.node}", rebirth(now_ns)),)


def _unfit(topic: _Topic, payload: bytes, envelope: Envelope) -> Decoded | None:
    """Why a message is not looked into, or ``None`` when it is."""
    if topic.kind in _COMMANDS:
        return refused(RejectReason.NOT_DATA, "", "a command, or the state of a host")
    if envelope.retained:  # the specification has births and data never retained
        return refused(RejectReason.STALE_RETAINED, topic.asset, "retained by somebody; not looked into")
    if len(payload) > _MAX_BYTES:
        return refused(RejectReason.TOO_LARGE, topic.asset, f"more than {_MAX_BYTES} bytes of Sparkplug")
    return None


def _parse(topic: str) -> _Topic | str:
    """The parts of a topic, or why it is none of Sparkplug's."""
    levels = topic.split("/")
    kind = levels[2] if len(levels) > 2 else ""
    wanted = 4 if kind in _OF_NODE else 5 if kind in _OF_DEVICE else 0
    if kind in _COMMANDS or levels[1:2] == ["STATE"]:
        return _Topic("", "STATE", "", "")
    if levels[0] != "spBv1.0" or len(levels) != wanted:
        return f"{topic[:200]!r} is no topic of Sparkplug B"
    found = _Topic(levels[1], kind, levels[3], levels[4] if wanted == 5 else "")
    if "" in levels:
        return f"{topic[:200]!r} has an empty level"
    why = check_name(found.asset)
    return found if why is None else f"asset {found.asset[:200]!r} cannot be used: {why}"


def _asset(node: str, device: str) -> str:
    return f"{node}:{device}" if device else node


def _dead(asset: str) -> Reject:
    return Reject(RejectReason.NOT_DATA, asset, "a death certificate: no value is current any more")
