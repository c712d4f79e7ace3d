"""Sparkplug B: births, data by alias, gaps, deaths, and what survives a restart.

The payloads are written by Google's Protobuf package from a description of the messages
made here, so that reader and writer have nothing in common.
"""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.codecs import CodecStateError, Decoded, Envelope, make_codec
from edge_lstm.codecs.sparkplug import ASK_EVERY_S, SparkplugCodec
from edge_lstm.codecs.sparkplug_births import MAX_NODES
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.times import NS, parse_time

NOW = parse_time("2026-03-01T12:00:00Z")
MS = NOW // 1_000_000
R = RejectReason
_F = descriptor_pb2.FieldDescriptorProto


def _message(file: Any, name: str, *parts: tuple[str, int, Any]) -> None:  # noqa: ANN401 - Protobuf has no types
    """Describe a message of optional fields; a kind in a list is repeated, text is another message."""
    made = file.message_type.add(name=name)
    for field, number, kind in parts:
        one = kind[0] if isinstance(kind, list) else kind
        label = _F.LABEL_REPEATED if isinstance(kind, list) else _F.LABEL_OPTIONAL
        if isinstance(one, str):
            made.field.add(
                name=field, number=number, label=label, type=_F.TYPE_MESSAGE, type_name=f".spb.{one}"
            )
        else:
            made.field.add(name=field, number=number, label=label, type=one)


