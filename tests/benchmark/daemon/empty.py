"""Subscribers that do nothing: what the client alone costs, and what the broker can give.

``python -m tests.benchmark.daemon.empty paho|mqtt5 PORT NAME QOS COUNT`` takes COUNT messages of its
session and prints the moments of the first and the last (seconds of `time.monotonic`) and its
processor time between them. With COUNT 0 it only subscribes, so that the broker knows its session.
"""

from __future__ import annotations

import json
import socket
import sys
import time

import mqtt5
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.benchmark.daemon.site import IN_FLIGHT

_EXPIRY_S = 3600


def empty_paho(port: int, name: str, qos: int, count: int) -> tuple[float, float, float]:
    """paho-mqtt as its documentation shows it: ``loop_forever``, and an ``on_message`` that only counts."""
    seen, first, begun = 0, 0.0, 0.0
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)

    def on_message(_client: paho.Client, _data: object, _message: paho.MQTTMessage) -> None:
        nonlocal seen, first, begun
        seen += 1
        if seen == 1:
            first, begun = time.monotonic(), time.process_time()
        if seen == count:
            client.disconnect()

    def on_connect(*_: object) -> None:
        client.subscribe(f"{name}/+", qos=qos)

    def on_subscribe(*_: object) -> None:
        client.disconnect()

    client.on_message = on_message
    client.on_connect = on_connect
    if not count:
        client.on_subscribe = on_subscribe
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = _EXPIRY_S
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    client.loop_forever()
    return first, time.monotonic(), time.process_time() - begun


def empty_mqtt5(port: int, name: str, qos: int, count: int) -> tuple[float, float, float]:
    """A loop of ``recv`` over the mqtt5 codec that acknowledges what it has read and keeps nothing."""
    link = socket.create_connection(("127.0.0.1", port), timeout=60)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connect = mqtt5.ConnectPacket(
        name, clean_start=False, session_expiry_interval=_EXPIRY_S, receive_max=IN_FLIGHT
    )
    wanted = mqtt5.TopicFilter(f"{name}/+", max_qos=mqtt5.QoS(qos))
    link.sendall(connect.write() + mqtt5.SubscribePacket(1, [wanted]).write())
    seen, first, begun, granted, rest = 0, 0.0, 0.0, False, b""
    while seen < count or not granted:
        data = memoryview(rest + link.recv(1 << 18))
        at, answers = 0, []
        while (found := _next(data, at)) is not None:
            packet, size = found
            at += size
            if isinstance(packet, mqtt5.PublishPacket):
                seen += 1
                if packet.packet_id is not None:
                    answers.append(mqtt5.PubAckPacket(packet.packet_id).write())
            granted = granted or isinstance(packet, mqtt5.SubAckPacket)
        if seen and not first:
            first, begun = time.monotonic(), time.process_time()
        link.sendall(b"".join(answers))
        rest = bytes(data[at:])
    last, used = time.monotonic(), time.process_time() - begun
    link.sendall(mqtt5.DisconnectPacket().write())
    link.close()
    return first, last, used


def _next(data: memoryview, at: int) -> tuple[mqtt5.Packet, int] | None:
    try:
        return mqtt5.read(data[at:])
    except IndexError:  # its way to say that the packet is not whole
        return None


if __name__ == "__main__":
    which, port, name, qos, count = sys.argv[1:]
    run = {"paho": empty_paho, "mqtt5": empty_mqtt5}[which]
    json.dump(run(int(port), name, int(qos), int(count)), sys.stdout)
