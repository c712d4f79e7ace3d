"""Alerts told once more to whoever missed them: the answer to ``…/alerts/replay``."""

from __future__ import annotations

import logging
from typing import Annotated

import msgspec
from msgspec import Meta

from edge_lstm.clock import Clock
from edge_lstm.errors import SnapshotError
from edge_lstm.io.store import Store
from edge_lstm.io.transport import Message, Publication
from edge_lstm.logs import Throttle, event

__all__ = ["MOST_AT_ONCE", "ReplayEnd", "ReplayRequest", "Replays"]

log = logging.getLogger(__name__)

MOST_AT_ONCE = 1000
_LARGEST_REQUEST = 1024
_EVERY_S = 0.5

Number = Annotated[int, Meta(ge=1, le=2**62)]
Count = Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)]


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a subscriber asks for on ``BASE/NODE/alerts/replay``.

    Attributes:
        from_seq: First ``seq`` wanted: the one after the last that was seen.
        limit: Most alerts wanted.
    """

    from_seq: Number
    limit: Count = MOST_AT_ONCE


class ReplayEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What closes an answer, on ``BASE/NODE/alerts/replayed/end``.

    Attributes:
        from_seq: As asked.
        count: Alerts that were sent.
        last_seq: ``seq`` of the last one; ask again from the next when ``count`` is the limit.
    """

    from_seq: int
    count: int
    last_seq: int


_REQUEST = msgspec.json.Decoder(ReplayRequest)
_ENCODER = msgspec.json.Encoder()


class Replays:
    """Answers requests, not too many and not too large ones.

    Args:
        root: Topic of the node.
        store: Has the alerts.
        clock: Its monotonic time counts.

    Attributes:
        topic: Where requests come in.
    """

    def __init__(self, root: str, store: Store, *, clock: Clock) -> None:
        self.topic = f"{root}/alerts/replay"
        self._answers, self._store = f"{root}/alerts/replayed", store
        self._pace = Throttle(clock.monotonic, every_s=_EVERY_S)
        self._told = Throttle(clock.monotonic)

    def answer(self, message: Message) -> list[Publication]:
        """The alerts asked for, as they were, and the end; nothing for what is no request."""
        if message.retain or self._pace.admit("request") is None:
            return self._refuse("too soon after the last one, or kept by the broker")
        try:
            asked = _REQUEST.decode(message.payload[:_LARGEST_REQUEST])
            found = self._store.alerts(asked.from_seq, asked.limit)
        except (ValueError, RecursionError, SnapshotError) as error:
            return self._refuse(str(error))
        last = found[-1].alert_seq if found else asked.from_seq - 1
        end = ReplayEnd(from_seq=asked.from_seq, count=len(found), last_seq=last)
        alerts = [Publication(self._answers, alert.payload, qos=1) for alert in found]
        return [*alerts, Publication(f"{self._answers}/end", _ENCODER.encode(end), qos=1)]

    def _refuse(self, why: str) -> list[Publication]:
        if (held := self._told.admit("refused")) is not None:
            log.warning(event("replay.refused", detail=why[:200], more=held or None))
        return []
