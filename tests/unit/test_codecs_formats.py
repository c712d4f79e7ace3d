"""CBOR, SenML and line protocol to readings, on the examples of their own specifications."""

from __future__ import annotations

import json
import math
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.codecs import Decoded, Envelope, make_codec
from edge_lstm.codecs.cbor_data import decode_cbor
from edge_lstm.codecs.fields import Moment
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.times import NS, parse_time

NOW = parse_time("2026-03-01T12:00:00Z")
R = RejectReason


def made(asset: str, time_ns: int, values: dict[str, float | None], seq: int | None = None) -> Reading:
    """A reading that arrived now."""
    return Reading(asset, time_ns, values, seq, NOW)


def decode(payload: bytes | str, *, retained: bool = False, asset: str = "pump", **source: Any) -> Decoded:  # noqa: ANN401
    """One payload through the codec of one input."""
    raw = payload if isinstance(payload, bytes) else payload.encode()
    codec = make_codec(InputConfig(topic="t", **source))
    return codec.decode(raw, Envelope("" if "asset_field" in source else asset, "", NOW, retained))


def readings(payload: bytes | str, **source: Any) -> list[Reading]:  # noqa: ANN401
    """Readings of a payload of which everything must be readable."""
    found = []
    for item in decode(payload, **source).items:
        assert isinstance(item, Reading), item
        found.append(item)
    return found


def reason(payload: bytes | str, **source: Any) -> RejectReason:  # noqa: ANN401
    """Why a payload was turned away."""
    (item,) = decode(payload, **source).items
    assert isinstance(item, Reject), item
    assert 0 < len(item.detail) <= 300
    return item.reason


# ------------------------------------------------------------------------------- frames of JSON and CBOR

FRAMES = ("json", "cbor")


def written(value: Any, form: str) -> bytes:  # noqa: ANN401
    """The same data in one of the two."""
    return json.dumps(value).encode() if form == "json" else cbor2.dumps(value)


