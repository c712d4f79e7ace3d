"""One CBOR map a message, or a list of them, with several channels in each."""

from __future__ import annotations

from edge_lstm.codecs.base import Decoded, Envelope, unreadable
from edge_lstm.codecs.cbor_data import decode_cbor
from edge_lstm.codecs.json_frame import FrameCodec

__all__ = ["CborFrameCodec"]


class CborFrameCodec(FrameCodec):
    """Reads in binary form what `edge_lstm.codecs.json_frame.JsonFrameCodec` reads."""

    def decode(self, payload: bytes, envelope: Envelope) -> Decoded:
        """Read one payload; see `edge_lstm.codecs.base.Codec.decode`."""
        try:
            body = decode_cbor(payload)
        except ValueError as error:
            return unreadable(error, envelope.asset)
        return self.readings(body, envelope)
