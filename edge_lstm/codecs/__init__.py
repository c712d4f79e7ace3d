"""Payload bytes to readings; what cannot be read is a `Reject`, never an exception. Pure."""

from __future__ import annotations

from edge_lstm.codecs.base import Codec, CodecStateError, Decoded, Envelope, Wish
from edge_lstm.codecs.json_frame import JsonFrameCodec
from edge_lstm.codecs.plain import PlainCodec
from edge_lstm.contracts.config import InputConfig

__all__ = ["Codec", "CodecStateError", "Decoded", "Envelope", "Wish", "make_codec"]


def make_codec(source: InputConfig) -> Codec:
    """The codec that an input asks for."""
    return JsonFrameCodec(source) if source.format == "json" else PlainCodec(source)
