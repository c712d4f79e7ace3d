"""What must arrive is kept, in order, until the broker has it."""

from __future__ import annotations

from edge_lstm.io.outbox import Outbox
from edge_lstm.io.transport import Publication


def publications(count: int, *, essential: bool = True) -> list[Publication]:
    """Numbered publications."""
    return [Publication(f"t/{n}", b"", qos=1, essential=essential) for n in range(count)]


def take_all(outbox: Outbox) -> list[tuple[int, str]]:
    """Everything that may go now."""
    taken = []
    while found := outbox.take():
        taken.append((found[0], found[1].topic))
    return taken


def test_outbox_keeps_order_and_window() -> None:
    """No more than the window is under way; a confirmation makes room for the next."""
    outbox = Outbox(window=2)
    outbox.add(publications(4))
    assert [(1, "t/0"), (2, "t/1")] == take_all(outbox)
    outbox.confirm(2)
    assert [(3, "t/2")] == take_all(outbox)

    assert ["t/0", "t/2", "t/3"] == [p.topic for p in outbox.unsent()]


def test_outbox_requeue_sends_everything_again_in_order() -> None:
    """After a lost connection nobody knows what arrived; a late confirmation still counts."""
    outbox = Outbox()
    outbox.add(publications(3))
    take_all(outbox)
    outbox.confirm(2)
    outbox.requeue()
    outbox.confirm(1)

    assert [(3, "t/2")] == take_all(outbox)


def test_outbox_refused_holds_nothing_up() -> None:
    """A refused publication waits aside and comes first at the next try."""
    outbox = Outbox(window=1)
    outbox.add(publications(2))
    outbox.take()
    outbox.refuse(1)
    outbox.refuse(1)
    assert 1 == outbox.refused
    assert [(2, "t/1")] == take_all(outbox)
    outbox.confirm(2)
    outbox.retry()

    assert [(1, "t/0")] == take_all(outbox)
    assert (1, 0) == (len(outbox), outbox.refused)


def test_outbox_full_drops_the_oldest_and_counts() -> None:
    """The newest alert is worth more than the oldest; what is under way or refused may be the one to go."""
    outbox = Outbox(limit=3, window=1)
    outbox.add(publications(2))
    outbox.take()
    outbox.refuse(1)
    outbox.add(publications(3))

    assert 2 == outbox.dropped
    assert ["t/0", "t/1", "t/2"] == [p.topic for p in outbox.unsent()]
    assert 0 == outbox.refused


def test_outbox_not_essential_stays_out_of_the_last_half() -> None:
    """Quality events cannot push alerts out."""
    outbox = Outbox(limit=4)
    outbox.add(publications(3, essential=False))

    assert (2, 1) == (len(outbox), outbox.dropped)


def test_outbox_confirm_of_something_unknown_is_nothing() -> None:
    """Confirmed twice, or dropped meanwhile."""
    outbox = Outbox()

    assert outbox.confirm(7) is None
    assert outbox.refuse(7) is None
