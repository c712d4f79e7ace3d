"""Malformed payloads, topics, commands and packets between good readings."""

from __future__ import annotations

import random
from contextlib import closing

from edge_lstm.torture.proxy import Proxy
from edge_lstm.torture.setup import Setup, share
from edge_lstm.torture.truth import Stream
from edge_lstm.torture.verdict import Verdict
from edge_lstm.torture.wire import Peer

__all__ = ["garbage", "old", "packets", "poison"]

_CAMPAIGN = 25
_SHARE = 0.3


def poison(setup: Setup) -> Verdict:
    """Mix poison into the readings, and send the daemon packets that no broker sends."""

    def campaign(number: int, trials: int) -> Verdict:
        node = f"poison-{number}"
        chance = setup.chance(node)
        with setup.broker(f"broker-{number}") as broker, closing(Proxy(broker.port)) as proxy:
            site = setup.site(node, proxy.port, number, tier="time")
            lane = setup.lane(site, broker.port)
            root = f"edge-lstm/{node}"

            def disturb(sensor: Peer, stream: Stream) -> None:
                if chance.random() >= _SHARE:
                    return
                good = site.topic.replace("{asset}", stream.asset)
                topic = chance.choice((good, good, good, f"torture/{node}/{_odd_name(chance)}"))
                if chance.random() < 0.1:
                    topic = chance.choice((f"{root}/alerts/replay", f"{root}/command", f"{root}/x/y/z"))
                # Elsewhere an old reading is the first of a new stream, and a good one.
                sensor.publish(
                    topic, old(chance, stream) if topic == good and chance.random() < 0.1 else garbage(chance)
                )

            lane.begin()
            site.start()
            lane.disturb = disturb
            for _ in range(trials):
                lane.run_for(chance.uniform(0.2, 0.5))
                proxy.inject(packets(chance))
                lane.trials += 1
            lane.run_for(0.5)
            return lane.finish()

    return share(setup, campaign, most=_CAMPAIGN)


def _odd_name(chance: random.Random) -> str:
    names = (" ", "ä" * 40, "x" * 900, "..", "%00", "m0'--", '"', "{asset}", "\N{GRINNING FACE}")
    return chance.choice(names)


def old(chance: random.Random, stream: Stream) -> bytes:
    """A reading that is there already, or one from long before."""
    if chance.random() < 0.5:
        return stream.again(chance.randrange(len(stream.sent)))
    return b'{"time":1000,"low":1,"high":1,"salt":1,"pepper":1}'  # the year 1970


def garbage(chance: random.Random) -> bytes:
    """A payload that is no reading: whatever comes of it, it must not be scored."""
    kinds = (
        b"",
        b"\x00\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b"NaN",
        b'"text"',
        b'{"time":"yesterday","low":1}',
        b'{"time":1e999,"low":1}',
        b'{"low":1,"high":1,"salt":1,"pepper":1}',
        b'{"time":null}',
        b'{"time":true,"low":1}',
        b"[" * 5000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"time":4102444800000,"low":1,"high":1,"salt":1,"pepper":1}',  # the year 2100
        b'{"time":"2026-01-01T00:00:00Z","\xff":1}',
        b"x" * chance.choice((65_000, 65_537, 200_000)),
        chance.randbytes(chance.randint(1, 300)),
    )
    return chance.choice(kinds)


def packets(chance: random.Random) -> bytes:
    """Bytes that are no packet of MQTT 5, or one that no broker may send."""
    kinds = (
        b"\x00\x00",  # type 0 is forbidden
        b"\xf0\x00",  # AUTH that nobody asked for
        b"\x10\x00",  # CONNECT, from a broker
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x32\x03\x00\x05a",  # PUBLISH that ends within its topic
        b"\x30\x04\x00\x02\xff\xfe",  # a topic that is not UTF-8
        b"\x36\x05\x00\x01a\x00\x01",  # QoS 3
        b"\x32\x06\x00\x01a\x00\x00\x00",  # packet identifier 0
        b"\x40\x03\x00\x01\x77",  # PUBACK with a reason that does not exist
        b"\x40\x01\x00",  # PUBACK cut short
        b"\x90\x00",  # SUBACK without anything
        b"\x20\x02\x00\x00",  # CONNACK once more
        b"\xe0\x02\x77\x00",  # DISCONNECT with a reason that does not exist
        b"\x30\x05\x00\x01a\x7f\x00",  # a property cut short
        chance.randbytes(chance.randint(1, 64)).replace(b"\x32", b"\x00"),
    )
    return chance.choice(kinds)
