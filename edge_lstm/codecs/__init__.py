"""Payload bytes to readings; what cannot be read is a `Reject`, never an exception. Pure."""

from __future__ import annotations

from collections.abc import Callable

from edge_lstm.codecs.base import Codec, CodecStateError, Decoded, Envelope, Wish
from edge_lstm.codecs.cbor_frame import CborFrameCodec
from edge_lstm.codecs.influx import InfluxCodec
from edge_lstm.codecs.json_frame import JsonFrameCodec
from edge_lstm.codecs.plain import PlainCodec
from edge_lstm.codecs.senml import SenmlCodec
from edge_lstm.codecs.sparkplug import SparkplugCodec
from edge_lstm.contracts.config import InputConfig, InputFormat

__all__ = ["Codec", "CodecStateError", "Decoded", "Envelope", "Wish", "make_codec"]

_CODECS: dict[InputFormat, Callable[[InputConfig], Codec]] = {
    "json": JsonFrameCodec,
    "value": PlainCodec,
    "cbor": CborFrameCodec,
    "senml": SenmlCodec,
    "influx": InfluxCodec,
    "sparkplug": SparkplugCodec,
}


def make_codec(source: InputConfig) -> Codec:
    """The codec that an input asks for."""
    return _CODECS[source.format](source)