def _payload_class() -> Any:  # noqa: ANN401 - Protobuf has no types
    """The message Payload of Sparkplug B, proto2, from the numbers of the specification."""
    file = descriptor_pb2.FileDescriptorProto(name="spb.proto", package="spb", syntax="proto2")
    _message(file, "PropertyValue", ("type", 1, _F.TYPE_UINT32), ("int_value", 3, _F.TYPE_UINT32))
    _message(file, "PropertySet", ("keys", 1, [_F.TYPE_STRING]), ("values", 2, ["PropertyValue"]))
    _message(
        file,
        "Metric",
        ("name", 1, _F.TYPE_STRING),
        ("alias", 2, _F.TYPE_UINT64),
        ("timestamp", 3, _F.TYPE_UINT64),
        ("datatype", 4, _F.TYPE_UINT32),
        ("is_historical", 5, _F.TYPE_BOOL),
        ("is_transient", 6, _F.TYPE_BOOL),
        ("is_null", 7, _F.TYPE_BOOL),
        ("properties", 9, "PropertySet"),
        ("int_value", 10, _F.TYPE_UINT32),
        ("long_value", 11, _F.TYPE_UINT64),
        ("float_value", 12, _F.TYPE_FLOAT),
        ("double_value", 13, _F.TYPE_DOUBLE),
        ("boolean_value", 14, _F.TYPE_BOOL),
        ("string_value", 15, _F.TYPE_STRING),
        ("bytes_value", 16, _F.TYPE_BYTES),
    )
    _message(
        file,
        "Payload",
        ("timestamp", 1, _F.TYPE_UINT64),
        ("metrics", 2, ["Metric"]),
        ("seq", 3, _F.TYPE_UINT64),
        ("uuid", 4, _F.TYPE_STRING),
        ("body", 5, _F.TYPE_BYTES),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spb.Payload"))


PAYLOAD = _payload_class()


def wire(*metrics: dict[str, Any], seq: int | None = 0, ms: int | None = MS) -> bytes:
    """A payload with these metrics."""
    made = PAYLOAD(metrics=list(metrics), uuid="ignored", body=b"\xff" * 20)
    if seq is not None:
        made.seq = seq
    if ms is not None:
        made.timestamp = ms
    return bytes(made.SerializeToString())


FLOW = {"name": "flow", "alias": 7, "datatype": 10, "double_value": 1.5}
BD = {"name": "bdSeq", "datatype": 8, "long_value": 3}
CONTROL = {"name": "Node Control/Rebirth", "datatype": 11, "boolean_value": False}


def made(asset: str, time_ns: int, values: dict[str, float | None], seq: int | None = None) -> Reading:
    """A reading that arrived now."""
    return Reading(asset, time_ns, values, seq, NOW)


class Host:
    """A codec that hears one message after the other."""

    def __init__(self, codec: SparkplugCodec | None = None, **source: Any) -> None:  # noqa: ANN401
        made = make_codec(InputConfig(topic="spBv1.0/plant/#", format="sparkplug", **source))
        assert isinstance(made, SparkplugCodec)
        self.codec = codec or made

    def hear(self, kind: str, payload: bytes, *, at: int = NOW, retained: bool = False) -> Decoded:
        """A message; the kind may have the device behind a slash."""
        name, _, device = kind.partition("/")
        topic = f"spBv1.0/plant/{name}/line-4" + (f"/{device}" if device else "")
        return self.codec.decode(payload, Envelope("", "", at, retained, topic))


@pytest.fixture
def host() -> Host:
    """A host that has heard the births of a node and its device."""
    made = Host()
    made.hear("NBIRTH", wire(BD, CONTROL, {"name": "load", "alias": 1, "datatype": 9, "float_value": 0.5}))
    made.hear(
        "DBIRTH/pump", wire(FLOW, {"name": "on", "alias": 8, "datatype": 11, "boolean_value": True}, seq=1)
    )
    return made


def values(decoded: Decoded) -> dict[str, float | None]:
    """Values of the one reading."""
    (item,) = decoded.items
    assert isinstance(item, Reading), item
    return item.values


def reason(decoded: Decoded) -> RejectReason:
    """Why there is none."""
    (item,) = decoded.items
    assert isinstance(item, Reject), item
    return item.reason


def test_birth_is_a_reading_too() -> None:
    """What it says is current; its control metrics are no channels."""
    decoded = Host().hear("NBIRTH", wire(BD, CONTROL, {"name": "load", "datatype": 9, "float_value": 0.5}))

    assert Decoded((made("line-4", NOW, {"load": 0.5}),)) == decoded


def test_birth_of_nothing_measured() -> None:
    """Most nodes have only control metrics of their own."""
    assert R.NOT_DATA == reason(Host().hear("NBIRTH", wire(BD, CONTROL)))


def test_data_by_alias_and_by_name(host: Host) -> None:
    """Both are what the birth named; the device is the asset."""
    decoded = host.hear(
        "DDATA/pump", wire({"alias": 7, "double_value": 2.5}, {"name": "on", "boolean_value": False}, seq=2)
    )

    assert Decoded((made("line-4:pump", NOW, {"flow": 2.5, "on": 0.0}),)) == decoded


def test_channels_are_renamed() -> None:
    """By the metric's name."""
    host = Host(channels={"flow": "q"})
    host.hear("NBIRTH", wire())

    assert {"q": 1.5} == values(host.hear("DBIRTH/pump", wire(FLOW, seq=1)))


@pytest.mark.parametrize(
    ("datatype", "field", "value", "expected"),
    [
        (1, "int_value", 0xFF, -1.0),
        (1, "int_value", 2**32 - 128, -128.0),
        (2, "int_value", 2**16 - 300, -300.0),
        (3, "int_value", 2**32 - 5, -5.0),
        (4, "long_value", 2**64 - 6, -6.0),
        (3, "int_value", 5, 5.0),
        (5, "int_value", 200, 200.0),
        (7, "int_value", 2**32 - 1, 4294967295.0),
        (7, "long_value", 9, 9.0),
        (8, "long_value", 2**64 - 1, float(2**64 - 1)),
        (9, "float_value", 0.25, 0.25),
        (10, "double_value", -1e300, -1e300),
        (10, "double_value", float("nan"), None),
        (9, "float_value", float("inf"), None),
        (11, "boolean_value", True, 1.0),
        (12, "string_value", "12.5", None),
        (13, "long_value", MS, None),
        (16, "bytes_value", b"x", None),
        (9, "int_value", 3, None),
    ],
)
def test_types(host: Host, datatype: int, field: str, value: Any, expected: float | None) -> None:  # noqa: ANN401
    """Signed numbers are written as two's complement; text and times are no values."""
    host.hear("DBIRTH/x", wire({"name": "m", "alias": 1, "datatype": datatype, field: value}, seq=2))

    assert {"m": expected} == values(host.hear("DDATA/x", wire({"alias": 1, field: value}, seq=3)))


def test_null_is_missing_and_bad_quality_is_missing_and_told(host: Host) -> None:
    """Null is said by the source; a stale value is a value that is not meant."""
    stale = {"keys": ["Unit", "Quality"], "values": [{"type": 12}, {"type": 3, "int_value": 500}]}
    good = {"keys": ["Quality"], "values": [{"type": 3, "int_value": 192}]}

    assert {"flow": None} == values(host.hear("DDATA/pump", wire({"alias": 7, "is_null": True}, seq=2)))
    decoded = host.hear("DDATA/pump", wire({"alias": 7, "double_value": 2.0, "properties": stale}, seq=3))
    assert ({"flow": None}, ("flow",)) == (values(decoded), decoded.odd)
    decoded = host.hear("DDATA/pump", wire({"alias": 7, "double_value": 2.0, "properties": good}, seq=4))
    assert ({"flow": 2.0}, ()) == (values(decoded), decoded.odd)


def test_metrics_of_several_times_are_several_readings(host: Host) -> None:
    """In order of time; what has none is of the payload's, and that of arrival."""
    stored: list[dict[str, Any]] = [
        {"alias": 7, "double_value": 3.0, "timestamp": MS},
        {"alias": 7, "double_value": 1.0, "timestamp": MS - 2000, "is_historical": True},
        {"alias": 8, "boolean_value": True, "timestamp": MS - 2000},
        {"alias": 7, "double_value": 2.0},
    ]
    decoded = host.hear("DDATA/pump", wire(*stored, seq=2, ms=MS - 1000))

    expected: list[tuple[int, dict[str, float | None]]] = [
        (-2000, {"flow": 1.0, "on": 1.0}),
        (-1000, {"flow": 2.0}),
        (0, {"flow": 3.0}),
    ]
    assert [made("line-4:pump", NOW + ms * 1_000_000, v) for ms, v in expected] == list(decoded.items)
    decoded = host.hear("DDATA/pump", wire({"alias": 7, "double_value": 3.0}, seq=3, ms=None))
    assert Decoded((made("line-4:pump", NOW, {"flow": 3.0}),)) == decoded


def test_time_far_in_the_future(host: Host) -> None:
    """As in every format."""
    assert R.BAD_TIME == reason(
        host.hear("DDATA/pump", wire({"alias": 7, "double_value": 1.0}, seq=2, ms=MS * 2))
    )
    assert R.BAD_TIME == reason(
        host.hear("DDATA/pump", wire({"alias": 7, "double_value": 1.0}, seq=3, ms=2**63))
    )


# ------------------------------------------------------------------------------- gaps and rebirths


def asked(decoded: Decoded) -> bool:
    """Whether a rebirth is asked for, rightly written."""
    if not decoded.wishes:
        return False
    (wish,) = decoded.wishes
    assert wish.topic == "spBv1.0/plant/NCMD/line-4"
    read = PAYLOAD.FromString(wish.payload)
    assert not read.HasField("seq")
    (metric,) = read.metrics
    assert (metric.name, metric.datatype, metric.boolean_value) == ("Node Control/Rebirth", 11, True)
    assert read.timestamp == metric.timestamp > 0
    return True


def test_sequence_wraps_at_256_without_a_gap(host: Host) -> None:
    """255 is followed by 0; the messages of node and devices count together."""
    for number in range(2, 600):
        kind = "NDATA" if number % 3 else "DDATA/pump"
        metric = {"alias": 1, "float_value": 1.0} if number % 3 else {"alias": 7, "double_value": 1.0}
        decoded = host.hear(kind, wire(metric, seq=number % 256))
        assert isinstance(decoded.items[0], Reading)
        assert not asked(decoded)


def test_gap_asks_for_a_rebirth_and_the_data_still_count(host: Host) -> None:
    """The aliases hold until a birth says otherwise; one question a minute is enough."""
    data = {"alias": 7, "double_value": 2.5}
    late = NOW + ASK_EVERY_S * NS

    decoded = host.hear("DDATA/pump", wire(data, seq=5))
    assert asked(decoded)
    assert {"flow": 2.5} == values(decoded)
    assert not asked(host.hear("DDATA/pump", wire(data, seq=6)))
    assert not asked(host.hear("DDATA/pump", wire(data, seq=9)))
    assert not asked(host.hear("DDATA/pump", wire(data, seq=9)))
    assert asked(host.hear("DDATA/pump", wire(data, seq=12), at=late))


def test_data_before_any_birth() -> None:
    """A daemon that starts in the middle of a session knows no alias."""
    decoded = Host().hear("DDATA/pump", wire({"alias": 7, "double_value": 2.5}, seq=77))

    assert R.NOT_BORN == reason(decoded)
    assert asked(decoded)


def test_unknown_alias(host: Host) -> None:
    """What is known is read, and the rest is asked for."""
    known, unknown = {"alias": 7, "double_value": 2.5}, {"alias": 99, "double_value": 1.0}

    decoded = host.hear("DDATA/pump", wire(known, unknown, seq=2))
    assert ({"flow": 2.5}, True) == (values(decoded), asked(decoded))
    assert R.NOT_BORN == reason(host.hear("DDATA/pump", wire(unknown, seq=3)))
    assert R.NOT_BORN == reason(host.hear("DDATA/pump", wire({"name": "never", "double_value": 1.0}, seq=4)))


def test_new_birth_of_the_node_ends_its_devices(host: Host) -> None:
    """Aliases may be dealt anew: an old one must not be read by an old table."""
    host.hear("NBIRTH", wire(BD, seq=0))

    assert R.NOT_BORN == reason(host.hear("DDATA/pump", wire({"alias": 7, "double_value": 2.5}, seq=1)))


def test_deaths(host: Host) -> None:
    """The assets are stale, and need a birth before they are read again."""
    data = wire({"alias": 7, "double_value": 2.5}, seq=3)

    assert ("line-4:pump",) == host.hear("DDEATH/pump", wire(seq=2)).stale
    assert R.NOT_BORN == reason(host.hear("DDATA/pump", data))
    host.hear("DBIRTH/pump", wire(FLOW, seq=4))
    died = host.hear("NDEATH", wire(BD, seq=None))
    assert (R.NOT_DATA, ("line-4", "line-4:pump")) == (reason(died), died.stale)
    assert R.NOT_BORN == reason(host.hear("DDATA/pump", wire({"alias": 7, "double_value": 2.5}, seq=5)))


def test_death_of_an_earlier_session_is_none(host: Host) -> None:
    """The last will of the connection before may come after the new birth."""
    died = host.hear("NDEATH", wire({**BD, "long_value": 2}, seq=None))

    assert () == died.stale
    assert {"flow": 2.5} == values(host.hear("DDATA/pump", wire({"alias": 7, "double_value": 2.5}, seq=2)))


def test_dump_and_load_go_on_where_they_were(host: Host) -> None:
    """Aliases, sequence and the last question survive a restart, and equal states are equal bytes."""
    host.hear("DDATA/pump", wire({"alias": 7, "double_value": 2.5}, seq=9))
    after = Host()
    after.codec.load(host.codec.dump())

    assert host.codec.dump() == after.codec.dump()
    for number in (10, 20):
        data = wire({"alias": 7, "double_value": 2.5}, seq=number)
        assert host.hear("DDATA/pump", data) == after.hear("DDATA/pump", data)
    assert host.codec.dump() == after.codec.dump()


@pytest.mark.parametrize("raw", [b"\x00", b"\x92\x02\x80", b"[]", b"\x92\x01\x81\xa1a\x05"])
def test_load_of_something_else(raw: bytes) -> None:
    """A state that is not ours is an error to the caller, not a wrong table."""
    with pytest.raises(CodecStateError):
        Host().codec.load(raw)


def test_nothing_to_remember_is_nothing_to_write() -> None:
    """An empty state is empty bytes, and back."""
    host = Host()
    host.codec.load(b"")

    assert b"" == host.codec.dump()


# ------------------------------------------------------------------------------- what is turned away


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("spBv1.0/plant/NCMD/line-4", R.NOT_DATA),
        ("spBv1.0/plant/DCMD/line-4/pump", R.NOT_DATA),
        ("spBv1.0/plant/DDATA/line-4", R.BAD_TOPIC),
        ("spBv1.0/plant/NDATA/line-4/pump", R.BAD_TOPIC),
        ("spBv1.0/plant/XDATA/line-4", R.BAD_TOPIC),
        ("spBv1.0/plant/NDATA/", R.BAD_TOPIC),
        ("spBv1.0/plant", R.BAD_TOPIC),
        ("spBv1.0/plant/DDATA/line-4/" + "x" * 300, R.BAD_TOPIC),
        ("plant/a/NDATA/b", R.BAD_TOPIC),
        ("", R.BAD_TOPIC),
    ],
)
def test_topics_without_readings(topic: str, expected: RejectReason) -> None:
    """Commands, ours among them, and what is no topic of Sparkplug."""
    assert expected == reason(Host().codec.decode(wire(FLOW), Envelope("", "", NOW, False, topic)))