@pytest.mark.parametrize("form", FRAMES)
@pytest.mark.parametrize("values_field", [None, "v"])
@pytest.mark.parametrize("extra", [{}, {"unit": "bar"}])
@pytest.mark.parametrize("time", [1772366400.25, "2026-03-01T12:00:00.250Z"])
def test_frame_with_everything(form: str, values_field: str | None, extra: dict[str, Any], time: Any) -> None:  # noqa: ANN401
    """Time, asset, count and version are no channels; the short way and the long way agree."""
    values = {"flow": 12.5, "p": 3, "x": None, "pressure": 9}
    head = {"t": time, "who": "pump-1", "n": 17, "version": 2}
    body = {**head, **extra, **(values if values_field is None else {"v": values})}
    source: dict[str, Any] = {
        "time_field": "t",
        "asset_field": "who",
        "seq_field": "n",
        "schema_field": "version",
        "schemas": ("2", "2.1"),
        "channels": {"p": "pressure"},
    }
    (reading,) = readings(written(body, form), format=form, values_field=values_field, **source)

    expected: dict[str, float | None] = {"flow": 12.5, "pressure": 3.0, "x": None}
    if extra and values_field is None:
        expected["unit"] = None
    assert made("pump-1", NOW + NS // 4, expected, 17) == reading


@pytest.mark.parametrize("form", FRAMES)
@pytest.mark.parametrize("more", [{}, {"on": True}])
def test_list_of_frames(form: str, more: dict[str, Any]) -> None:
    """One message with several readings, in the order that it has them; one bad frame spoils no other."""
    frames = [{"t": 1772366400 + n, "a": n, **more} for n in range(3)]
    found = readings(written(frames, form), format=form, time_field="t")
    assert [(NOW + n * NS, float(n)) for n in range(3)] == [(one.time_ns, one.values["a"]) for one in found]

    frames[1]["t"] = "never"
    items = decode(written(frames, form), format=form, time_field="t").items
    assert [Reading, Reject, Reading] == [type(item) for item in items]


@pytest.mark.parametrize("form", FRAMES)
@pytest.mark.parametrize(
    ("body", "source", "expected"),
    [
        ([], {}, R.UNDECODABLE),
        ([{"a": 1}, {"a": 2}], {}, R.UNDECODABLE),
        ([{"t": n} for n in range(1001)], {"time_field": "t"}, R.TOO_LARGE),
        ({f"c{n}": n for n in range(4097)}, {}, R.TOO_LARGE),
        ({f"c{n}": True for n in range(4097)}, {}, R.TOO_LARGE),
        ({"a": 1}, {"asset_field": "who"}, R.BAD_ASSET),
        ({"who": None, "a": 1}, {"asset_field": "who"}, R.BAD_ASSET),
        ({"who": "a/b", "a": 1}, {"asset_field": "who"}, R.BAD_ASSET),
        ({"who": 1.5, "a": 1}, {"asset_field": "who"}, R.BAD_ASSET),
        ({"a": 1}, {"schema_field": "s", "schemas": ("1",)}, R.SCHEMA_UNSUPPORTED),
        ({"s": 2, "a": 1}, {"schema_field": "s", "schemas": ("1",)}, R.SCHEMA_UNSUPPORTED),
        ({"s": True, "a": 1}, {"schema_field": "s", "schemas": ("1",)}, R.SCHEMA_UNSUPPORTED),
        ({"n": -1, "a": 1}, {"seq_field": "n"}, R.UNDECODABLE),
        ({"n": 1.5, "a": 1}, {"seq_field": "n"}, R.UNDECODABLE),
        ({"n": "1", "a": 1}, {"seq_field": "n"}, R.UNDECODABLE),
        ({"n": True, "a": 1}, {"seq_field": "n"}, R.UNDECODABLE),
        ({"n": 2**63, "a": 1}, {"seq_field": "n"}, R.UNDECODABLE),
        ({"a": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}, {}, R.UNDECODABLE),
        ({"a": [[]] * 40_000}, {}, R.TOO_LARGE),
    ],
)
def test_frame_refused(form: str, body: Any, source: dict[str, Any], expected: RejectReason) -> None:  # noqa: ANN401
    """Each for its own reason."""
    assert expected == reason(written(body, form), format=form, **source)


@pytest.mark.parametrize("form", FRAMES)
@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, 0), (5.0, 5), (2**53 + 1, 2**53 + 1), (2**63 - 1, 2**63 - 1), (None, None)],
)
def test_frame_count(form: str, count: Any, expected: int | None) -> None:  # noqa: ANN401
    """Whole numbers, exact to the last digit; null is none."""
    (reading,) = readings(written({"n": count, "a": 1}, form), format=form, seq_field="n")

    assert made("pump", NOW, {"a": 1.0}, expected) == reading


@pytest.mark.parametrize("form", FRAMES)
def test_frame_time_in_nanoseconds_is_exact(form: str) -> None:
    """A double has no room for them."""
    (reading,) = readings(written({"t": NOW + 1, "a": 1}, form), format=form, time_field="t")

    assert NOW + 1 == reading.time_ns


@pytest.mark.parametrize(("name", "expected"), [(17, "17"), (17.0, "17"), ("17", "17")])
def test_frame_asset_that_is_a_number(name: Any, expected: str) -> None:  # noqa: ANN401
    """Its digits are its name, both ways."""
    for more in ({}, {"on": True}):
        (reading,) = readings(json.dumps({"who": name, **more}), asset_field="who")
        assert expected == reading.asset


PLAIN = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70))
TIMES = st.one_of(
    st.floats(-1e10, 1e10),
    st.integers(0, 2**62),
    st.sampled_from(
        ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.5Z", "1e9", "soon", "2262-01-01T00:00:00Z"]
    ),
    st.none(),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "t": TIMES,
            "n": st.one_of(st.integers(-5, 2**64), st.floats(0, 9)),
            "who": st.one_of(st.sampled_from(["pump", "a/b", '\u00e9"', ""]), st.integers(0, 9)),
            "s": st.sampled_from([1, "1", 2, None]),
            "a": PLAIN,
            "b": PLAIN,
            'c\\"': PLAIN,
        },
    ),
    st.booleans(),
    st.sampled_from([None, "t"]),
    st.sampled_from([None, "n"]),
    st.sampled_from([None, "who"]),
    st.sampled_from([None, "s"]),
)
def test_short_way_is_the_long_way(
    body: dict[str, Any],
    escaped: bool,  # noqa: FBT001 - drawn, not passed
    time_field: str | None,
    seq_field: str | None,
    asset_field: str | None,
    schema_field: str | None,
) -> None:
    """What the short way reads is what the long way reads; this holds for every frame."""
    source = InputConfig(
        topic="t",
        time_field=time_field,
        seq_field=seq_field,
        asset_field=asset_field,
        schema_field=schema_field,
        schemas=("1",) if schema_field else (),
    )
    raw = json.dumps(body, ensure_ascii=escaped).encode()
    codec: Any = make_codec(source)
    envelope = Envelope("pump", "", NOW, False)

    assert codec._long(raw, envelope) == codec.decode(raw, envelope)


