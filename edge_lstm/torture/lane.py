"""One daemon with its sensors and its consumer: readings flow while somebody else does harm."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping

from edge_lstm.errors import TortureError
from edge_lstm.torture.alerts import Consumer
from edge_lstm.torture.site import Site
from edge_lstm.torture.states import read_states
from edge_lstm.torture.truth import Stream, Subject, expect
from edge_lstm.torture.verdict import Verdict, delivered, judge
from edge_lstm.torture.wire import Peer

__all__ = ["Lane"]

_TICK_S = 0.01
_RATE = 600.0
"""Readings a second; about 200 between two faults."""


class Lane:
    """Feeds, listens and judges.

    Args:
        site: The daemon.
        port: The broker's own port, past any proxy.
        subject: What it runs.
        seed: What is sent follows from it.
        streams: How many machines.
        rate: Readings a second.
        patience_s: Without any progress for so long, waiting is given up.
        replay: Whether the consumer asks for what it missed.

    Attributes:
        streams: What was sent.
        consumer: What was heard.
        trials: Faults done to it; counted by whoever does them.
    """

    def __init__(
        self,
        site: Site,
        port: int,
        subject: Subject,
        seed: str,
        *,
        streams: int = 16,
        rate: float = _RATE,
        patience_s: float = 10.0,
        replay: bool = True,
    ) -> None:
        self.site, self.subject = site, subject
        self.streams = [Stream(f"m{i}", subject, f"{seed}/{site.node}", site.tier) for i in range(streams)]
        self.consumer = Consumer(port, f"edge-lstm/{site.node}", replay=replay)
        self.trials = 0
        self._sensor = Peer(port, f"sensor-{site.node}")
        self._rate, self._patience_s = rate, patience_s
        self._choice = random.Random(f"{seed}/{site.node}/order")  # noqa: S311 - to be made again from the seed
        self._due = 0.0
        self._known: tuple[int, Counter[str]] = (0, Counter())
        self.disturb: Callable[[Peer, Stream], None] | None = None

    # ------------------------------------------------------------------------------ flow

    def run_for(self, seconds: float) -> None:
        """Let readings flow for a while."""
        self.run_until(lambda: False, seconds)

    def run_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Let readings flow until it is so, but not longer; whether it is so."""
        begin = last = time.monotonic()
        while (now := time.monotonic()) - begin < seconds:
            if done():
                return True
            self._due += (now - last) * self._rate
            last = now
            while self._due >= 1:
                self._due -= 1
                self._send()
            self.turn(min(_TICK_S, begin + seconds - now))
        return done()

    def _send(self) -> None:
        stream = self._choice.choice(self.streams)
        if self.disturb is not None and stream.sent:  # to a stream without a past, nothing is too old
            self.disturb(self._sensor, stream)
        self._sensor.publish(self.site.topic.replace("{asset}", stream.asset), stream.next())

    def turn(self, timeout_s: float) -> None:
        """Network for a moment, without new readings."""
        self._sensor.poll(0.0)
        self.consumer.poll(max(0.0, timeout_s))

    def begin(self) -> None:
        """Start the daemon once and stop it, so that the broker has its session before the first reading.

        Raises:
            TortureError: It does not get as far as its subscription.
        """
        self.site.start()
        end = time.monotonic() + 20
        while time.monotonic() < end and not self._subscribed():
            self.turn(_TICK_S)
            if (code := self.site.ended()) is not None:
                raise TortureError(f"the daemon ends with {code}", got=self.site.last_words())
        if not self._subscribed():
            raise TortureError("the daemon does not come to its subscription", got=self.site.last_words())
        self.site.stop()

    def _subscribed(self) -> bool:
        log = self.site.log
        return log.exists() and "mqtt.subscribed" in log.read_text("utf-8", "replace")

    def wait(self, done: Callable[[], bool], progress: Callable[[], object]) -> bool:
        """Turn until it is so, or until nothing has moved for the patience."""
        last, moved = progress(), time.monotonic()
        while not done():
            self.turn(_TICK_S)
            now = progress()
            if now != last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > self._patience_s:
                return False
        return True

    # ------------------------------------------------------------------------------ the end

    def finish(self, given: Callable[[], Mapping[str, set[int]]] | None = None) -> Verdict:
        """Let everything come through, stop the daemon, and judge.

        Args:
            given: Says which readings reached the daemon, where the broker may forget some.
        """
        if self.site.pid is None:
            self.site.start()
        begin = time.monotonic()
        self.wait(lambda: self.consumer.health.get("pid") == self.site.pid, self._progress)
        sent = sum(len(stream.sent) for stream in self.streams)
        if not self.wait(lambda: not self._sensor.pending, lambda: self._sensor.pending):
            self.site.faults.append(f"the broker does not take {self._sensor.pending} readings")
        self.wait(lambda: self._frames() >= sent and not self._outbox(), self._progress)
        self.consumer.insists = True
        due = expect(self.subject, self.site.config(), self.streams).alerts
        self.wait(lambda: not due - self._heard(), self._progress)
        drained_s = time.monotonic() - begin
        self.site.stop()
        verdict = judge(
            self.subject,
            self.site.config(),
            self.streams,
            states=self._states(),
            alerts=self.consumer.alerts,
            given=None if given is None else given(),
        )
        verdict.trials, verdict.replays, verdict.drain_s = self.trials, self.consumer.asked, drained_s
        verdict.faults += self.site.faults
        self.close()
        return verdict

    def close(self) -> None:
        """End the connections."""
        self._sensor.drop()
        self.consumer.peer.drop()

    def _states(self) -> Mapping[str, Mapping[str, bytes]]:
        try:
            return read_states(self.site.state, self.subject.bundle.sha256)
        except TortureError as error:
            self.site.faults.append(str(error))
            return {}

    def _frames(self) -> int:
        return int(self.consumer.health.get("frames", 0))

    def _outbox(self) -> int:
        return int(self.consumer.health.get("outbox", 0))

    def _heard(self) -> Counter[str]:
        """What the consumer has, read anew when there is more."""
        count = len(self.consumer.alerts)
        if self._known[0] != count:
            self._known = count, delivered(self.consumer.alerts, self.site.tier)[0]
        return self._known[1]

    def _progress(self) -> object:
        health = self.consumer.health
        return self._frames(), self._outbox(), health.get("rejects"), len(self.consumer.alerts)