def test_retained_is_not_looked_into() -> None:
    """A birth from some earlier day would be a wrong table."""
    host = Host()

    assert R.STALE_RETAINED == reason(host.hear("NBIRTH", wire(FLOW), retained=True))
    assert b"" == host.codec.dump()


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"\x12\x05\x0a",
        b"\x12\x02\x0a\xff",
        b"\x0b\x0c",
        b"\x08" + b"\xff" * 10 + b"\x01",
        b"\x18\xff\x7f",
        b"\x00\x00",
        b"\x12\x03\x0a\x01\xff",
        b"\x12\x50" + b"\x30\x00" * 40,
    ],
)
def test_undecodable(host: Host, payload: bytes) -> None:
    """What is no payload leaves the state as it was."""
    before = host.codec.dump()

    assert R.UNDECODABLE == reason(host.hear("DDATA/pump", payload))
    assert R.TOO_LARGE == reason(host.hear("DDATA/pump", b"\x12\x00" * 9000))
    assert R.TOO_LARGE == reason(host.hear("DDATA/pump", bytes(2**18 + 1)))
    assert before == host.codec.dump()


@pytest.mark.parametrize(
    "metrics",
    [
        [{"alias": 3, "datatype": 10}],
        [{"name": "x" * 300, "datatype": 10}],
        [{"name": f"m{n}", "datatype": 10} for n in range(5000)],
    ],
)
def test_birth_that_is_more_than_is_remembered(metrics: list[dict[str, Any]]) -> None:
    """The state is bounded, whatever is born."""
    host = Host()

    assert R.TOO_LARGE == reason(host.hear("NBIRTH", wire(*metrics)))
    assert len(host.codec.dump()) < 100


