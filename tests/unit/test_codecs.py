"""Payloads to readings, and what is turned away (docs/format-reading.md)."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.codecs import Decoded, Envelope, make_codec
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading, Reject, RejectReason
from edge_lstm.times import NS, parse_time

NOW = parse_time("2026-03-01T12:00:00Z")
R = RejectReason


def made(asset: str, time_ns: int, values: dict[str, float | None], seq: int | None = None) -> Reading:
    """A reading that arrived now."""
    return Reading(asset, time_ns, values, seq, NOW)


def decode(payload: bytes | str, *, channel: str = "flow", retained: bool = False, **source: Any) -> Decoded:  # noqa: ANN401
    """One payload through the codec of one input."""
    raw = payload if isinstance(payload, bytes) else payload.encode()
    codec = make_codec(InputConfig(topic="t", **source))
    return codec.decode(raw, Envelope("pump", channel, NOW, retained))


def values(payload: bytes | str, **source: Any) -> dict[str, float | None]:  # noqa: ANN401
    """Values of a payload that must be readable."""
    item = decode(payload, **source).items[0]
    assert isinstance(item, Reading)
    return item.values


def reason(payload: bytes | str, **source: Any) -> RejectReason:  # noqa: ANN401
    """Why a payload was turned away."""
    item = decode(payload, **source).items[0]
    assert isinstance(item, Reject)
    assert item.asset == "pump"
    assert item.detail
    return item.reason


def test_json_frame_is_one_reading() -> None:
    """Numbers are values, null is no value, and without a time field it is now."""
    decoded = decode('{"flow": 12.5, "pressure": null, "speed": 3}')

    assert Decoded((made("pump", NOW, {"flow": 12.5, "pressure": None, "speed": 3.0}),)) == decoded


def test_json_values_that_are_not_numbers_are_missing_and_named() -> None:
    """Text, lists, objects and endless integers make only their own channel missing; truth is 1 and 0."""
    decoded = decode(
        '{"a": "12.5", "b": [1], "c": {}, "d": true, "e": false, "f": 1, "g": 1' + "0" * 400 + "}"
    )

    assert isinstance(decoded.items[0], Reading)
    expected = {"a": None, "b": None, "c": None, "d": 1.0, "e": 0.0, "f": 1.0, "g": None}
    assert expected == decoded.items[0].values
    assert ("a", "b", "c", "g") == decoded.odd


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[1, 2]",
        b"12.5",
        b"null",
        b'{"flow": NaN}',
        b'{"flow": Infinity}',
        b'{"flow": 1e999}',
        b'{"flow": 1',
        b'{"flow": 1} x',
        b"\xef\xbb\xbf{}",
        b'{"\xff": 1}',
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'{"a":' * 4_000 + b"1" + b"}" * 4_000,
        b"[" * 4_000,
    ],
)
def test_json_undecodable(payload: bytes) -> None:
    """What is not one JSON object of finite numbers is turned away whole."""
    assert R.UNDECODABLE == reason(payload)


@pytest.mark.parametrize(
    "payload",
    [
        '{"a": 1, "a": 2}',
        '{"a" : 1, "a": 2}',
        '{"a": 1, "\\u0061": 2}',
        '{"a": true, "b": {"c": 1, "c": 1}}',
        '{"a": "\\":", "b": 1, "b": 2}',
        '[{"a": 1, "a": 1}]',
    ],
)
def test_json_key_given_twice(payload: str) -> None:
    """Which of the two is meant nobody can know."""
    assert R.UNDECODABLE == reason(payload)


def test_json_keys_that_only_look_like_twins() -> None:
    """The same name in another object, or in a text, is no repetition."""
    payload = '{"a": {"a": 1}, "b": "\\"b\\": 1", "c": 2}'

    assert {"a": None, "b": None, "c": 2.0} == values(payload)


def test_json_values_in_a_nested_object() -> None:
    """A dotted path leads to the values, and another one to the time."""
    payload = '{"meta": {"ts": 1772366400}, "data": {"values": {"flow": 1, "ts": 5}}}'
    item = decode(payload, values_field="data.values", time_field="meta.ts").items[0]

    assert made("pump", NOW, {"flow": 1.0, "ts": 5.0}) == item


@pytest.mark.parametrize("payload", ['{"a": 1}', '{"data": 1}', '{"data": null}'])
def test_json_without_its_nested_object(payload: str) -> None:
    """Values that are not where they should be are undecodable."""
    assert R.UNDECODABLE == reason(payload, values_field="data")


def test_json_name_with_dots_goes_before_the_path() -> None:
    """A key that has the dots in its name is found."""
    assert {"b": 1.0} == values('{"a.ts": 1772366400, "b": 1}', time_field="a.ts")


def test_json_channels_are_renamed() -> None:
    """Listed names are mapped, others stay, and a mapped name is never overwritten by its namesake."""
    payload = '{"p1": 1, "pressure": 9, "flow": 2}'

    assert {"pressure": 1.0, "flow": 2.0} == values(payload, channels={"p1": "pressure"})


def test_json_channels_can_be_swapped() -> None:
    """Two names may stand for each other."""
    assert {"b": 1.0, "a": 2.0} == values('{"a": 1, "b": 2}', channels={"a": "b", "b": "a"})


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ('"2026-03-01T13:00:00.5+01:00"', "auto", NOW + NS // 2),
        ("1772366400", "auto", NOW),
        ("1772366400000", "auto", NOW),
        ("1772366400.25", "s", NOW + NS // 4),
        ("1772366400000000", "us", NOW),
        ('"1772366400000000000"', "ns", NOW),
    ],
)
def test_time_field(text: str, form: Any, expected: int) -> None:  # noqa: ANN401
    """Times come in many forms and leave as one; the time is not a channel."""
    item = decode(f'{{"t": {text}, "flow": 1}}', time_field="t", time_format=form).items[0]

    assert made("pump", expected, {"flow": 1.0}) == item


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("null", "auto"),
        ("true", "auto"),
        ('"yesterday"', "auto"),
        ('"nan"', "auto"),
        ("[]", "auto"),
        ("1772366400", "rfc3339"),
        ("1e300", "s"),
        ('"2026-13-01T00:00:00Z"', "auto"),
        ('"9" ', "rfc3339"),
        ('"2200-01-01T00:00:00Z"', "auto"),
    ],
)
def test_time_field_that_is_no_time(text: str, form: Any) -> None:  # noqa: ANN401
    """A reading whose time cannot be, or is far in the future, is turned away."""
    assert R.BAD_TIME == reason(f'{{"t": {text}, "flow": 1}}', time_field="t", time_format=form)


def test_time_field_absent() -> None:
    """A time that should be there and is not is a bad time, not the time of arrival."""
    assert R.BAD_TIME == reason('{"flow": 1}', time_field="t")


def test_time_in_the_future_without_limit() -> None:
    """0 takes the limit away."""
    item = decode('{"t": "2200-01-01T00:00:00Z", "flow": 1}', time_field="t", max_ahead_s=0).items[0]

    assert isinstance(item, Reading)


def test_time_in_the_future_of_a_clock_that_was_never_set() -> None:
    """A board without a battery clock starts in 1970: it cannot say what the future is."""
    codec = make_codec(InputConfig(topic="t", time_field="t"))
    item = codec.decode(
        b'{"t": "2026-03-01T12:00:00Z", "flow": 1}', Envelope("pump", "", 5 * NS, False)
    ).items[0]

    assert Reading("pump", NOW, {"flow": 1.0}, None, 5 * NS) == item


@pytest.mark.parametrize(("payload", "source"), [("{}", {}), ("1", {"format": "value"})])
def test_retained_without_time_is_stale(payload: str, source: dict[str, Any]) -> None:
    """Nobody knows how old it is."""
    assert R.STALE_RETAINED == reason(payload, retained=True, **source)


def test_retained_with_time_is_a_reading() -> None:
    """Its time says how old it is; the aligner knows what to do about it."""
    item = decode('{"t": 1772366400, "flow": 1}', time_field="t", retained=True).items[0]

    assert isinstance(item, Reading)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("12.5", 12.5),
        (" -3\n", -3.0),
        ("+4.", 4.0),
        (".5", 0.5),
        ("1E3", 1000.0),
        ("null", None),
        ("TRUE", 1.0),
        ("false", 0.0),
        ("1e999", None),
    ],
)
def test_plain_value(payload: str, expected: float | None) -> None:
    """What programs print for a number."""
    assert {"flow": expected} == values(payload, format="value")


@pytest.mark.parametrize(
    "payload", ["", "on", "nan", "inf", "1_0", "0x10", "1,5", "١", "1 2", '"1"', "{}", "1" * 600]
)
def test_plain_value_undecodable(payload: str) -> None:
    """What only looks like a number to Python is none."""
    assert R.UNDECODABLE == reason(payload, format="value")


def test_value_in_an_object() -> None:
    """Value and time by their paths, the channel by its mapping."""
    source: dict[str, Any] = {
        "format": "value",
        "value_field": "v.x",
        "time_field": "t",
        "channels": {"p1": "pressure"},
    }
    item = decode('{"v": {"x": 1.5}, "t": 1772366400}', channel="p1", **source).items[0]

    assert made("pump", NOW, {"pressure": 1.5}) == item


def test_value_in_an_object_that_is_text_is_missing() -> None:
    """The same rule as for frames."""
    decoded = decode('{"v": "bad"}', format="value", value_field="v")

    assert Decoded((made("pump", NOW, {"flow": None}),), ("flow",)) == decoded


@pytest.mark.parametrize("payload", ["{}", "1", '{"v'])
def test_value_in_an_object_absent(payload: str) -> None:
    """No value is no reading."""
    assert R.UNDECODABLE == reason(payload, format="value", value_field="v")


@given(st.binary(max_size=200))
@pytest.mark.parametrize(
    "source",
    [
        {},
        {"time_field": "t", "values_field": "a.b"},
        {"format": "value"},
        {"format": "value", "value_field": "v"},
    ],
    ids=str,
)
def test_any_bytes_are_a_reading_or_a_reject(source: dict[str, Any], payload: bytes) -> None:
    """Nothing that comes over the wire raises, and no value is other than finite."""
    item = decode(payload, **source).items[0]

    assert isinstance(item, Reading | Reject)
    if isinstance(item, Reading):
        assert all(v is None or math.isfinite(v) for v in item.values.values())


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("tvab"), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_a_reading_or_a_reject(value: Any) -> None:  # noqa: ANN401
    """Structure-aware: whatever stands where a time or a value should be."""
    payload = json.dumps(value)
    sources: list[dict[str, Any]] = [{"time_field": "t"}, {"time_field": "t.a", "values_field": "v"}]
    for source in sources:
        assert isinstance(decode(payload, **source).items[0], Reading | Reject)
