"""The rule that says when to score: what it means, and what is refused and how."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.rule import Rule

CHANNELS = ("speed", "flow", "valve 2", "température", "and")
FRAME = (10.0, 0.5, 1.0, -3.0, 7.0)
NONE_MASKED = (False,) * len(CHANNELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("speed > 5", True),
        ("speed > 10", False),
        ("speed >= 10", True),
        ("5 < speed < 9", False),
        ("5 < speed <= 10.0", True),
        ("speed != 10", False),
        ("not speed != 10", True),
        ("speed > 50 or flow < 1", True),
        ("speed > 50 or flow > 1", False),
        ("speed > 5 and (flow > 1 or température < -2)", True),
        ("speed > 5 and flow > 1 or température < -2", True),
        ("not (speed > 5 and flow > 1)", True),
        ("`valve 2` == 1", True),
        ("température<-2 and `valve 2`==1 and `speed`>1", True),
        ("`and` == 7 and `and`!=speed", True),
        ("speed > flow", True),
        ("speed >\n  5 and\n  flow < 1", True),
        ("  speed > 1e1", False),
        ("speed > -1_000", True),
        ("not " * 40 + "speed > 5", True),
    ],
)
def test_rule_means_what_it_says(text: str, *, expected: bool) -> None:
    """Comparisons, chains, precedence, quoted names; the same for a frame and for columns of rows."""
    rule = Rule.parse(text, CHANNELS)
    rows = [np.full(3, value) for value in FRAME]

    assert expected is rule.holds(FRAME, NONE_MASKED)
    assert [expected] * 3 == rule.columns(rows).tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("speed", "character 1: 'speed' is no comparison"),
        ("speed > 5 and flow", "character 15: 'flow' is no comparison"),
        ("sped > 5", "character 1: there is no channel 'sped'; expected 'speed'"),
        ("flow > 1 and `valve 3` > 5", "character 14: there is no channel 'valve 3'; expected 'valve 2'"),
        (
            "température > 0 and xyz > 1",
            "character 21: there is no channel 'xyz'; expected one of speed, flow",
        ),
        ("  speed > 5 and zzz > 1", "character 17: there is no channel 'zzz'"),
        ("speed > ", "character 8: cannot be read"),
        ("speed = 5", "cannot be read; expected comparisons (< <= > >= == !=)"),
        ("speed > 5 && flow > 1", "cannot be read"),
        ("`speed > 5", "character 1: a backtick without its partner"),
        ("speed > 5 # and more", "character 11: '#' has no meaning here"),
        ("1 < 2", "it names no channel"),
        ("speed > True", "character 9: 'True' is neither a channel nor a number"),
        ("speed > None", "neither a channel nor a number"),
        ("speed > 'a'", "neither a channel nor a number"),
        ("speed > 1j", "neither a channel nor a number"),
        ("speed > 1e999", "character 9: the number is too large"),
        ("speed > 9" + "0" * 400, "the number is too large"),
        ("speed + 1 > 5", "character 1: 'speed + 1' is neither a channel nor a number"),
        ("speed > --5", "neither a channel nor a number"),
        ("speed in (1, 2)", "neither a channel nor a number"),
        ("speed is 5", "no such comparison"),
        ("__import__('os').system('x')", "is no comparison"),
        ("__import__('os').system('x') > 1", "neither a channel nor a number"),
        ("speed.__class__ > 1", "neither a channel nor a number"),
        ("speed[0] > 1", "neither a channel nor a number"),
        ("(lambda: 1)() > speed", "neither a channel nor a number"),
        ("[x for x in speed] > 1", "neither a channel nor a number"),
        ("(y := speed) > 1", "neither a channel nor a number"),
        ("speed > 5 if flow > 1 else flow > 2", "is no comparison"),
        ("f'{speed}' > 1", "neither a channel nor a number"),
        ("speed > 5; import os", "cannot be read"),
        ("import os", "cannot be read"),
        ("speed > 5\0", "cannot be read"),
        ("(" * 400 + "speed > 5" + ")" * 400, "cannot be read"),
        ("not " * 200 + "speed > 5", "more than 50 levels deep"),
        ("speed > " + "-" * 900 + "5", "neither a channel nor a number"),
        ("speed > 5 or " * 100 + "speed > 5", "longer than 1000 characters"),
        ("speed > 9" + "9" * 990, "cannot be read|too large"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_place(text: str, message: str) -> None:
    """Other grammar, hostile text and misspelt channels: one line, nothing is run."""
    with pytest.raises(ValueError, match=message if "|" in message else re.escape(message)) as caught:
        Rule.parse(text, CHANNELS)

    assert "\n" not in str(caught.value)


def test_rule_is_false_while_a_channel_in_it_is_missing() -> None:
    """Whatever the others say: what is not known cannot hold."""
    rule = Rule.parse("speed > 5 or flow > 100", CHANNELS)

    assert rule.holds(FRAME, NONE_MASKED)
    assert not rule.holds(FRAME, (False, True, False, False, False))
    assert rule.holds(FRAME, (False, False, True, True, True))
    assert (0, 1) == rule.channels


def test_form_is_checked_without_the_channels() -> None:
    """Before the bundle is known any name will do, and nothing else."""
    assert (0, 1) == Rule.parse("a > 5 and `b c` < 1 and a < 9").channels
    with pytest.raises(ValueError, match="character 5"):
        Rule.parse("a > b.c")


@given(st.text(max_size=80))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    """No text leads to anything but a rule or a ValueError of one line."""
    refused = ""
    try:
        Rule.parse(text)
    except ValueError as error:
        refused = str(error)

    assert "\n" not in refused
