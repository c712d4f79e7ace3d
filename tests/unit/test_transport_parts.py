"""The parts of the transports that need no socket: pulse, pace, handover."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from edge_lstm.clock import ArrivalClock
from edge_lstm.io.handover import Handover
from edge_lstm.io.lean_link import Link
from edge_lstm.io.lean_pipe import Pipe
from edge_lstm.io.lean_pulse import Pulse
from edge_lstm.io.settings import MqttSettings
from edge_lstm.io.story import ConnectionLost, Pace
from edge_lstm.io.transport import Publication, Subscribed, Subscription, Woken

WILL = Publication("base/availability", b"offline", qos=1, retain=True)
CLOSED = ConnectionLost("closed", closed=True)


def test_pulse_asks_after_half_the_keep_alive_and_gives_up_after_the_whole() -> None:
    """Whichever side was silent: the broker wants to hear us, and we it."""
    pulse = Pulse(10.0, now=0.0)
    assert not pulse.ask(4.9)
    pulse.said(4.9)
    assert 5.0 == pulse.due()
    assert pulse.ask(5.0)
    assert not pulse.ask(5.1), "one PINGREQ is enough"
    assert 0.0 == pulse.silent_s(9.9)
    assert 10.0 == pulse.silent_s(10.0)


def test_pulse_goes_on_when_something_is_heard() -> None:
    """Any packet is a sign of life, not only the answer."""
    pulse = Pulse(10.0, now=0.0)
    assert pulse.ask(5.0)
    pulse.heard(9.9)
    pulse.said(9.9)

    assert 0.0 == pulse.silent_s(14.0)
    assert not pulse.ask(14.0)
    assert pulse.ask(14.9)


class Wishes:
    """What an owner wants of every connection."""

    settings = MqttSettings(host="h", port=1, client_id="me", online=WILL, will=WILL, keepalive_s=10)
    subscriptions: tuple[Subscription, ...] = ()
    obsolete: tuple[str, ...] = ()


def test_link_does_not_take_a_busy_owner_for_a_dead_broker() -> None:
    """While messages wait on our side, nothing is read, so silence proves nothing."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.setblocking(False)
        link = Link(Wishes(), Pipe(ours), None, epoch=1, clock=ArrivalClock(StoppedClock()), now=0.0)
        theirs.sendall(b"\x20\x03\0\0\0" + b"\x30\x06\0\3a/b\0" * 4)
        for now in (0.0, 6.0, 12.0, 18.0):
            link.work([], 1, now)
        link.work([], 9, 24.0)
        with pytest.raises(ConnectionLost, match="no sign of life"):
            link.work([], 9, 30.0)


def test_pipe_gives_what_came_before_the_end() -> None:
    """TLS is read until nothing is there; the end that is found then must not hide the last words."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.setblocking(False)
        pipe = Pipe(ours)
        pipe._is_tls = True
        theirs.sendall(b"last words")
        theirs.close()
        assert pipe.read()
        assert b"last words" == bytes(pipe.view[pipe.at : pipe.end])
        with pytest.raises(ConnectionLost, match="has closed"):
            pipe.read()


def pace() -> Pace:
    """With the bounds of a daemon."""
    return Pace(MqttSettings(host="h", port=1, client_id="me", online=WILL, will=WILL))


def test_pace_takes_three_brief_connections_for_a_rival() -> None:
    """A kept session that is closed without a word, again and again: the wait is the longest."""
    found = pace()
    seen = [found.rival(CLOSED, kept=True, lasted_s=20.0) for _ in range(4)]

    assert [False, False, True, True] == seen
    assert 15.0 <= found.next_s(CLOSED, lasted_s=20.0, rival=True) <= 30.0


@pytest.mark.parametrize(
    ("lost", "kept", "lasted_s"),
    [
        (ConnectionLost("Connection refused"), False, 0.0),
        (ConnectionLost("reset"), True, 1.0),
        (CLOSED, False, 1.0),
        (CLOSED, True, 61.0),
    ],
    ids=["refused", "reset", "new session", "lasting"],
)
def test_pace_takes_nothing_else_for_a_rival(lost: ConnectionLost, lasted_s: float, *, kept: bool) -> None:
    """A broker that restarts, a bad network, a session that was lost."""
    found = pace()
    for _ in range(2):
        found.rival(CLOSED, kept=True, lasted_s=1.0)

    assert not found.rival(lost, kept=kept, lasted_s=lasted_s)
    assert not found.rival(CLOSED, kept=True, lasted_s=1.0), "it counts from the beginning"


def test_pace_grows_until_a_connection_lasts() -> None:
    """From half a second to half a minute, with jitter."""
    found = pace()
    delays = [found.next_s(CLOSED, lasted_s=0.0, rival=False) for _ in range(10)]
    assert 0.25 <= delays[0] <= 0.5
    assert 15.0 <= delays[-1] <= 30.0

    assert found.next_s(CLOSED, lasted_s=11.0, rival=False) <= 0.5
    assert found.next_s(ConnectionLost("banned", slow=True), lasted_s=0.0, rival=False) >= 15.0


def test_handover_keeps_order_and_bounds() -> None:
    """Pieces are joined and cut; what is woken is not counted as waiting."""
    found = Handover()
    events = [Subscribed((str(number),)) for number in range(5)]
    for event in events[:3]:
        found.gather(event)
    assert [] == found.take(0.0, 10), "not handed over yet"
    found.hand_over()
    found.wake()
    for event in events[3:]:
        found.gather(event)
    found.hand_over()
    assert 5 == found.waiting

    assert [*events[:3], Woken()] == found.take(0.0, 4)
    assert 2 == found.waiting
    assert events[3:] == found.take(0.0, 4)
    assert 0 == found.waiting


class StoppedClock:
    """Time that stands."""

    def time_ns(self) -> int:
        """Wall clock."""
        return 1_000_000

    def monotonic(self) -> float:
        """Seconds."""
        return 1.0


def test_arrival_clock_goes_on_from_times_that_were_given_away() -> None:
    """Messages that were read at once are 1 ns apart, and the next one is later than all of them."""
    clock = ArrivalClock(StoppedClock())
    first = clock.now_ns()
    clock.passed(first + 99)

    assert first + 100 == clock.now_ns()
    clock.passed(first)
    assert first + 101 == clock.now_ns()
