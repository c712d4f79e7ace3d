"""Publications that are worth confirming and not worth keeping: they are made anew after a crash.

What the broker should retain of the present (alarms, what was learned), and alerts that
somebody asked for once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from edge_lstm.io.transport import Publication

__all__ = ["Notices"]


class Notices:
    """A bounded queue with a window of publications under way; its tokens are negative numbers.

    Args:
        limit: Most publications kept; beyond it the oldest is dropped and counted.
        window: Most publications under way at once.

    Attributes:
        dropped: Publications that found no room.
    """

    def __init__(self, *, limit: int = 2000, window: int = 20) -> None:
        self._limit, self._window = limit, window
        self._items: dict[int, Publication] = {}
        self._waiting: deque[int] = deque()
        self._refused: list[int] = []
        self._next = -1
        self.dropped = 0

    def __len__(self) -> int:
        """Publications that are not confirmed."""
        return len(self._items)

    def add(self, publications: Iterable[Publication]) -> None:
        """Queue publications in order."""
        for publication in publications:
            if len(self._items) >= self._limit:
                self._drop_oldest()
            self._items[self._next] = publication
            self._waiting.append(self._next)
            self._next -= 1

    def _drop_oldest(self) -> None:
        token = next(iter(self._items))
        del self._items[token]
        self.dropped += 1
        for queue in (self._waiting, self._refused):
            if token in queue:
                queue.remove(token)

    def outdate(self, topics: AbstractSet[str]) -> None:
        """Forget what was to be retained on topics that something newer is on its way to.

        It may be under way: the broker gets it before what is newer, and must not get it once more
        after a reconnect.
        """
        for token in [t for t, one in self._items.items() if one.retain and one.topic in topics]:
            self.confirm(token)

    @property
    def refused(self) -> int:
        """Publications that the broker did not take and that wait for another try."""
        return len(self._refused)

    def take(self) -> tuple[int, Publication] | None:
        """The next publication to send and its token, or ``None`` when none may go now."""
        under_way = len(self._items) - len(self._waiting) - len(self._refused)
        if not self._waiting or under_way >= self._window:
            return None
        token = self._waiting.popleft()
        return token, self._items[token]

    def confirm(self, token: int) -> Publication | None:
        """The broker has it: forget it. ``None`` when it was known already."""
        publication = self._items.pop(token, None)
        for queue in (self._waiting, self._refused):
            if publication is not None and token in queue:  # sent before a reconnect, confirmed after it
                queue.remove(token)
        return publication

    def refuse(self, token: int) -> Publication | None:
        """The broker did not take it: it waits for `retry` and holds nothing else up."""
        if token in self._items and token not in self._refused and token not in self._waiting:
            self._refused.append(token)
        return self._items.get(token)

    def retry(self) -> None:
        """What was refused goes to the front of the queue again."""
        self._waiting.extendleft(reversed(self._refused))
        self._refused.clear()

    def requeue(self) -> None:
        """The connection has ended: everything not confirmed waits again, in order."""
        self._waiting = deque(self._items)
        self._refused.clear()