def test_nodes_are_bounded_and_dead_ones_make_room() -> None:
    """A new node beyond the number is not read; the place of one that died is free."""
    codec = Host().codec

    def born(number: int, kind: str = "NBIRTH") -> Decoded:
        topic = f"spBv1.0/plant/{kind}/node-{number}"
        return codec.decode(wire({**FLOW, "name": "m"}), Envelope("", "", NOW, False, topic))

    for number in range(MAX_NODES):
        assert {"m": 1.5} == values(born(number))
    assert R.TOO_MANY_ASSETS == reason(born(1000))
    born(5, "NDEATH")
    assert {"m": 1.5} == values(born(1000))
    assert R.TOO_MANY_ASSETS == reason(born(1001))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"name": st.text(max_size=5)},
            optional={
                "alias": st.integers(0, 2**64 - 1),
                "timestamp": st.integers(0, 2**64 - 1),
                "datatype": st.integers(0, 40),
                "is_null": st.booleans(),
                "double_value": st.floats(),
                "int_value": st.integers(0, 2**32 - 1),
                "boolean_value": st.booleans(),
            },
        ),
        max_size=5,
    )
)
def test_any_payload_is_read_as_protobuf_reads_it(metrics: list[dict[str, Any]]) -> None:
    """Names, aliases, times and null of our reader against Google's."""
    from edge_lstm.codecs.sparkplug_payload import read_payload

    raw = wire(*metrics, seq=200)
    found, expected = read_payload(raw), PAYLOAD.FromString(raw)

    assert (expected.timestamp, expected.seq) == (found.time_ms, found.seq)
    for ours, theirs in zip(found.metrics, expected.metrics, strict=True):
        alias = theirs.alias if theirs.HasField("alias") else None
        assert (theirs.name, alias, theirs.timestamp) == (ours.name, ours.alias, ours.time_ms)
        assert theirs.datatype == ours.datatype
        if theirs.is_null:
            assert ours.value is None
