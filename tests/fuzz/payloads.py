"""Fuzzing of everything that a message can be: formats, topics, mutations that keep most of the structure.

``python -m tests.fuzz.payloads COUNT SEED`` feeds COUNT payloads to one long-lived input of
every kind and prints what became of them. Whatever comes over the wire must become finite
readings or rejects; no call may take longer than 50 ms or keep memory.
"""

from __future__ import annotations

import gc
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cbor2

from edge_lstm.codecs import Codec, Decoded, Envelope
from edge_lstm.codecs.protowire import bytes_field, varint_field
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject
from edge_lstm.routing import Router
from edge_lstm.times import NS

__all__ = ["Outcome", "main"]

LIMIT_S = 0.050
MAX_BYTES = 65_536  # the default of mqtt.max_payload_bytes: the engine lets no longer one pass
NOW_NS = 1_772_366_400 * NS

INPUTS = (
    InputConfig(topic="json/{asset}"),
    InputConfig(
        topic="timed/{asset}", time_field="t", seq_field="n", channels={"p": "pressure", "flow": "p"}
    ),
    InputConfig(
        topic="nested",
        asset_field="who",
        time_field="meta.t",
        values_field="v",
        schema_field="s",
        schemas=("1",),
    ),
    InputConfig(topic="short", asset_field="who", time_field="t", values_field="v"),
    InputConfig(topic="value/{asset}/{channel}", format="value"),
    InputConfig(topic="object/{asset}/{channel}", format="value", value_field="v", time_field="t"),
    InputConfig(topic="cbor/{asset}", format="cbor", time_field="t", seq_field="n"),
    InputConfig(topic="senml/{asset}", format="senml", max_ahead_s=0),
    InputConfig(topic="influx/{asset}", format="influx"),
    InputConfig(topic="tagged", format="influx", asset_field="who", time_format="ms"),
    InputConfig(topic="spBv1.0/plant/#", format="sparkplug"),
)


@dataclass
class Outcome:
    """What a run found.

    Attributes:
        readings: Good readings.
        rejects: By reason.
        wishes: Rebirths that were asked for.
        slowest_s: The longest call, processor time in seconds.
        kept_blocks: Blocks of memory at the end beyond those in the middle.
        faults: One line each; empty when all went well.
    """

    readings: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    wishes: int = 0
    slowest_s: float = 0.0
    kept_blocks: int = 0
    faults: list[str] = field(default_factory=list)


def main(count: int, seed: int) -> Outcome:
    """Feed ``count`` payloads, the same for the same seed.

    Args:
        count: Payloads.
        seed: Of the generator.
    """
    source = random.Random(seed)  # noqa: S311 - the same inputs for the same seed, no secrets
    router, outcome = Router(INPUTS), Outcome()
    half, before = count // 2, 0
    for number in range(count):
        topic, payload = _message(source)
        _feed(router, topic, payload, number, outcome)
        if number == half:
            before = _blocks()
    outcome.kept_blocks = _blocks() - before
    for raw in router.dump().values():
        if len(raw) > 8 * 2**20:
            outcome.faults.append(f"a state of {len(raw)} bytes")
    return outcome


def _blocks() -> int:
    """Blocks of memory that Python has given out."""
    gc.collect()
    return sys.getallocatedblocks()


def _feed(router: Router, topic: str, payload: bytes, number: int, outcome: Outcome) -> None:
    route = router.route(topic)
    if isinstance(route, str):
        outcome.rejects["bad_topic"] += 1
        return
    envelope = Envelope(route.asset, route.channel, NOW_NS + number * 50_000_000, number % 17 == 0, topic)
    began = time.process_time()
    try:
        decoded = route.codec.decode(payload, envelope)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
        outcome.faults.append(f"{type(error).__name__}: {error} from {payload[:200]!r} on {topic!r}")
        return
    took = time.process_time() - began
    if took > LIMIT_S and _again(route.codec, payload, envelope) > LIMIT_S:
        outcome.faults.append(f"{took * 1e3:.0f} ms for {payload[:200]!r} on {topic!r}")
    outcome.slowest_s = max(outcome.slowest_s, took)
    _judge(decoded, payload, outcome)


def _again(codec: Codec, payload: bytes, envelope: Envelope) -> float:
    """Another measurement: a collection of garbage may have fallen into the first one."""
    gc.collect()
    began = time.process_time()
    codec.decode(payload, envelope)
    return time.process_time() - began


