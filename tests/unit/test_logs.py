"""One event a line, whatever is in it."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm.logs import Throttle, event


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "e"),
        ({"a": 1, "b": None, "c": True}, "e a=1 c=True"),
        ({"a": 0.1234567891}, "e a=0.123457"),
        ({"a": "two words"}, 'e a="two words"'),
        ({"a": ""}, 'e a=""'),
        ({"a": 'x" b=1\nfake.event'}, 'e a="x\\" b=1\\nfake.event"'),
        ({"a": "\x1b[31m"}, 'e a="\\u001b[31m"'),
        ({"a": "\u2028"}, 'e a="\\u2028"'),
        ({"a": "x" * 500}, f"e a={'x' * 299}…"),
    ],
)
def test_event_text(fields: dict[str, object], expected: str) -> None:
    """Fields are key=value; anything unusual is quoted and escaped."""
    assert expected == event("e", **fields)


@given(st.text())
def test_event_is_one_line(text: str) -> None:
    """Nothing from the wire can make a second line or an escape sequence."""
    line = event("e", a=text, b="end")

    assert line.isprintable()
    assert line.endswith(" b=end")


def test_throttle_counts_what_it_holds_back() -> None:
    """One line of a kind in a while; the next says how many were held back."""
    now = [0.0]
    throttle = Throttle(lambda: now[0], every_s=60)
    said = [throttle.admit("late"), throttle.admit("late"), throttle.admit("late"), throttle.admit("other")]
    now[0] = 61.0
    said.append(throttle.admit("late"))

    assert [0, None, None, 0, 2] == said


def test_setup_logs_writes_to_standard_error() -> None:
    """Time, level, event; below the level nothing."""
    script = (
        "import logging; from edge_lstm.logs import setup_logs; setup_logs('warning');"
        "logging.info('no'); logging.warning('yes a=1')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "" == done.stdout
    assert done.stderr.rstrip().endswith("Z warning yes a=1")
    assert 1 == done.stderr.count("\n")
    assert logging.getLogger("edge_lstm").name == "edge_lstm"
