"""Messages and control records come back from a block as they were."""

from __future__ import annotations

import msgspec
import pytest

from edge_lstm.io.record import Control, pack_control, pack_messages, unpack
from edge_lstm.io.transport import Message


def test_messages_come_back_as_they_were() -> None:
    """Every field, whatever is in it, in order."""
    messages = [
        Message("plant/pump/ä", bytes(range(256)), 1, False, 1_764_000_000_000_000_000, 65535, 7, True),
        Message("", b"", 0, True, 0),
        Message("t", b"{}", 1, False, -1, 1, 2),
    ]
    assert messages == list(unpack(pack_messages(messages)))
    assert [] == list(unpack(pack_messages([])))


def test_control_records_come_back_as_they_were() -> None:
    """Their kind and time."""
    for control in (Control("tick", 5), Control("session", 2**62)):
        assert [control] == list(unpack(pack_control(control)))


def test_a_field_that_a_later_version_adds_is_passed_over() -> None:
    """An older version reads a newer journal: messages only grow at their end."""
    row = ["t", b"x", 1, False, 9, 3, 4, True, "new"]
    assert [Message("t", b"x", 1, False, 9, 3, 4, True)] == list(unpack(b"m" + msgspec.msgpack.encode([row])))


@pytest.mark.parametrize("block", [b"", b"x", b"m", b"m\x91\x90", b"c\x92\xa5other\x01", b"m\xc1"])
def test_what_is_no_block_is_refused(block: bytes) -> None:
    """An error that a caller can name, not a fault."""
    with pytest.raises(ValueError, match=r".+"):
        list(unpack(block))
