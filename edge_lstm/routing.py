"""Topics to inputs: whose reading is it, and who can read it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edge_lstm.codecs import Codec, make_codec
from edge_lstm.codecs.json_frame import JsonFrameCodec
from edge_lstm.contracts.config import InputConfig
from edge_lstm.times import NS
from edge_lstm.topics import Template, check_name

__all__ = ["Route", "Router"]

_REMEMBERED = 10_000


class Route(NamedTuple):
    """What a topic says.

    Attributes:
        codec: Reads its payloads.
        asset: The machine; empty when the payload names it.
        channel: The channel; empty when the payload names them.
        reorder_ns: How long readings may wait to be put in order.
        numbers: Reads the payloads that are nothing but numbers, where the codec can; the others
            are the codec's.
    """

    codec: Codec
    asset: str
    channel: str
    reorder_ns: int = 0
    numbers: Callable[[bytes], dict[str, float | None] | None] | None = None


class Router:
    """Finds the input of a topic; answers are remembered, because topics repeat for ever.

    Args:
        inputs: The configured inputs, which do not overlap.
    """

    def __init__(self, inputs: Sequence[InputConfig]) -> None:
        self._inputs = [(Template.parse(source.topic), source, make_codec(source)) for source in inputs]
        self._known: dict[str, Route | str] = {}

    def route(self, topic: str) -> Route | str:
        """The route of a topic, or in one line why it has none."""
        known = self._known.get(topic)
        if known is None:
            if len(self._known) >= _REMEMBERED:  # somebody invents topics
                self._known.clear()
            known = self._known[topic] = self._find(topic)
        return known

    def dump(self) -> dict[str, bytes]:
        """What the codecs remember of earlier messages, by the topic of their input."""
        found = {source.topic: codec.dump() for _, source, codec in self._inputs}
        return {topic: raw for topic, raw in found.items() if raw}

    def load(self, kept: Mapping[str, bytes]) -> None:
        """Go on from what `dump` wrote; an input that is new since then starts from nothing.

        Raises:
            CodecStateError: It was not written by `dump` of this version.
        """
        for _, source, codec in self._inputs:
            if source.topic in kept:
                codec.load(kept[source.topic])

    def _find(self, topic: str) -> Route | str:
        for template, source, codec in self._inputs:
            found = template.match(topic)
            if found is None:
                continue
            asset = source.asset or found.get("asset", "")
            channel = source.channel or found.get("channel", "")
            if not source.asset_in_payload and (why := check_name(asset)):
                return f"asset {asset!r} in topic {topic!r} cannot be used: {why}"
            bare = isinstance(codec, JsonFrameCodec) and codec.is_bare
            numbers = JsonFrameCodec.numbers if bare else None
            return Route(codec, asset, channel, round(source.reorder_s * NS), numbers)
        return f"topic {topic!r} matches no input"