# ------------------------------------------------------------------------------- CBOR itself

SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=30),
)
DATA = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=30),
        st.dictionaries(st.one_of(st.text(max_size=9), st.integers(-30, 300)), inner, max_size=30),
    ),
    max_leaves=20,
)


@given(DATA, st.booleans(), st.booleans())
def test_cbor_is_what_another_program_wrote(value: Any, canonical: bool, indefinite: bool) -> None:  # noqa: ANN401, FBT001
    """Every width of numbers, floats and lengths, definite or not."""
    raw = cbor2.dumps(value, canonical=canonical, indefinite_containers=indefinite)

    assert repr(cbor2.loads(raw)) == repr(decode_cbor(raw))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("c074323031332d30332d32315432303a30343a30305a", Moment(1363896240 * NS)),
        ("c11a514b67b0", Moment(1363896240 * NS)),
        ("c1fb41d452d9ec200000", Moment(1363896240 * NS + NS // 2)),
        ("f7", None),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("f93e00", 1.5),
        ("fa47c35000", 100000.0),
        ("3bffffffffffffffff", -18446744073709551616),
    ],
)
def test_cbor_examples_of_the_rfc(raw: str, expected: Any) -> None:  # noqa: ANN401
    """RFC 8949, appendix A."""
    assert expected == decode_cbor(bytes.fromhex(raw))


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "ff",
        "1c",
        "1f",
        "18",
        "61ff",
        "6261",
        "5bffffffffffffffff",
        "9bffffffffffffffff",
        "9affffffff00",
        "bbffffffffffffffff",
        "9f",
        "8201",
        "82ff01",
        "a1",
        "a101",
        "a1f60102",
        "a18001",
        "a1f501",
        "a2616101616102",
        "a10102ff",
        "bf01ff",
        "5f6161ff",
        "5f5f4101ffff",
        "0102",
        "e0",
        "f818",
        "c249010000000000000000",
        "c482010a",
        "d81c81d81d00",
        "d823626162",
        "d9d9f701",
        "c06161",
        "c001",
        "c1f5",
        "c1fb7ff0000000000000",
        "c1ff",
        "dbffffffffffffffff01",
        "df01",
    ],
)
def test_cbor_refused(raw: str) -> None:
    """What ends too early, what has no meaning, and every tag but those of times."""
    with pytest.raises(ValueError, match=r"\w"):
        decode_cbor(bytes.fromhex(raw))


@pytest.mark.parametrize(
    "raw", [b"\x81" * 5000, b"\xa1\x01" * 5000, b"\xc1" * 50 + b"\x01", b"\x9f" * 60_000]
)
def test_cbor_deep(raw: bytes) -> None:
    """Sixteen deep is enough for anybody."""
    with pytest.raises(ValueError, match="deep"):
        decode_cbor(raw)
    assert decode_cbor(b"\x81" * 16 + b"\x01")


def test_cbor_decimal_fractions_only_where_asked_for() -> None:
    """Tag 4 is for SenML; a power that takes minutes to write out is refused."""
    assert 273.15 == decode_cbor(bytes.fromhex("c48221196ab3"), decimals=True)
    for value in ([2**40, 1], [1], [1, "2"], [1.0, 2], "12"):
        with pytest.raises(ValueError, match="tag 4"):
            decode_cbor(b"\xc4" + cbor2.dumps(value), decimals=True)


