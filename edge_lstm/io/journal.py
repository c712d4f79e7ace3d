"""The journal: everything that arrived since the last checkpoint, in segment files.

One writer appends; `edge_lstm.io.replay` reads what an earlier process left. Files are called
``journal-0000000000000007.seg``; the one that a checkpoint has made needless becomes
``journal.spare`` and later a new segment, because overwriting what was written before costs
no metadata: fdatasync of a file that was only preallocated has to note which parts are no
longer empty.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_lstm.io.crash import armed, crash_point
from edge_lstm.io.folder import StateFolder
from edge_lstm.io.segment import PAGE, encode_record, header_page, place

__all__ = ["SEGMENT_BYTES", "Journal", "segment_files", "segment_name"]

SEGMENT_BYTES = 4 << 20
SPARE = "journal.spare"
_COMPRESS_FROM = 1024


@dataclass(frozen=True, slots=True)
class _Group:
    """Blocks of one record."""

    blocks: tuple[bytes, ...]
    compress: bool


def segment_name(number: int) -> str:
    """What a segment's file is called."""
    return f"journal-{number:016d}.seg"


def segment_files(folder: Path) -> dict[int, Path]:
    """Number to path of the segment files, in order."""
    found = {}
    for path in folder.glob("journal-*.seg"):
        number = path.stem.removeprefix("journal-")
        if number.isdecimal():
            found[int(number)] = path
    return dict(sorted(found.items()))


class Journal:
    """The end of the journal that is written to; one thread uses it.

    Args:
        folder: The state folder.
        last: Number of the last record there is.
        next_segment: Number that no segment has had.
        bundle_sha256: Bundle that runs, hexadecimal.
        weaken: Leave out the flush of records (negative controls).
        segment_bytes: Size of a segment.

    Attributes:
        last: Number of the last record written.
        durable: Number of the last record known to be on the disk.
        bundle_sha256: As above; the next segment is made with it.
        written_bytes: Bytes of records written.
    """

    def __init__(
        self,
        folder: StateFolder,
        *,
        last: int,
        next_segment: int,
        bundle_sha256: str,
        weaken: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder, self._weaken, self._segment_bytes = folder, weaken, segment_bytes
        self.last = self.durable = last
        self.bundle_sha256 = bundle_sha256
        self.written_bytes = 0
        self._next_segment = next_segment
        self._file = -1
        self._number = self._offset = self._size = 0
        self._last_in = dict.fromkeys(segment_files(folder.path), last)
        self._held: list[_Group] = []
        self._broken = False

    @property
    def segments(self) -> int:
        """Number of segment files."""
        return len(self._last_in)

    @property
    def segment_bytes(self) -> int:
        """Room that they take on the disk, about."""
        return len(self._last_in) * self._segment_bytes

    @property
    def next(self) -> tuple[int, int]:
        """Number of the last record, and a number that no segment has had."""
        return self.last, self._next_segment

    @property
    def unsynced(self) -> bool:
        """Whether something was written that is not known to be on the disk."""
        return bool(self._held)

    def is_there(self) -> bool:
        """Whether the file that is written to still has a name."""
        return self._file < 0 or os.fstat(self._file).st_nlink > 0

    def write(self, blocks: Sequence[bytes], *, compress: bool) -> None:
        """Append one record; it survives the end of the process, not yet a power cut.

        Raises:
            OSError: Nothing was appended.
        """
        group = _Group(tuple(blocks), compress and sum(map(len, blocks)) >= _COMPRESS_FROM)
        self._mend()
        self._put(group)
        self._held.append(group)

    def sync(self) -> None:
        """Make all records durable.

        Raises:
            OSError: They are not. A disk that could not write has forgotten what it was to
                write, and says yes the next time: the records are written again, elsewhere.
        """
        self._mend()
        if not self._held:
            return
        try:
            if not self._weaken:
                os.fdatasync(self._file)
        except OSError:
            self._broken = True
            raise
        self.durable = self.last
        self._held.clear()
        crash_point("after_journal_sync")

    def drop_through(self, position: int) -> None:
        """Give up the segments whose records are all covered by a checkpoint.

        Raises:
            OSError: They cannot be given up now; they do no harm.
        """
        gone = [
            number for number, last in self._last_in.items() if last <= position and number != self._number
        ]
        if not gone:
            return
        crash_point("before_segment_delete")
        spare = self._folder.path / SPARE
        for number in gone:
            path = self._folder.path / segment_name(number)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size == self._segment_bytes and not spare.exists():
                    path.rename(spare)
                else:
                    path.unlink()
            del self._last_in[number]
        self._folder.flush()
        crash_point("after_segment_delete")

    def roll(self) -> None:
        """Begin a new segment with the next record."""
        self._leave()

    def close(self) -> None:
        """Let the file go."""
        self._leave()

    # -------------------------------------------------------------------------------- inside

    def _mend(self) -> None:
        """After a failed flush: everything that is not known to be on the disk goes to a new segment."""
        if not self._broken:
            return
        self._leave()
        self.last = self.durable
        for group in self._held:
            self._put(group)
        self._broken = False

    def _put(self, group: _Group) -> None:
        record = self._encode(group)
        offset = place(self._offset, len(record))
        if self._file < 0 or offset + len(record) > self._size:
            if self._held and not self._broken:
                self.sync()  # a segment is complete before the next one has a name
            self._begin(len(record))
            record, offset = self._encode(group), PAGE
        crash_point("before_journal_write")
        if armed("mid_journal_write"):
            os.pwrite(self._file, record[: len(record) // 2], offset)
            crash_point("mid_journal_write")
        _write_all(self._file, record, offset)
        crash_point("after_journal_write")
        self._offset = offset + len(record)
        self.last += 1
        self._last_in[self._number] = self.last
        self.written_bytes += len(record)

    def _encode(self, group: _Group) -> bytes:
        return encode_record(
            self._number, self.last + 1, group.blocks, durable=self.durable, compress=group.compress
        )

    def _begin(self, least: int) -> None:
        """Make the next segment: whole and durable before it has its name."""
        number, size = self._next_segment, max(self._segment_bytes, PAGE + least)
        spare = self._folder.path / SPARE
        file = os.open(spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
            _write_all(file, header_page(number, self.last + 1, self.bundle_sha256), 0)
            os.fsync(file)
            crash_point("before_segment_rename")
            spare.rename(self._folder.path / segment_name(number))
            self._last_in[number] = self.last
            self._next_segment += 1
            crash_point("after_segment_rename")
            self._folder.flush()
        except OSError:
            os.close(file)
            with contextlib.suppress(OSError):
                spare.unlink(missing_ok=True)  # a full disk gets its space back
            raise
        self._leave()
        self._file, self._number, self._offset, self._size = file, number, PAGE, size

    def _leave(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._number, self._offset, self._size = -1, 0, 0, 0


def _write_all(file: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        count = os.pwrite(file, rest, offset)
        rest, offset = rest[count:], offset + count
