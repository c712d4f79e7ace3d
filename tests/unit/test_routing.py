"""Topics to inputs, and what the inputs remember."""

from __future__ import annotations

import pytest

from edge_lstm.codecs import CodecStateError, Envelope
from edge_lstm.contracts.config import InputConfig
from edge_lstm.contracts.reading import Reading
from edge_lstm.routing import Route, Router
from tests.unit.test_sparkplug import FLOW, NOW, wire

INPUTS = (
    InputConfig(topic="plant/{asset}"),
    InputConfig(topic="gateway", asset_field="machine"),
    InputConfig(topic="spBv1.0/plant/#", format="sparkplug"),
)


def found(router: Router, topic: str) -> Route:
    """The route of a topic that has one."""
    route = router.route(topic)
    assert isinstance(route, Route), route
    return route


def test_asset_from_the_topic_or_from_the_payload() -> None:
    """A topic without an asset is good where the payload names it."""
    router = Router(INPUTS)

    assert "pump" == found(router, "plant/pump").asset
    assert "" == found(router, "gateway").asset
    assert "" == found(router, "spBv1.0/plant/DDATA/line-4/pump").asset
    for topic in ("plant/ ", "plant/", "plant/a/b", "elsewhere", "spBv1.0/other/NDATA/a"):
        assert isinstance(router.route(topic), str)


def test_what_codecs_remember_goes_over_a_restart() -> None:
    """By the input's topic: an input that is gone is forgotten, one that is new starts from nothing."""
    before, topic = Router(INPUTS), "spBv1.0/plant/{}/line-4"
    birth = Envelope("", "", NOW, False, topic.format("NBIRTH"))
    data = Envelope("", "", NOW, False, topic.format("NDATA"))
    found(before, birth.topic).codec.decode(wire(FLOW), birth)
    kept = before.dump()
    after = Router((*INPUTS[1:], InputConfig(topic="new/{asset}")))
    after.load({**kept, "gone/#": b"x"})

    assert ["spBv1.0/plant/#"] == list(kept)
    (item,) = (
        found(after, data.topic).codec.decode(wire({"alias": 7, "double_value": 2.0}, seq=1), data).items
    )
    assert isinstance(item, Reading)
    assert {"flow": 2.0} == item.values


def test_what_is_remembered_is_refused_where_it_does_not_belong() -> None:
    """A state that is not the format's is an error."""
    with pytest.raises(CodecStateError):
        Router(INPUTS).load({"plant/{asset}": b"x"})
