"""Topic templates, filters and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edge_lstm.topics import Template, check_name, overlap

LEVEL = st.sampled_from(["a", "b", "", "$x", "pump 1"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join)
FILTER = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(st.one_of(LEVEL, st.just("+")), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)


@pytest.mark.parametrize(
    ("template", "topic", "expected"),
    [
        ("plant/{asset}/readings", "plant/pump-1/readings", {"asset": "pump-1"}),
        ("plant/{asset}/{channel}", "plant/pump-1/flow", {"asset": "pump-1", "channel": "flow"}),
        ("{channel}/of/{asset}", "flow/of/pump-1", {"asset": "pump-1", "channel": "flow"}),
        ("/plant/{asset}", "/plant/pump-1", {"asset": "pump-1"}),
        ("plant/+/{asset}/#", "plant/hall 3/pump-1/a/b", {"asset": "pump-1"}),
        ("plant/{asset}/#", "plant/pump-1", {"asset": "pump-1"}),
        ("plant/{asset}/#", "plant", None),
        ("plant/{asset}", "plant/pump-1/readings", None),
        ("plant/{asset}", "plant", None),
        ("plant/{asset}", "other/pump-1", None),
        ("plant/{asset}", "plant/", {"asset": ""}),
        ("{asset}/x", "$SYS/x", None),
        ("plant/{asset}", "plant/+", None),
        ("plant/{asset}", "plant/#", None),
    ],
)
def test_template_match(template: str, topic: str, expected: dict[str, str] | None) -> None:
    """Placeholders stand for one level each; what does not fit does not match."""
    assert expected == Template.parse(template).match(topic)


def test_template_filter_has_wildcards_for_placeholders() -> None:
    """The subscription is the template with + for every placeholder."""
    assert "plant/+/+/x/#" == Template.parse("plant/{asset}/{channel}/x/#").filter


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("plant/pump-{asset}", "fill a whole level"),
        ("plant/{machine}", "not {asset} or {channel}"),
        ("{asset}/{asset}", "stands in it twice"),
        ("a/#/b", "only be the last"),
        ("a/b+", "fill a whole level"),
        ("a/b#", "fill a whole level"),
        ("$share/group/a", "loses their order"),
        ("a\n/b", "cannot be printed"),
        ("a\0", "cannot be printed"),
        ("x" * 70_000, "longer than"),
    ],
)
def test_template_refused(text: str, why: str) -> None:
    """What is not a template is refused with the reason."""
    with pytest.raises(ValueError, match=why):
        Template.parse(text)


@given(FILTER, TOPIC)
def test_overlap_with_a_topic_is_what_brokers_do(filter_: str, topic: str) -> None:
    """For a plain topic, overlap is the matching of the MQTT library."""
    assert topic_matches_sub(filter_, topic) == overlap(filter_, topic)


@given(FILTER, FILTER, TOPIC)
def test_overlap_of_filters_covers_every_shared_topic(one: str, other: str, topic: str) -> None:
    """No topic matches two filters that do not overlap, and the order does not matter."""
    assert overlap(one, other) == overlap(other, one)
    if topic_matches_sub(one, topic) and topic_matches_sub(other, topic):
        assert overlap(one, other)


@pytest.mark.parametrize("name", ["pump-1", "Pumpe 7", "Förderband", "$x", "a.b"])
def test_name_fits(name: str) -> None:
    """What is one level of a topic may be a name."""
    assert check_name(name) is None


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#", "a\n", "a\0", " a", "x" * 201])
def test_name_refused(name: str) -> None:
    """What is not one level of a topic, or cannot be seen, may not."""
    assert check_name(name)
