"""The port behind which the broker stands: messages in, publications out, nothing of any library.

`edge_lstm.io.lean` implements it with a client of our own for MQTT 5, `edge_lstm.io.mqtt`
with paho-mqtt, and `edge_lstm.io.choice` takes one of them.

One thread, the owner, calls everything here (`wake` may also come from a signal
handler). What happens on the network comes back as events from `receive`, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = [
    "Confirmed",
    "Connected",
    "Disconnected",
    "Message",
    "Publication",
    "Subscribed",
    "Subscription",
    "Transport",
    "TransportEvent",
    "Woken",
]


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A message to the broker.

    Attributes:
        topic: Where to.
        payload: Content; empty and retained clears what the broker keeps.
        qos: 0 (may be lost) or 1 (confirmed by the broker).
        retain: Whether the broker keeps it for later subscribers.
        essential: Whether it may take the last room of an outbox; what is not is dropped earlier.
        alert_seq: Number of the alert that it is, or 0.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    essential: bool = True
    alert_seq: int = 0


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """A topic filter to receive, with its quality of service."""

    filter: str
    qos: int


class Message(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A message from the broker, to be acknowledged once its work is done.

    The order of the fields is the journal's format (`edge_lstm.io.record`): new ones go to
    the end, with a default.

    Attributes:
        topic: Where it was published.
        payload: Content.
        qos: How it was delivered.
        retain: Whether the broker had kept it from before the subscription.
        arrived_ns: Time of arrival, nanoseconds since 1970-01-01 UTC.
        mid: The broker's number for it, of meaning within one connection only.
        epoch: Which connection it came over.
        duplicate: Whether the broker says that it may have sent it before (DUP, MQTT 5 section 3.3.1.1).
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    arrived_ns: int
    mid: int = 0
    epoch: int = 0
    duplicate: bool = False


class Connected(msgspec.Struct, frozen=True, gc=False):
    """The broker has accepted us.

    Attributes:
        epoch: Number of the connection.
        session_present: Whether the broker remembers us: our subscriptions, and messages from meanwhile.
    """

    epoch: int
    session_present: bool


class Disconnected(msgspec.Struct, frozen=True, gc=False):
    """A connection that was accepted has ended; what was not confirmed may be lost.

    Attributes:
        epoch: Number of the connection.
        reason: Why, in one line.
        taken_over: Whether another client with our id has taken our place; the transport gives way to it
            and does not come back, so its owner should end.
    """

    epoch: int
    reason: str
    taken_over: bool = False


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """The broker's answer to our subscriptions.

    Attributes:
        refused: Filters it does not let us have; asked for again after a while.
    """

    refused: tuple[str, ...]


class Confirmed(msgspec.Struct, frozen=True, gc=False):
    """The broker's answer to a publication that was given a token.

    Attributes:
        token: The token.
        failure: Why the broker did not take it, or empty when it did.
        heard: False when the broker says that nobody subscribes to it.
    """

    token: int
    failure: str = ""
    heard: bool = True


class Woken(msgspec.Struct, frozen=True, gc=False):
    """Somebody called `Transport.wake`."""


TransportEvent = Message | Connected | Disconnected | Subscribed | Confirmed | Woken


class Transport(Protocol):
    """A connection to the broker that keeps itself up.

    Subscriptions, last will and the *online* message belong to its construction: they
    are made anew by the transport whenever that is needed.
    """

    @property
    def name(self) -> str:
        """What speaks MQTT: ``mqtt5`` or ``paho``."""
        ...

    @property
    def rival(self) -> bool:
        """Whether, by the last loss of the connection, another client seems to have our name."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it is still at work (connected or trying); not any more once its place was taken."""
        ...

    @property
    def backlog(self) -> int:
        """Events that wait to be received."""
        ...

    @property
    def dropped(self) -> int:
        """Publications of QoS 0 that were dropped because the network could not take them."""
        ...

    def start(self) -> None:
        """Begin to connect; returns at once."""
        ...

    def receive(self, timeout_s: float) -> Sequence[TransportEvent]:
        """What has happened since the last call, in order; empty when nothing does for ``timeout_s`` seconds.

        It returns as soon as there is something, with all that is there, but never more than
        some thousands of events at once.
        """
        ...

    def publish(self, publication: Publication, *, token: int | None = None) -> None:
        """Send on the connection of the newest `Connected` received, or drop it when that has ended.

        It may be written as late as the next `receive` or `ack`.

        Args:
            publication: What.
            token: Answered by a `Confirmed` with the same token; needs QoS 1.
        """
        ...

    def ack(self, epoch: int, mids: Sequence[int]) -> None:
        """Tell the broker that the work of messages is done; dropped when their connection has ended.

        Args:
            epoch: The connection they came over.
            mids: Their numbers, in order of arrival; messages of QoS 0 have none.
        """
        ...

    def wake(self) -> None:
        """Make `receive` return a `Woken`; safe in a signal handler."""
        ...

    def stop(self, farewell: Publication, *, timeout_s: float) -> None:
        """Send what waits (acknowledgements first), say farewell, disconnect, end.

        Args:
            farewell: Last publication, in place of the last will.
            timeout_s: Longest time this may take, seconds.
        """
        ...