def test_cbor_frame_of_tagged_time() -> None:
    """Tags say the form, whatever time_format says; NaN is no value."""
    for time in (cbor2.CBORTag(1, 1772366400), cbor2.CBORTag(0, "2026-03-01T12:00:00Z")):
        raw = cbor2.dumps({"t": time, "a": 1, "b": math.nan, "c": b"x"})
        decoded = decode(raw, format="cbor", time_field="t", time_format="ms")
        assert Decoded((made("pump", NOW, {"a": 1.0, "b": None, "c": None}),), ("b", "c")) == decoded


def test_cbor_numbers_as_keys_are_no_channels() -> None:
    """A frame has names."""
    assert R.UNDECODABLE == reason(cbor2.dumps({1: 2.0}), format="cbor")


# ------------------------------------------------------------------------------- SenML

_LABEL = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6}
_LABEL |= {"n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8}


def packs(records: list[dict[str, Any]]) -> list[bytes]:
    """A pack in JSON, and in CBOR with integers and with names for labels."""
    numbered = [{_LABEL.get(key, key): value for key, value in one.items()} for one in records]
    return [json.dumps(records).encode(), cbor2.dumps(numbered), cbor2.dumps(records)]


def senml(records: list[dict[str, Any]], **source: Any) -> list[tuple[float, dict[str, float | None]]]:  # noqa: ANN401
    """Seconds since 1970 and values of each reading, the same in all forms."""
    found = [readings(raw, format="senml", max_ahead_s=0, **source) for raw in packs(records)]
    assert found[0] == found[1] == found[2]
    return [(one.time_ns / NS, one.values) for one in found[0]]


def senml_reason(records: Any, **source: Any) -> RejectReason:  # noqa: ANN401
    """Why a pack was turned away, in both forms."""
    first, *others = [
        reason(raw, format="senml", **source) for raw in (json.dumps(records), cbor2.dumps(records))
    ]
    assert others == [first]
    return first


SECONDS = NOW / NS


def test_senml_single_datapoint() -> None:
    """RFC 8428, section 5.1.1: a name without a base name, now."""
    records: list[dict[str, Any]] = [{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}]

    assert [(SECONDS, {"urn:dev:ow:10e2073a01080063": 23.1})] == senml(records)
    assert [(SECONDS, {"t": 23.1})] == senml(records, channels={"urn:dev:ow:10e2073a01080063": "t"})


def test_senml_multiple_datapoints() -> None:
    """Section 5.1.2, first example: the base name is not part of the channel, unless it is mapped."""
    records: list[dict[str, Any]] = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "u": "A", "v": 1.2},
    ]

    assert [(SECONDS, {"voltage": 120.1, "current": 1.2})] == senml(records)
    mapped = {"urn:dev:ow:10e2073a01080063:voltage": "u", "current": "i"}
    assert [(SECONDS, {"u": 120.1, "i": 1.2})] == senml(records, channels=mapped)


def test_senml_times_before_the_base_time() -> None:
    """Section 5.1.2, second example: readings in order of time, though the pack begins with the last one."""
    base = {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e9, "bu": "A", "bver": 5}
    records: list[dict[str, Any]] = [
        {**base, "n": "voltage", "u": "V", "v": 120.1},
        *({"n": "current", "t": -5 + n, "v": value} for n, value in enumerate((1.2, 1.3, 1.4, 1.5, 1.6))),
        {"n": "current", "v": 1.7},
    ]

    found = senml(records)
    expected: list[dict[str, float | None]] = [{"current": v} for v in (1.2, 1.3, 1.4, 1.5, 1.6)]
    assert [*expected, {"voltage": 120.1, "current": 1.7}] == [values for _, values in found]
    assert [1276020071.001 + n for n in range(6)] == pytest.approx([time for time, _ in found], abs=1e-6)


def test_senml_parameters_beside_measurements() -> None:
    """Section 5.1.3: records of one time are one reading, wherever they stand."""
    records: list[dict[str, Any]] = [
        {"bn": "urn:dev:ow:10e2073a01080063", "bt": 1.320067464e9, "bu": "%RH", "v": 20},
        {"u": "lon", "v": 24.30621},
        {"u": "lat", "v": 60.07965},
        {"t": 60, "v": 20.3},
        {"u": "%EL", "t": 150, "v": 98},
    ]
    name = "urn:dev:ow:10e2073a01080063"

    found = senml(records)
    assert [0, 60, 150] == [round(time - 1320067464) for time, _ in found]
    assert {name: 60.07965} == found[0][1]  # all have the same name: the last one of a time counts


