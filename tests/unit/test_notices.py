"""What is worth confirming and not worth keeping goes out in order, as long as there is room."""

from __future__ import annotations

from edge_lstm.io.notices import Notices
from edge_lstm.io.transport import Publication


def publications(count: int) -> list[Publication]:
    """Numbered publications."""
    return [Publication(f"t/{n}", b"", qos=1) for n in range(count)]


def take_all(notices: Notices) -> list[tuple[int, str]]:
    """Everything that may go now."""
    taken = []
    while found := notices.take():
        taken.append((found[0], found[1].topic))
    return taken


def test_notices_keep_order_and_window() -> None:
    """No more than the window is under way; a confirmation makes room for the next."""
    notices = Notices(window=2)
    notices.add(publications(3))
    assert [(-1, "t/0"), (-2, "t/1")] == take_all(notices)
    notices.confirm(-2)

    assert [(-3, "t/2")] == take_all(notices)


def test_notices_requeue_sends_everything_again_in_order() -> None:
    """After a lost connection nobody knows what arrived; a late confirmation still counts."""
    notices = Notices()
    notices.add(publications(3))
    take_all(notices)
    notices.confirm(-2)
    notices.requeue()
    notices.confirm(-1)

    assert [(-3, "t/2")] == take_all(notices)


def test_notices_refused_holds_nothing_up() -> None:
    """A refused notice waits aside and comes first at the next try."""
    notices = Notices(window=1)
    notices.add(publications(2))
    notices.take()
    notices.refuse(-1)
    notices.refuse(-1)
    assert 1 == notices.refused
    assert [(-2, "t/1")] == take_all(notices)
    notices.confirm(-2)
    notices.retry()

    assert [(-1, "t/0")] == take_all(notices)
    assert (1, 0) == (len(notices), notices.refused)


def test_notices_full_drops_the_oldest_and_counts() -> None:
    """The present is worth more than the past; what is under way or refused may be the one to go."""
    notices = Notices(limit=3, window=1)
    notices.add(publications(2))
    notices.take()
    notices.refuse(-1)
    notices.add(publications(3))

    assert (2, 3, 0) == (notices.dropped, len(notices), notices.refused)
    assert [-3] == [token for token, _ in take_all(notices)]


def test_notices_confirm_of_something_unknown_is_nothing() -> None:
    """Confirmed twice, or dropped meanwhile."""
    notices = Notices()

    assert notices.confirm(-7) is None
    assert notices.refuse(-7) is None


def test_notices_that_something_newer_overtakes_are_forgotten() -> None:
    """Waiting, under way or refused: they would say how it was after what says how it is."""
    kept = [Publication(f"t/{n}", b"was", qos=1, retain=True) for n in range(4)]
    notices = Notices(window=2)
    notices.add([*kept, *publications(1)])
    take_all(notices)
    notices.refuse(-1)
    notices.outdate({"t/0", "t/1", "t/2"})
    notices.retry()
    assert [(-4, "t/3"), (-5, "t/0")] == take_all(notices)
    notices.requeue()

    assert [(-4, "t/3"), (-5, "t/0")] == take_all(notices)
    assert 2 == len(notices)