def _judge(decoded: Decoded, payload: bytes, outcome: Outcome) -> None:
    if not decoded.items or len(decoded.items) > 1_001:
        outcome.faults.append(f"{len(decoded.items)} items from {payload[:200]!r}")
    for item in decoded.items:
        if isinstance(item, Reading) and _is_good(item):
            outcome.readings += 1
        elif isinstance(item, Reject) and len(item.detail) <= 300:
            outcome.rejects[item.reason.value] += 1
        else:
            outcome.faults.append(f"{repr(item)[:300]} from {payload[:200]!r}")
    outcome.wishes += len(decoded.wishes)
    if any(len(wish.payload) > 100 for wish in decoded.wishes):
        outcome.faults.append(f"wishes {decoded.wishes!r}")


def _is_good(reading: Reading) -> bool:
    return (
        type(reading.time_ns) is int
        and -(2**63) < reading.time_ns < 2**63
        and 0 < len(reading.asset) <= 200
        and (reading.seq is None or (type(reading.seq) is int and 0 <= reading.seq < 2**63))
        and all(
            type(name) is str and (value is None or (type(value) is float and math.isfinite(value)))
            for name, value in reading.values.items()
        )
    )


# ------------------------------------------------------------------------------- what is fed


def _message(source: random.Random) -> tuple[str, bytes]:
    """A topic and a payload: right, nearly right, of another format, or noise."""
    name, make = source.choice(tuple(MAKERS.items()))
    topic = source.choice(TOPICS[name])
    payload = make(source)
    dice = source.random()
    if dice < 0.05:
        topic = source.choice(source.choice(tuple(TOPICS.values())))
    for _ in range(source.choice((0, 0, 0, 0, 1, 1, 2, 5))):
        payload = source.choice(MUTATIONS)(source, payload)
    return topic, payload[:MAX_BYTES]


def _scalar(source: random.Random) -> Any:  # noqa: ANN401 - any data
    return source.choice(SCALARS)


def _mostly(source: random.Random, usual: Any, others: tuple[Any, ...]) -> Any:  # noqa: ANN401 - any data
    return usual if source.random() < 0.8 else source.choice(others)


def _key(source: random.Random) -> str:
    return source.choice(KEYS) if source.random() < 0.97 else source.choice(ODD_KEYS)


def _value(source: random.Random) -> Any:  # noqa: ANN401 - any data
    """Mostly a number, as in the field."""
    return round(source.gauss(10, 5), 3) if source.random() < 0.8 else _scalar(source)


def _tree(source: random.Random, depth: int) -> Any:  # noqa: ANN401 - any data
    dice = source.random()
    if depth <= 0 or dice < 0.4:
        return _scalar(source)
    if dice < 0.7:
        return {source.choice(KEYS): _tree(source, depth - 1) for _ in range(source.randrange(5))}
    return [_tree(source, depth - 1) for _ in range(source.randrange(5))]


def _frame(source: random.Random) -> dict[str, Any]:
    values = {_key(source): _value(source) for _ in range(source.randrange(1, 6))}
    frame: dict[str, Any] = {"t": _moment(source), "n": _mostly(source, 7, (3.0, -1, "x", 2**63)), **values}
    frame |= {
        "who": source.choice(("pump", "a/b", "", 17)),
        "s": source.choice((1, "1", 2)),
        "v": dict(values),
    }
    if source.random() < 0.6:
        frame["meta"] = {"t": _moment(source)}
    if source.random() < 0.05:
        frame[source.choice(KEYS)] = _tree(source, source.choice((2, 5, 20)))
    return frame


def _moment(source: random.Random) -> Any:  # noqa: ANN401 - any data
    return _scalar(source) if source.random() < 0.05 else source.choice(MOMENTS)


def _frames(source: random.Random) -> Any:  # noqa: ANN401 - any data
    if source.random() < 0.7:
        return _frame(source)
    return [
        _frame(source)
        for _ in range(source.choice((0, 1, 3, 30, 1200) if source.random() < 0.05 else (1, 3)))
    ]


def _json(source: random.Random) -> bytes:
    return json.dumps(_frames(source), ensure_ascii=source.random() < 0.5).encode("utf-8", "surrogatepass")


def _cbor(source: random.Random) -> bytes:
    return _cbor_of(source, _frames(source))


def _cbor_of(source: random.Random, value: Any) -> bytes:  # noqa: ANN401 - any data
    return cbor2.dumps(
        _speakable(value), canonical=source.random() < 0.3, indefinite_containers=source.random() < 0.3
    )