def test_senml_data_types() -> None:
    """Section 5.1.5: truth is 1 and 0; text and data are values that are no numbers."""
    records: list[dict[str, Any]] = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "label", "vs": "Machine Room"},
        {"n": "open", "vb": False},
        {"n": "nfc-reader", "vd": "aGkgCg"},
    ]

    assert [(SECONDS, {"temp": 23.1, "label": None, "open": 0.0, "nfc-reader": None})] == senml(records)
    assert ("label", "nfc-reader") == decode(json.dumps(records), format="senml").odd


def test_senml_collection_of_resources() -> None:
    """Section 5.1.6: a base name holds until the next one, and the base time goes on."""
    records: list[dict[str, Any]] = [
        {"bn": "2001:db8::2/", "bt": 1.320078429e9, "n": "temperature", "u": "Cel", "v": 25.2},
        {"n": "humidity", "u": "%RH", "v": 30},
        {"bn": "2001:db8::1/", "n": "temperature", "u": "Cel", "v": 12.3},
        {"n": "humidity", "u": "%RH", "v": 67},
    ]
    channels = {"2001:db8::1/temperature": "t1", "2001:db8::1/humidity": "h1"}

    expected = {"temperature": 25.2, "humidity": 30.0, "t1": 12.3, "h1": 67.0}
    assert [(1320078429.0, expected)] == senml(records, channels=channels)


def test_senml_base_value_is_added() -> None:
    """Section 4.5.4: to the values that follow, and alone it is the value of a record with a name."""
    records: list[dict[str, Any]] = [
        {"bn": "d:", "bv": 20, "n": "a", "v": 1.5},
        {"n": "b", "v": -1},
        {"n": "c"},
        {"bn": "e:"},
    ]

    assert [(SECONDS, {"a": 21.5, "b": 19.0, "c": 20.0})] == senml(records)


def test_senml_sum_is_no_value() -> None:
    """An energy meter's total beside its power."""
    records = [{"n": "power", "v": 3, "s": 1000.5}, {"n": "total", "s": 7}]

    assert [(SECONDS, {"power": 3.0})] == senml(records)


@pytest.mark.parametrize(
    ("base", "time", "expected"),
    [
        (0, -5, -5.0),
        (0, 2**28 - 1, 2**28 - 1.0),
        (0, 2**28, None),
        (2**28, 0, None),
        (2**28, -1, 2**28 - 1.0),
    ],
)
def test_senml_relative_times(base: float, time: float, expected: float | None) -> None:
    """Section 4.5.3: below 2^28 seconds a resolved time counts from now."""
    (found,) = senml([{"bt": base, "n": "a", "t": time, "v": 1}])

    assert (base + time if expected is None else SECONDS + expected) == found[0]


def test_senml_retained() -> None:
    """Now is unknown then; an absolute time is not."""
    assert R.STALE_RETAINED == reason('[{"n": "a", "v": 1}]', format="senml", retained=True)
    assert readings('[{"n": "a", "v": 1, "t": 1772366400}]', format="senml", retained=True)


def test_senml_unknown_fields() -> None:
    """Section 4.4: ignored, unless the label ends with _ and must be understood."""
    assert [(SECONDS, {"a": 1.0})] == senml([{"n": "a", "v": 1, "ct": "60", "other": [1]}])
    assert R.SCHEMA_UNSUPPORTED == senml_reason([{"n": "a", "v": 1, "ct_": "60"}])
    assert R.SCHEMA_UNSUPPORTED == reason(cbor2.dumps([{0: "a", 2: 1, 40: 1}]), format="senml")


def test_senml_versions() -> None:
    """Section 4.4: a higher version is refused, and all records are of one."""
    assert R.SCHEMA_UNSUPPORTED == senml_reason([{"bver": 11, "n": "a", "v": 1}])
    assert R.UNDECODABLE == senml_reason([{"bver": 5, "n": "a", "v": 1}, {"bver": 10, "n": "a", "v": 1}])
    assert [(SECONDS, {"a": 1.0})] == senml([{"bver": 10, "n": "a", "v": 1}, {"bver": 10, "n": "a", "v": 1}])


