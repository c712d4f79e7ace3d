"""What one message can cost: the memory of payloads made to take as much as they can."""

from __future__ import annotations

import tracemalloc
from typing import Any

import cbor2
import pytest

from edge_lstm.codecs import Envelope, make_codec
from edge_lstm.codecs.protowire import bytes_field, varint_field
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, RejectReason

SIZE = 65_536  # the default of mqtt.max_payload_bytes
NOW = 1_772_366_400 * 10**9
SENML: dict[str, Any] = {"format": "senml"}
CBOR: dict[str, Any] = {"format": "cbor"}
INFLUX: dict[str, Any] = {"format": "influx"}
SPARKPLUG: dict[str, Any] = {"format": "sparkplug"}


def made(asset: str, time_ns: int, values: dict[str, float | None], seq: int | None = None) -> Reading:
    """A reading that arrived now."""
    return Reading(asset, time_ns, values, seq, NOW)


def repeated(start: bytes, piece: bytes, end: bytes = b"") -> bytes:
    """A payload of nearly the greatest size."""
    return start + piece * ((SIZE - len(start) - len(end)) // len(piece)) + end


@pytest.mark.parametrize(
    ("source", "payload"),
    [
        pytest.param({}, repeated(b'{"a":[', b"[],", b"1]}"), id="json-lists"),
        pytest.param({}, repeated(b'{"a":[', b'"ab",', b"1]}"), id="json-texts"),
        pytest.param({}, repeated(b'{"a":[', b"1.5,", b"1]}"), id="json-numbers"),
        pytest.param({}, repeated(b'{"a":', b"9" * 4000 + b',"b":', b"1}"), id="json-digits"),
        pytest.param({}, b"{" + b",".join(b'"%d":1' % n for n in range(7_000)) + b"}", id="json-members"),
        pytest.param({}, repeated(b"", b"["), id="json-deep"),
        pytest.param({}, repeated(b'{"a":"', b'\\":', b'"}'), id="json-false-twins"),
        pytest.param({"time_field": "t"}, repeated(b"[", b'{"t":1},', b'{"t":1}]'), id="json-frames"),
        pytest.param(CBOR, repeated(b"\x9f", b"\x80", b"\xff"), id="cbor-lists"),
        pytest.param(CBOR, repeated(b"\x9f", b"\xa0", b"\xff"), id="cbor-maps"),
        pytest.param(CBOR, repeated(b"\x9f", b"\x62ab", b"\xff"), id="cbor-texts"),
        pytest.param(CBOR, repeated(b"\x5f", b"\x41a", b"\xff"), id="cbor-pieces"),
        pytest.param(CBOR, b"\x9a\xff\xff\xff\xff" + b"\x01" * 1000, id="cbor-promise"),
        pytest.param(SENML, repeated(b"[", b"{},", b"{}]"), id="senml-empty"),
        pytest.param(SENML, repeated(b"[", b'{"n":"a","v":1},', b'{"n":"a","v":1}]'), id="senml-records"),
        pytest.param(SENML, cbor2.dumps([{0: "a", 2: 1, 6: -n} for n in range(6000)]), id="senml-times"),
        pytest.param(INFLUX, repeated(b"m ", b"a=1,", b"a=1"), id="influx-fields"),
        pytest.param(INFLUX, repeated(b"", b"m a=1\n"), id="influx-lines"),
        pytest.param(INFLUX, repeated(b"m", b",a=b", b" a=1"), id="influx-tags"),
        pytest.param(
            {**INFLUX, "asset_field": "a"}, repeated(b"m", b",b=b", b" a=1"), id="influx-other-tags"
        ),
        pytest.param(INFLUX, repeated(b"", b"\n #"), id="influx-nothing"),
        pytest.param(SPARKPLUG, repeated(b"", b"\x12\x00"), id="sparkplug-metrics"),
        pytest.param(SPARKPLUG, repeated(b"", b"\x30\x00"), id="sparkplug-unknown"),
        pytest.param(
            SPARKPLUG,
            b"".join(bytes_field(2, bytes_field(1, b"%d" % n) + varint_field(2, n)) for n in range(6_000)),
            id="sparkplug-births",
        ),
        pytest.param(
            SPARKPLUG, bytes_field(2, bytes_field(9, repeated(b"", b"\x0a\x00")[:-20])), id="sparkplug-keys"
        ),
    ],
)
def test_worst_payloads_stay_within_forty_times_their_size(source: dict[str, Any], payload: bytes) -> None:
    """At any moment of the reading; and whatever it is, it is something."""
    codec = make_codec(InputConfig(topic="t", **source))
    topic = "spBv1.0/plant/NBIRTH/line-4" if source == SPARKPLUG else "t"
    envelope = Envelope("pump", "", NOW, False, topic)
    assert len(payload) <= SIZE
    tracemalloc.start()
    try:
        decoded = codec.decode(payload, envelope)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert decoded.items
    assert peak < 40 * SIZE


def test_greatest_message_that_is_read() -> None:
    """A thousand frames of sixteen values: the caps are above what anybody sends."""
    frames = [{"t": 1_772_366_400 + n, **{f"c{c}": c for c in range(14)}} for n in range(1_000)]
    codec = make_codec(InputConfig(topic="t", time_field="t", format="cbor"))
    items = codec.decode(cbor2.dumps(frames), Envelope("pump", "", NOW, False)).items

    assert 1_000 == sum(isinstance(item, Reading) for item in items)


@pytest.mark.parametrize(("digits", "expected"), [(4_300, None), (4_301, RejectReason.UNDECODABLE)])
def test_digits_of_a_whole_number(digits: int, expected: RejectReason | None) -> None:
    """Python's own limit, above which reading a number takes ever longer."""
    (item,) = (
        make_codec(InputConfig(topic="t"))
        .decode(b'{"a": ' + b"9" * digits + b"}", Envelope("pump", "", NOW, False))
        .items
    )

    assert (made("pump", NOW, {"a": None}) == item) if expected is None else (item.reason == expected)  # type: ignore[union-attr]
