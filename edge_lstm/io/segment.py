"""The form of a journal segment: a header page, then records, each with its number and checksum.

A segment is a preallocated file; where records end, zeros or the content of an earlier life
follow. The mark and the checksum of a record are made with the number of the segment, so
that nothing of an earlier life can pass for a record of this one.

A record is written where the last one ended, or at the next page where that touches fewer
pages: every flush costs whole pages, on flash whole erase units.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["PAGE", "Segment", "encode_record", "first_block", "header_page", "place", "read_header"]

PAGE = 4096
"""Bytes of a page, the least that a flush writes; records begin after the first."""

_MAGIC = b"ELJRNL\r\n"
_FORMAT = 1
_HEADER = struct.Struct("<8sHxxxxxxQQ32s")
"""Magic, format, number of the segment, number of its first record, digest of the bundle."""
_CRC = struct.Struct("<I")

_RECORD = struct.Struct("<4sIQQIIBxxx")
"""Mark, CRC-32 of what follows, number, greatest number known durable, lengths stored and plain, codec."""
_CHECKED = 8
_PLAIN, _ZLIB = 0, 1
_LENGTH = struct.Struct("<I")
_MOST_PLAIN = 1 << 30


def header_page(number: int, first: int, bundle_sha256: str) -> bytes:
    """The first page of a segment."""
    header = _HEADER.pack(_MAGIC, _FORMAT, number, first, bytes.fromhex(bundle_sha256))
    return (header + _CRC.pack(zlib.crc32(header))).ljust(PAGE, b"\0")


def read_header(page: bytes) -> tuple[int, int, str]:
    """Number of the segment, number of its first record, digest of the bundle.

    Raises:
        ValueError: It is damaged, or of another version.
    """
    if len(page) < _HEADER.size + _CRC.size:
        raise ValueError("its header is cut short")
    header = page[: _HEADER.size]
    if _CRC.unpack_from(page, _HEADER.size)[0] != zlib.crc32(header):
        raise ValueError("the checksum of its header does not fit")
    magic, version, number, first, digest = _HEADER.unpack(header)
    if magic != _MAGIC or version != _FORMAT:
        raise ValueError(f"it has format {version}, this version reads {_FORMAT}")
    return number, first, digest.hex()


def _seed(segment: int) -> int:
    return zlib.crc32(struct.pack("<Q", segment), 0x5EC0)


def _mark(segment: int) -> bytes:
    return _CRC.pack(zlib.crc32(b"record", _seed(segment)) | 1)  # never 0, which preallocated room is full of


def encode_record(
    segment: int, number: int, blocks: Sequence[bytes], *, durable: int, compress: bool
) -> bytes:
    """One record that holds some blocks.

    Args:
        segment: Number of the segment.
        number: Number of the record.
        blocks: What it holds.
        durable: Greatest number of a record that is known to be on the disk.
        compress: Try to make it smaller.
    """
    plain = b"".join(part for block in blocks for part in (_LENGTH.pack(len(block)), block))
    content, codec = plain, _PLAIN
    if compress and len(smaller := zlib.compress(plain, 1)) < len(plain):
        content, codec = smaller, _ZLIB
    head = _RECORD.pack(_mark(segment), 0, number, durable, len(content), len(plain), codec)
    crc = zlib.crc32(content, zlib.crc32(memoryview(head)[_CHECKED:], _seed(segment)))
    return head[:4] + _CRC.pack(crc) + head[_CHECKED:] + content


def place(offset: int, length: int) -> int:
    """Where to write so many bytes: at ``offset``, or at the next page when that touches fewer pages."""
    touched = (offset + length - 1) // PAGE - offset // PAGE + 1
    return offset if touched <= -(-length // PAGE) else -(-offset // PAGE) * PAGE


def first_block(content: memoryview) -> tuple[memoryview, memoryview]:
    """The first block of a record's plain content, and what is left.

    Raises:
        ValueError: It is not made of blocks.
    """
    end = _LENGTH.size + (_LENGTH.unpack_from(content)[0] if len(content) >= _LENGTH.size else len(content))
    if end > len(content):
        raise ValueError("a record of the journal is not made of blocks")
    return content[_LENGTH.size : end], content[end:]


@dataclass(frozen=True, slots=True)
class _Found:
    """A sound record: its place, the end of it, and the facts of its head."""

    offset: int
    end: int
    number: int
    durable: int
    plain: int
    codec: int


class Segment:
    """What a segment file holds: its header, and after `scan` where its records are.

    Args:
        page: The first page of the file.

    Attributes:
        number: Which segment.
        first: Number of its first record.
        bundle_sha256: Bundle that ran when it was made.

    Raises:
        ValueError: Its header cannot be used.
    """

    def __init__(self, page: bytes) -> None:
        self.number, self.first, self.bundle_sha256 = read_header(page)
        self._seed, self._mark = _seed(self.number), _mark(self.number)
        self._records: list[_Found] = []

    def scan(self, data: bytes, before: int | None, *, needed: int = 0) -> None:
        """Find the sound records, in order, up to the first that is missing.

        Args:
            data: The whole file.
            before: Number of the next segment's first record, where there is one: a record is in one place.
            needed: Number of the first record that matters; damage before it is passed over.
        """
        self._records, offset, number = [], PAGE, self.first
        while before is None or number < before:
            found = self._sound(data, offset, number)
            found = found or self._sound(data, -(-offset // PAGE) * PAGE, number)
            if found is None and number < needed:
                found = next(
                    (one for one in self._later(data, offset) if number < one.number <= needed), None
                )
            if found is None:
                return
            self._records.append(found)
            offset, number = found.end, found.number + 1

    @property
    def end(self) -> int:
        """Where the sound records end, bytes."""
        return self._records[-1].end if self._records else PAGE

    @property
    def after(self) -> int:
        """Number of the first record that is not there."""
        return self._records[-1].number + 1 if self._records else self.first

    def damaged(self, data: bytes) -> bool:
        """Whether a record is missing that was known to be on the disk: a torn end is never that."""
        return any(
            one.number > self.after and one.durable >= self.after for one in self._later(data, self.end)
        )

    def _later(self, data: bytes, offset: int) -> Iterator[_Found]:
        """Sound records anywhere after a place."""
        while (offset := data.find(self._mark, offset)) >= 0:
            if (found := self._sound(data, offset, None)) is not None:
                yield found
            offset += 1

    def blocks(self, after: int, data: bytes) -> Iterator[bytes]:
        """The blocks of the records with a number above ``after``, in order.

        Args:
            after: See above.
            data: The file, as far as the sound records go.
        """
        for found in self._records:
            if found.number <= after:
                continue
            content = data[found.offset + _RECORD.size : found.end]
            if found.codec == _ZLIB:
                content = zlib.decompress(content, bufsize=max(1, found.plain))
            rest = memoryview(content)
            while rest:
                block, rest = first_block(rest)
                yield bytes(block)

    def _sound(self, data: bytes, offset: int, number: int | None) -> _Found | None:
        """The record at a place, when there is a sound one, with this number where one is given."""
        if data[offset : offset + 4] != self._mark or offset + _RECORD.size > len(data):
            return None
        _, crc, said, durable, length, plain, codec = _RECORD.unpack_from(data, offset)
        end = offset + _RECORD.size + length
        if end > len(data) or plain > _MOST_PLAIN or (number is not None and said != number):
            return None
        if zlib.crc32(memoryview(data)[offset + _CHECKED : end], self._seed) != crc:
            return None
        return _Found(offset, end, said, durable, plain, codec)