@pytest.mark.parametrize(
    "records",
    [
        {},
        [],
        [1],
        [{}],
        [{"v": 1}],
        [{"bn": "x"}],
        [{"n": "a", "v": "1"}],
        [{"n": "a", "v": True}],
        [{"n": "a", "vb": 1}],
        [{"n": 1, "v": 1}],
        [{"n": "a", "v": 1, "vs": "x"}],
        [{"n": "a", "v": 1, "t": "now"}],
        [{"n": "a", "v": None}],
    ],
)
def test_senml_refused(records: Any) -> None:  # noqa: ANN401
    """What is no pack, or has a field of the wrong kind."""
    assert R.UNDECODABLE == senml_reason(records)


def test_senml_times_that_cannot_be() -> None:
    """Out of range, alone or together."""
    assert R.BAD_TIME == senml_reason([{"n": "a", "v": 1, "t": 1e300}])
    assert R.BAD_TIME == senml_reason([{"bt": 9e9, "n": "a", "v": 1, "t": 9e9}], max_ahead_s=0)
    assert R.BAD_TIME == senml_reason([{"bt": 4e9, "n": "a", "v": 1}])


def test_senml_number_beyond_the_doubles() -> None:
    """As in every format: no value."""
    assert [(SECONDS, {"a": None})] == [
        (one.time_ns / NS, one.values)
        for one in readings(f'[{{"bv": 0.5, "n": "a", "v": 1{"0" * 400}}}]', format="senml")
    ]


def test_senml_too_much() -> None:
    """Readings and records are bounded."""
    assert R.TOO_LARGE == senml_reason([{"n": "a", "v": 1, "t": -n} for n in range(1001)])
    assert R.TOO_LARGE == reason(json.dumps([{"n": "a", "v": 1}] * 4097), format="senml")


def test_senml_decimal_fraction() -> None:
    """Section 6 lets numbers of CBOR be tag 4."""
    (reading,) = readings(cbor2.dumps([{0: "a", 2: cbor2.CBORTag(4, [-2, 27315])}]), format="senml")

    assert {"a": 273.15} == reading.values


# ------------------------------------------------------------------------------- line protocol


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # docs.influxdata.com, InfluxDB v2, "Line protocol": the examples, with a time that may be.
        ('myMeasurement,tag1=value1,tag2=value2 fieldKey="fieldValue"', {"fieldKey": None}),
        ("myMeasurement fieldKey=1.0", {"fieldKey": 1.0}),
        ("myMeasurement fieldKey=1", {"fieldKey": 1.0}),
        ("myMeasurement fieldKey=-1.234456e+78", {"fieldKey": -1.234456e78}),
        ("myMeasurement fieldKey=1i", {"fieldKey": 1.0}),
        ("myMeasurement fieldKey=12485903i", {"fieldKey": 12485903.0}),
        ("myMeasurement fieldKey=-12485903i", {"fieldKey": -12485903.0}),
        ("myMeasurement fieldKey=1u", {"fieldKey": 1.0}),
        ("myMeasurement fieldKey=true", {"fieldKey": 1.0}),
        ("myMeasurement fieldKey=f,b=T,c=TRUE,d=False", {"fieldKey": 0.0, "b": 1.0, "c": 1.0, "d": 0.0}),
        ('myMeasurement fieldKey="this is a string"', {"fieldKey": None}),
        (r"my\ Measurement fieldKey=2", {"fieldKey": 2.0}),
        (
            r'myMeasurement,tagKey=tagValue field\ Key="string \"within\" a string",x=1',
            {"field Key": None, "x": 1.0},
        ),
        (r"m,tag\,\ Key=tag\ \=Value f\,k\=x=3", {"f,k=x": 3.0}),
        (r"m\a b\c=1", {"b\\c": 1.0}),
        ('m s="a, b=1 c\nd #e",f=5', {"s": None, "f": 5.0}),
        ("m=1 a=1", {"a": 1.0}),
        ('m,t="quoted" a=.5', {"a": 0.5}),
        ("m  a=1,b=2.   ", {"a": 1.0, "b": 2.0}),
    ],
)
def test_influx_fields(line: str, expected: dict[str, float | None]) -> None:
    """Types and escapes; text is no number."""
    decoded = decode(line, format="influx")

    assert (made("pump", NOW, expected),) == decoded.items
    assert tuple(name for name, value in expected.items() if value is None) == decoded.odd


