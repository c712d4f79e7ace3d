"""What ends a connection, and what is told of connections in the log; the same for every transport."""

from __future__ import annotations

import logging
import random
import time

from edge_lstm.errors import OperatorError
from edge_lstm.io.backoff import Backoff
from edge_lstm.io.settings import MqttSettings
from edge_lstm.logs import Throttle, event

__all__ = ["ConnectionLost", "Pace", "Story", "why"]

log = logging.getLogger(__name__)

_SUMMARY_S = 300.0
_LASTING_S = 10.0
_BRIEF_S = 60.0
_RIVAL = 3
"""So many brief connections in a row are no accident."""


class ConnectionLost(Exception):  # noqa: N818 - the usual end of a connection, not an error
    """The connection has ended.

    Args:
        reason: Why, in one line.
        taken_over: Whether another client with our id has taken our place.
        slow: Whether another attempt soon would do harm.
        code: Reason code of the DISCONNECT that the broker is still owed (MQTT 5, 3.14.2.1), or ``None``.
        closed: Whether the connection was just closed, without a word of the broker.
    """

    def __init__(
        self,
        reason: str,
        *,
        taken_over: bool = False,
        slow: bool = False,
        code: int | None = None,
        closed: bool = False,
    ) -> None:
        self.reason, self.taken_over, self.slow, self.code = reason, taken_over, slow, code
        self.closed = closed
        super().__init__(reason)


def why(error: BaseException) -> ConnectionLost:
    """What ended a connection, as a `ConnectionLost`; an error that nobody expected keeps its type's name."""
    if isinstance(error, ConnectionLost):
        return error
    if isinstance(error, OSError):
        return ConnectionLost(error.strerror or str(error) or type(error).__name__)
    if isinstance(error, OperatorError):
        return ConnectionLost(str(error))
    log.debug("mqtt.connection_crashed", exc_info=error)
    return ConnectionLost(f"{type(error).__name__}: {error}")


class Pace:
    """When to connect again, so that neither a fleet nor a pair of one name does harm.

    A second client with our name takes our session, and we take it back, and so on for ever. Brokers
    say so (0x8E) or just close: a session that was kept and is closed without a word, time and
    again within a minute, is taken for that, and the next attempt waits as long as any does.

    Args:
        settings: Bounds of the delays.
    """

    def __init__(self, settings: MqttSettings) -> None:
        self._backoff = Backoff(random.random, least_s=settings.retry_s, most_s=settings.retry_most_s)
        self._closed = 0

    def rival(self, lost: ConnectionLost, *, kept: bool, lasted_s: float) -> bool:
        """Whether another client seems to have our name.

        Args:
            lost: What ended the connection, or the attempt at one.
            kept: Whether the broker had let us in, with the session of before.
            lasted_s: For how long, seconds.
        """
        self._closed = self._closed + 1 if lost.closed and kept and lasted_s < _BRIEF_S else 0
        return self._closed >= _RIVAL

    def next_s(self, lost: ConnectionLost, *, lasted_s: float, rival: bool) -> float:
        """The wait before the next attempt, seconds."""
        if lasted_s > _LASTING_S and not rival:
            self._backoff.reset()
        return self._backoff.next_s(slow=lost.slow or rival)


class Story:
    """Tells of the connection: the first failure at once, then a summary from time to time.

    Args:
        settings: The broker and who we are there.
        client: Name of the transport.
    """

    def __init__(self, settings: MqttSettings, client: str) -> None:
        self._where = {"host": settings.host, "port": settings.port}
        self._client, self._wanted_s = client, settings.session_expiry_s
        self._reason = ""
        self._attempts = 0
        self._since = self._told = 0.0
        self._short_s: int | None = None
        self._throttle = Throttle(time.monotonic)

    def connected(self) -> None:
        """We are in."""
        after_s = round(time.monotonic() - self._since, 1) if self._attempts else None
        facts = {"attempts": self._attempts or None, "after_s": after_s}
        log.info(event("mqtt.connected", **self._where, client=self._client, **facts))
        self._attempts, self._reason = 0, ""

    def session(self, expiry_s: int | None) -> None:
        """The broker has said how long it remembers us (MQTT 5, 3.2.2.3.2); told when it is shorter, once."""
        if expiry_s is None or expiry_s >= self._wanted_s or expiry_s == self._short_s:
            return
        self._short_s = expiry_s
        log.warning(
            event(
                "mqtt.session_shortened",
                **self._where,
                wanted_s=self._wanted_s,
                got_s=expiry_s,
                detail="readings of a longer absence are lost; raise the broker's limit",
            )
        )

    def refused(self, topic: str, reason: str) -> None:
        """A publication that no `Confirmed` tells of can never be sent on this connection."""
        if self._throttle.admit(topic) is not None:
            log.error(event("mqtt.publication_refused", topic=topic, reason=reason))

    def rival(self) -> None:
        """Another client seems to have our name."""
        if self._throttle.admit(self.rival) is not None:
            detail = "our session is closed again and again: another client may use our client_id"
            log.error(event("mqtt.rival_suspected", **self._where, detail=detail))

    def lost(self, lost: ConnectionLost, delay_s: float | None) -> None:
        """We are out, or were not let in; the next attempt is after ``delay_s`` seconds, or never."""
        now = time.monotonic()
        self._since = self._since if self._attempts else now
        self._attempts += 1
        if lost.taken_over:
            detail = "another client uses our client_id: two daemons of one node? this one gives way"
            log.error(event("mqtt.taken_over", **self._where, detail=detail))
        if lost.reason == self._reason and now - self._told < _SUMMARY_S:
            return
        attempts = self._attempts if lost.reason == self._reason else None
        self._reason, self._told = lost.reason, now
        facts = {"attempts": attempts, "retry_in_s": None if delay_s is None else round(delay_s, 1)}
        log.warning(event("mqtt.disconnected", **self._where, reason=lost.reason, **facts))
