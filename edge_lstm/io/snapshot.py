"""Everything the daemon remembers, in one file that survives restarts.

The file is a header (magic, format, length, CRC-32 of what follows) and MessagePack. It
is replaced in one step: written beside, flushed to the disk, renamed, and the folder
flushed, so that a power cut leaves the old one or the new one. What cannot be used is
kept aside as ``state.snapshot.bad`` and the daemon starts cold, which health says.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

import msgspec

from edge_lstm.contracts.reading import RejectReason
from edge_lstm.contracts.state import DetectorSnapshot
from edge_lstm.errors import SnapshotError
from edge_lstm.io.folder import LOCK, StateFolder, private
from edge_lstm.io.transport import Publication

__all__ = ["BAD", "LOCK", "SNAPSHOT", "Counters", "DaemonSnapshot", "StateDir", "balance"]

SNAPSHOT = "state.snapshot"
BAD = "state.snapshot.bad"

_MAGIC = b"ELSNAP\r\n"
_FORMAT = 1
_HEADER = struct.Struct("<8sHxxII")
"""Magic, format, length of the body, CRC-32 of the body."""


class Counters(msgspec.Struct):
    """What has been counted since the state folder was new.

    Attributes:
        received: Readings that came in; a message that is no reading counts as one.
        accepted: Readings of these that went into a frame, or wait to; see `balance`.
        readings: Messages that became a reading.
        frames: Frames that were scored.
        alerts: Alerts of any type.
        bad_values: Values of the model's channels that were there but were not numbers.
        failures: Messages that met a fault of ours.
        spoiled: Readings of these messages.
        rejects: What was turned away, by reason.
        quality: Faults of the input that began, by reason.
        last_reading_ns: Time of arrival of the newest reading, nanoseconds since 1970-01-01 UTC; 0 is never.
        published: Publications that must arrive: their newest number.
        alert_seq: The newest alert's number.
    """

    received: int = 0
    accepted: int = 0
    readings: int = 0
    frames: int = 0
    alerts: int = 0
    bad_values: int = 0
    failures: int = 0
    spoiled: int = 0
    rejects: dict[str, int] = {}
    quality: dict[str, int] = {}
    last_reading_ns: int = 0
    published: int = 0
    alert_seq: int = 0


_CLASSES: dict[str, str] = {
    RejectReason.DUPLICATE: "duplicate",
    RejectReason.REDELIVERED: "duplicate",
    RejectReason.LATE: "late",
    RejectReason.BAD_TIME: "bad",
    RejectReason.FUTURE: "bad",
    RejectReason.SEQ_CONFLICT: "bad",
    RejectReason.STALE_RETAINED: "bad",
    RejectReason.BAD_TOPIC: "unknown",
    RejectReason.BAD_ASSET: "unknown",
    RejectReason.NOT_BORN: "unknown",
    RejectReason.NOT_DATA: "unknown",
    RejectReason.NO_CHANNEL: "unknown",
    RejectReason.TOO_MANY_ASSETS: "unknown",
    RejectReason.TOO_MANY_NEW: "unknown",
    RejectReason.TOO_LARGE: "quarantined",
    RejectReason.UNDECODABLE: "quarantined",
    RejectReason.SCHEMA_UNSUPPORTED: "quarantined",
}


def balance(counters: Counters) -> dict[str, int]:
    """What became of every reading that was received, in six classes that add up to ``received``.

    The law of conservation: accepted + duplicate + late + bad + unknown + quarantined = received,
    exactly, after every message and over restarts. A reason that is not known here is ``bad``.
    """
    out = dict.fromkeys(("accepted", "duplicate", "late", "bad", "unknown", "quarantined"), 0)
    out["accepted"], out["bad"] = counters.accepted, counters.spoiled
    for reason, number in counters.rejects.items():
        out[_CLASSES.get(reason, "bad")] += number
    return out


class DaemonSnapshot(msgspec.Struct):
    """What the file holds.

    Attributes:
        saved_ns: When it was written, nanoseconds since 1970-01-01 UTC.
        detector: States and memory of every asset.
        counters: What has been counted.
        unsent: Publications that the broker has not confirmed, in order.
        filters: Topic filters that the broker remembers of us.
    """

    saved_ns: int
    detector: DetectorSnapshot
    counters: Counters
    unsent: list[Publication] = []
    filters: list[str] = []


_DECODER = msgspec.msgpack.Decoder(DaemonSnapshot)
_ENCODER = msgspec.msgpack.Encoder()


class StateDir:
    """The folder of one daemon's state, held by a lock for as long as the object is open.

    Args:
        path: The folder; made when it is not there.

    Raises:
        SnapshotError: It cannot be used, or another daemon uses it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._folder = path, StateFolder(path)

    def close(self) -> None:
        """Let another daemon have the folder."""
        self._folder.close()

    def load(self) -> DaemonSnapshot | None:
        """The newest snapshot, or ``None`` when there is none.

        Raises:
            SnapshotError: There is one, and it is damaged or of another format.
        """
        path = self._path / SNAPSHOT
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SnapshotError(f"cannot read {path}: {error.strerror}") from error
        try:
            return _DECODER.decode(_body(raw))
        except (ValueError, RecursionError) as error:
            raise SnapshotError(f"{path} is damaged or of another version: {error}") from error

    def set_aside(self) -> Path:
        """Keep an unusable snapshot for whoever wants to know why.

        Raises:
            SnapshotError: It cannot be renamed.
        """
        bad = self._path / BAD
        try:
            (self._path / SNAPSHOT).replace(bad)
        except OSError as error:
            raise SnapshotError(f"cannot set {self._path / SNAPSHOT} aside: {error.strerror}") from error
        return bad

    def save(self, snapshot: DaemonSnapshot) -> int:
        """Write a snapshot: whole or not at all.

        Returns:
            Bytes written.

        Raises:
            SnapshotError: The disk is full, or will not be written to; the old snapshot still stands.
        """
        try:
            body = _ENCODER.encode(snapshot)
        except (OverflowError, ValueError, TypeError) as error:  # a fault of ours must not end the daemon
            raise SnapshotError(f"the states cannot be written down: {error}") from error
        header = _HEADER.pack(_MAGIC, _FORMAT, len(body), zlib.crc32(body))
        path = self._path / SNAPSHOT
        beside = path.with_name(f"{SNAPSHOT}.part")
        try:
            with open(beside, "wb", opener=private) as file:
                file.write(header)
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            self._folder.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)  # a full disk gets its space back
            raise SnapshotError(
                f"cannot write {path}: {error.strerror}", do="free some space, or check the disk"
            ) from error
        return len(header) + len(body)


def _body(raw: bytes) -> bytes:
    """What follows a sound header.

    Raises:
        ValueError: It is not sound.
    """
    if len(raw) < _HEADER.size:
        raise ValueError("it is cut short")
    magic, version, length, crc = _HEADER.unpack_from(raw)
    body = raw[_HEADER.size :]
    if magic != _MAGIC:
        raise ValueError("it does not begin like a snapshot")
    if version != _FORMAT:
        raise ValueError(f"it has format {version}, this version reads {_FORMAT}")
    if len(body) != length:
        raise ValueError(f"it has {len(body)} bytes of {length}")
    if zlib.crc32(body) != crc:
        raise ValueError("its checksum does not fit")
    return body