@pytest.mark.parametrize(
    ("form", "time"),
    [
        ("auto", "1772366400000000000"),
        ("ns", "1772366400000000000"),
        ("us", "1772366400000000"),
        ("ms", "1772366400000"),
        ("s", "1772366400"),
    ],
)
def test_influx_precisions(form: Any, time: str) -> None:  # noqa: ANN401
    """The precision is the input's, never a guess."""
    assert [made("pump", NOW, {"a": 1.0})] == readings(f"m a=1 {time}\n", format="influx", time_format=form)


def test_influx_several_lines() -> None:
    """Comments and empty lines are no points; points of one time are one reading; order is that of time."""
    text = "# a comment\n\nm,x=1 a=1 2000\r\nn b=2 1000\nm,x=1 c=3 2000\n   # the end"

    assert [made("pump", 1000, {"b": 2.0}), made("pump", 2000, {"a": 1.0, "c": 3.0})] == readings(
        text, format="influx"
    )


def test_influx_asset_from_a_tag() -> None:
    """Each line is of the asset that its tag names; one without it spoils no other."""
    text = r"m,site=x,machine=pump\ 1 a=1 5" + "\nm,machine=pump-2 a=2 5\nm a=3 5\nm,machine=a/b a=4 5"
    *good, bad, worse = decode(text, format="influx", asset_field="machine").items

    assert [made("pump 1", 5, {"a": 1.0}), made("pump-2", 5, {"a": 2.0})] == good
    assert isinstance(bad, Reject)
    assert isinstance(worse, Reject)
    assert (R.BAD_ASSET, R.BAD_ASSET) == (bad.reason, worse.reason)


def test_influx_channels_by_measurement() -> None:
    """Two measurements may have a field of the same name."""
    channels = {"cpu.usage": "cpu", "mem.usage": "mem", "idle": "rest"}

    (reading,) = readings("cpu usage=1,idle=2\nmem usage=3,x=4", format="influx", channels=channels)
    assert {"cpu": 1.0, "rest": 2.0, "mem": 3.0, "x": 4.0} == reading.values


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        "m",
        "m ",
        "m a",
        "m a=",
        "m a=1,",
        "m a=1,,b=2",
        "m,a b=1",
        "m, b=1",
        "m a=1 b",
        "m a=1 1.5",
        "m a=1 5 6",
        "m a=nan",
        "m a=inf",
        "m a=1e999",
        "m a=1_0",
        "m a=0x10",
        "m a=٣",
        "m a=tRUE",
        "m a=-1u",
        "m a=9223372036854775808i",
        "m a=18446744073709551616u",
        "m a=99999999999999999999999i",
        'm a="x',
        'm a="x"y',
        "m a=1\nbroken",
        b"m a=\xff",
        b"m a=1\x00",
        "m a=1 " + "9" * 30,
        "," * 60_000,
        "m," + "a" * 60_000,
        "m" + ",a=b" * 15_000,
        'm a="' + "\\" * 60_000,
    ],
)
def test_influx_undecodable(text: bytes | str) -> None:
    """What Influx would refuse, and numbers that are none."""
    assert R.UNDECODABLE == reason(text, format="influx")


def test_influx_bad_times_and_too_much() -> None:
    """A precision that does not fit shows as a time that cannot be."""
    assert R.BAD_TIME == reason("m a=1 1772366400000000000", format="influx", time_format="s")
    assert R.BAD_TIME == reason("m a=1 4772366400000000000", format="influx")
    assert R.STALE_RETAINED == reason("m a=1", format="influx", retained=True)
    assert R.TOO_LARGE == reason("m a=1\n" * 1001, format="influx")
    assert R.TOO_LARGE == reason(("m " + ",".join(f"f{n}=1" for n in range(9000))), format="influx")
    assert R.TOO_LARGE == reason("#" * (2**20 + 1), format="influx")
