"""The state folder: whole files only, one daemon only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_lstm.contracts.state import SNAPSHOT_VERSION, DetectorSnapshot
from edge_lstm.errors import SnapshotError
from edge_lstm.io.snapshot import BAD, SNAPSHOT, Counters, DaemonSnapshot, StateDir
from edge_lstm.io.transport import Publication


def snapshot(number: int = 1) -> DaemonSnapshot:
    """A small snapshot."""
    return DaemonSnapshot(
        saved_ns=number,
        detector=DetectorSnapshot(SNAPSHOT_VERSION, "ab" * 32, []),
        counters=Counters(readings=number, rejects={"late": 2}),
        unsent=[Publication("a/b", b"\0\xff", qos=1, retain=True, essential=False)],
        filters=["plant/+"],
    )


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """An open state folder."""
    return StateDir(tmp_path / "deep" / "state")


def test_snapshot_comes_back_as_it_was(state: StateDir) -> None:
    """What was saved last is loaded."""
    state.save(snapshot(1))
    state.save(snapshot(2))

    assert snapshot(2) == state.load()


def test_snapshot_absent_is_none(state: StateDir) -> None:
    """The first start of all."""
    assert state.load() is None


def test_snapshot_with_any_byte_changed_is_refused(state: StateDir, tmp_path: Path) -> None:
    """Every single flipped byte of the file is noticed, and so is every shortening."""
    state.save(snapshot())
    path = tmp_path / "deep" / "state" / SNAPSHOT
    raw = path.read_bytes()
    damaged = [raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :] for n in range(len(raw))]
    # Two bytes of the header are padding and say nothing.
    harmless = [n for n, content in enumerate(damaged) if _loads(path, content, state)]

    assert [10, 11] == harmless
    assert not any(_loads(path, raw[:n], state) for n in range(len(raw)))
    assert not _loads(path, raw + b"\0", state)


def _loads(path: Path, content: bytes, state: StateDir) -> bool:
    path.write_bytes(content)
    try:
        state.load()
    except SnapshotError as error:
        return SNAPSHOT not in str(error)
    return True


def test_snapshot_that_cannot_be_written_leaves_the_old_one(state: StateDir, tmp_path: Path) -> None:
    """Something in the way of the temporary file: an error for the operator, and the old states stand."""
    state.save(snapshot(1))
    (tmp_path / "deep" / "state" / f"{SNAPSHOT}.part").mkdir()
    with pytest.raises(SnapshotError, match="cannot write"):
        state.save(snapshot(2))

    assert snapshot(1) == state.load()


def test_snapshot_set_aside_is_kept(state: StateDir, tmp_path: Path) -> None:
    """For whoever wants to know why."""
    state.save(snapshot())
    kept = state.set_aside()

    assert tmp_path / "deep" / "state" / BAD == kept
    assert kept.exists()
    assert state.load() is None


def test_snapshot_is_for_its_user_only(state: StateDir, tmp_path: Path) -> None:
    """Alerts and states are nobody else's business."""
    state.save(snapshot())
    folder = tmp_path / "deep" / "state"

    assert [0o700, 0o600] == [path.stat().st_mode & 0o777 for path in (folder, folder / SNAPSHOT)]


def test_state_folder_has_one_daemon(state: StateDir, tmp_path: Path) -> None:
    """A second one is told which process has it; when that ends the folder is free."""
    with pytest.raises(SnapshotError, match=f"used by another daemon: got pid {os.getpid()}"):
        StateDir(tmp_path / "deep" / "state")
    state.close()

    StateDir(tmp_path / "deep" / "state").close()


def test_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """One line that names the folder and the key."""
    (tmp_path / "file").touch()
    with pytest.raises(SnapshotError, match="file/state: Not a directory; check state_dir"):
        StateDir(tmp_path / "file" / "state")