def _speakable(value: Any) -> Any:  # noqa: ANN401 - any data
    """Without the lone surrogates that a CBOR text cannot have."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_speakable(key): _speakable(one) for key, one in value.items()}
    return [_speakable(one) for one in value] if isinstance(value, list) else value


def _plain(source: random.Random) -> bytes:
    return str(_value(source)).encode("utf-8", "replace")


def _object(source: random.Random) -> bytes:
    return json.dumps({"v": _value(source), "t": _moment(source)}).encode()


def _pack(source: random.Random) -> list[Any]:
    labels = (
        "n",
        "u",
        "v",
        "vs",
        "vb",
        "s",
        "t",
        "ut",
        "vd",
        "bver",
        "bn",
        "bt",
        "bu",
        "bv",
        "bs",
        "x",
        "x_",
    )
    pack: list[Any] = [{"bn": "urn:dev:1:", "bt": 1772366400, "n": "flow", "v": _value(source)}]
    for _ in range(source.randrange(5)):
        record: dict[str, Any] = {
            "n": source.choice(KEYS),
            "v": _value(source),
            "t": source.choice((0, -1, 60, 2**28)),
        }
        if source.random() < 0.2:
            record[source.choice(labels)] = _scalar(source)
        pack.append(record)
    return pack


def _senml(source: random.Random) -> bytes:
    pack = _pack(source)
    if source.random() < 0.5:
        return json.dumps(pack).encode("utf-8", "surrogatepass")
    numbers = {
        "n": 0,
        "u": 1,
        "v": 2,
        "vs": 3,
        "vb": 4,
        "s": 5,
        "t": 6,
        "bver": -1,
        "bn": -2,
        "bt": -3,
        "bv": -5,
    }
    return _cbor_of(source, [{numbers.get(key, key): value for key, value in one.items()} for one in pack])


def _influx(source: random.Random) -> bytes:
    lines = []
    for number in range(source.choice((1, 1, 2, 5, 1100) if source.random() < 0.02 else (1, 2))):
        fields = ",".join(
            f"{_key(source) or 'k'}={_mostly(source, '1.5', INFLUX)}" for _ in range(source.randrange(1, 6))
        )
        tags = _mostly(source, ",who=pump", ("", r",who=pump\ 1,site=x", ",who=a/b", ",who="))
        when = source.choice(("", f" {NOW_NS - number}", " 1772366400000", " -5", " 9223372036854775808"))
        lines.append(f"m{tags} {fields}{when}")
    return "\n".join(lines).encode("utf-8", "replace")


def _sparkplug(source: random.Random) -> bytes:
    payload = varint_field(1, source.choice((NOW_NS // 1_000_000, 0, 2**63, 2**64 - 1)))
    payload += varint_field(3, source.choice((0, 1, 2, 3, 255, 256)))
    for _ in range(source.randrange(6)):
        payload += bytes_field(2, _metric(source))
    return payload


def _metric(source: random.Random) -> bytes:
    metric = b""
    if source.random() < 0.6:
        metric += bytes_field(
            1, source.choice((*KEYS, *ODD_KEYS, "bdSeq", "Node Control/Rebirth")).encode("utf-8", "replace")
        )
    if source.random() < 0.7:
        metric += varint_field(2, source.randrange(8))
    if source.random() < 0.3:
        metric += varint_field(3, source.choice((NOW_NS // 1_000_000, 1, 2**64 - 1)))
    metric += varint_field(4, source.randrange(14))
    kind = source.randrange(5)
    if kind == 0:
        metric += varint_field(source.choice((10, 11, 14, 7)), source.choice((0, 1, 2**31, 2**64 - 1)))
    elif kind == 1:
        metric += b"\x69" + source.randbytes(8)
    elif kind == 2:
        metric += b"\x65" + source.randbytes(4)
    elif kind == 3:
        quality = varint_field(1, 3) + varint_field(3, source.choice((0, 192, 500)))
        metric += bytes_field(9, bytes_field(1, b"Quality") + bytes_field(2, quality))
    return metric


KEYS = ("flow", "p", "pressure", "speed", "a.b", "flow", "p")
ODD_KEYS = ("", "t", "n", 'é"\\', "x" * 300, "\ud800", "who", "v")
MOMENTS = (1772366400, 1772366400.25, 1772366400250, NOW_NS, "2026-03-01T12:00:00Z", "2026-03-01 13:00+01:00")
SCALARS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    -0.0,
    2**53 + 1,
    2**64 - 1,
    10**400,
    "",
    "12.5",
    "nan",
    "x" * 1000,
    "\x00",
    [],
    {},
    [[]],
    "2026-03-01T12:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    1e-320,
)
INFLUX = (
    "1",
    "1i",
    "2u",
    "-1.5e3",
    "t",
    "FALSE",
    '"text"',
    r'"a\"b"',
    "nan",
    "1e999",
    "9223372036854775808i",
    "",
)
MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "json": _json,
    "cbor": _cbor,
    "value": _plain,
    "object": _object,
    "senml": _senml,
    "influx": _influx,
    "sparkplug": _sparkplug,
}
_SPARKPLUG = tuple(
    f"spBv1.0/plant/{kind}/node-{node}" + ("" if kind[0] == "N" else f"/dev-{device}")
    for kind in ("NBIRTH", "NDATA", "NDEATH", "NCMD", "DBIRTH", "DDATA", "DDATA", "DDEATH", "DCMD")
    for node in range(3)
    for device in range(3)
)
TOPICS: dict[str, tuple[str, ...]] = {
    "json": (
        "json/pump",
        "timed/pump",
        "timed/pump-2",
        "nested",
        "short",
        "json/",
        "json/a b ",
        "json/" + "x" * 300,
    ),
    "cbor": ("cbor/pump", "cbor/pump-2"),
    "value": ("value/pump/flow", "value/pump/"),
    "object": ("object/pump/flow", "object/pump/p"),
    "senml": ("senml/pump",),
    "influx": ("influx/pump", "tagged"),
    "sparkplug": (
        *_SPARKPLUG,
        "spBv1.0/plant",
        "spBv1.0/plant/XDATA/a",
        "spBv1.0/plant/DDATA/a//",
        "\ufffd/+/#",
    ),
}


# ------------------------------------------------------------------------------- how it is bent


def _flip(source: random.Random, payload: bytes) -> bytes:
    at = source.randrange(len(payload) + 1)
    return payload[:at] + bytes([source.randrange(256)]) + payload[at + 1 :]


def _cut(source: random.Random, payload: bytes) -> bytes:
    return payload[: source.randrange(len(payload) + 1)]


def _insert(source: random.Random, payload: bytes) -> bytes:
    at = source.randrange(len(payload) + 1)
    return payload[:at] + source.choice(TOKENS) + payload[at:]


def _repeat(source: random.Random, payload: bytes) -> bytes:
    """A piece many times: depth, endless lists, keys given twice."""
    at = source.randrange(len(payload) + 1)
    piece = payload[at : at + source.choice((1, 2, 8, 40))]
    times = source.choice((2, 3, 20, 20_000)) if source.random() < 0.1 else 2
    return (payload[:at] + piece * times + payload[at:])[:MAX_BYTES]


def _swap(source: random.Random, payload: bytes) -> bytes:
    at = source.randrange(len(payload) + 1)
    return payload[at:] + payload[:at]


def _noise(source: random.Random, payload: bytes) -> bytes:  # noqa: ARG001 - one of the mutations
    return source.randbytes(source.choice((0, 1, 2, 9, 100)))


MUTATIONS = (_flip, _flip, _flip, _cut, _insert, _insert, _repeat, _swap, _noise)
TOKENS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b",",
    b":",
    b"NaN",
    b"1e999",
    b"-",
    b"9" * 5000,
    b"\xef\xbb\xbf",
    b"\x00",
    b"\xff",
    b"\xc1",
    b"\xd8\x1c",
    b"\xd8\x23",
    b"\x9f",
    b"\xbf",
    b"\x5b" + b"\xff" * 8,
    b"\x9b" + b"\x7f" * 8,
    b"\xfb\x7f\xf8\0\0\0\0\0\0",
    b"\xc4\x82\x1a\xff\xff\xff\xff\x01",
    b"\n",
    b" ",
    b"=",
    b"#",
    b"\\u0000",
    b"\\ud800",
    b'"a":1,"a":2,',
    b"\x12\xff\xff\xff\xff\x0f",
    b"\x80" * 11,
    b"\x0b",
    b"_",
    b"[" * 400,
    b"\x81" * 400,
    b'{"a":' * 90,
)


if __name__ == "__main__":
    found = main(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(f"{found}\n")
    sys.exit(1 if found.faults else 0)
