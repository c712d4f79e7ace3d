"""Topics and names in them: templates with ``{asset}`` and ``{channel}``, overlap, fitness. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

__all__ = ["PLACES", "Template", "check_name", "overlap"]

PLACES = ("asset", "channel")
MAX_NAME = 200
MAX_TOPIC_BYTES = 65535


def check_name(name: str) -> str | None:
    """Why a name cannot be one level of a topic, or ``None`` when it can.

    Node and asset names become levels of the topics we publish to.
    """
    if not name:
        return "it is empty"
    if len(name) > MAX_NAME:
        return f"it is longer than {MAX_NAME} characters"
    if bad := set(name) & set("/+#"):
        return f"'{min(bad)}' has a meaning of its own in a topic"
    if not name.isprintable():
        return "it has a character that cannot be printed"
    return "it has blanks at its ends" if name != name.strip() else None


@dataclass(frozen=True, slots=True)
class Template:
    """A subscription in which some levels have a meaning.

    Attributes:
        text: As written: ``plant/{asset}/{channel}``.
        levels: Its levels; a placeholder is ``{asset}`` or ``{channel}``.
    """

    text: str
    levels: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template.

        Raises:
            ValueError: It is not one; the message says why.
        """
        levels = tuple(text.split("/"))
        _check_whole(text)
        for number, level in enumerate(levels):
            _check_level(level, last=number == len(levels) - 1)
        for place in PLACES:
            if levels.count(f"{{{place}}}") > 1:
                raise ValueError(f"{{{place}}} stands in it twice")
        return cls(text, levels)

    def has(self, place: str) -> bool:
        """Whether ``asset`` or ``channel`` is a level of it."""
        return f"{{{place}}}" in self.levels

    @property
    def filter(self) -> str:
        """The MQTT topic filter that matches the same topics."""
        return "/".join("+" if level.startswith("{") else level for level in self.levels)

    def match(self, topic: str) -> dict[str, str] | None:
        """What the placeholders stand for in a topic, or ``None`` when it does not match.

        >>> Template.parse("plant/{asset}/{channel}").match("plant/pump-1/flow")
        {'asset': 'pump-1', 'channel': 'flow'}
        """
        if set(topic) & set("+#") or not overlap(self.filter, topic):
            return None
        pairs = zip(self.levels, topic.split("/"), strict=False)  # a trailing '#' stands for many levels
        return {level[1:-1]: name for level, name in pairs if level.startswith("{")}


def _check_whole(text: str) -> None:
    if not text:
        raise ValueError("it is empty")
    if len(text.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"it is longer than {MAX_TOPIC_BYTES} bytes")
    if not text.isprintable():
        raise ValueError("it has a character that cannot be printed")
    if text.startswith("$share/"):
        raise ValueError(
            "a shared subscription spreads an asset's readings over devices and loses their order"
        )


def _check_level(level: str, *, last: bool) -> None:
    if level in ("{asset}", "{channel}", "+"):
        return
    if level == "#":
        if not last:
            raise ValueError("'#' can only be the last level")
        return
    if "{" in level or "}" in level:
        raise ValueError(f"'{level}' is not {{asset}} or {{channel}}, which must each fill a whole level")
    if "+" in level or "#" in level:
        raise ValueError(f"'+' and '#' must fill a whole level, and '{level}' has more")


def overlap(one: str, other: str) -> bool:
    """Whether some topic matches both filters; a plain topic is a filter that matches itself."""
    a, b = one.split("/"), other.split("/")
    wild, plain = (a[0], b[0]) if a[0] in ("+", "#") else (b[0], a[0])
    if wild in ("+", "#") and plain.startswith("$"):
        return False  # MQTT 4.7.2: a leading wildcard does not reach topics that begin with $
    for left, right in zip(a, b, strict=False):
        if "#" in (left, right):
            return True
        if left != right and "+" not in (left, right):
            return False
    rest = a[len(b) :] or b[len(a) :]
    return not rest or rest == ["#"]  # MQTT 4.7.1.2: '#' matches its parent level too
