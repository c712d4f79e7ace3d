"""The database gives back what was committed, or says that it cannot."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_lstm.errors import SnapshotError
from edge_lstm.io import outbox_table
from edge_lstm.io.database import DATABASE, Database
from edge_lstm.io.rows import OutboxRow
from edge_lstm.io.schema import Meta

BUNDLE = "ab" * 32
DAY_NS = 86_400 * 10**9
NOW_NS = 1_790_000_000 * 10**9
STREAMS = {f"asset-{n}": bytes([n]) * 40 for n in range(4)}


def meta(engine: bytes = b"engine", *, bundle: str = BUNDLE, position: int = 7) -> Meta:
    """Facts of a checkpoint."""
    return Meta(engine, position, bundle, NOW_NS, 0, 0)


def rows(*seqs: int, essential: bool = True) -> list[OutboxRow]:
    """Rows of these numbers, every third of them an alert."""
    return [
        OutboxRow(n, f"t/{n}", b"p%d" % n, essential=essential, alert_seq=None if n % 3 else n // 3)
        for n in seqs
    ]


def seqs(database: Database) -> list[int]:
    """Numbers of the rows that wait."""
    return [row.seq for row in database.outbox(0, 1_000_000)]


def small(folder: Path) -> Path:
    """A database of a few small pages: four streams, three rows, one alert."""
    with closing(Database(folder, page_size=512)) as database:
        database.checkpoint(meta(), STREAMS.items(), ())
        database.post(rows(1, 2, 3), (), NOW_NS)
    return folder / DATABASE


def test_checkpoint_comes_back(tmp_path: Path) -> None:
    """Changed streams are replaced, gone ones are gone, the others stay."""
    with closing(Database(tmp_path)) as database:
        assert database.meta is None
        database.checkpoint(meta(), STREAMS.items(), ())
        database.checkpoint(
            meta(b"second", position=9), [("asset-1", b"new"), ("asset-9", b"")], ["asset-0", "none"]
        )
    with closing(Database(tmp_path)) as database:
        assert 0 == database.audit()
        assert database.meta is not None
        assert (b"second", 9, 4) == (database.meta.engine, database.meta.position, database.meta.streams)
        expected = {**STREAMS, "asset-1": b"new", "asset-9": b""}
        del expected["asset-0"]
        assert expected == dict(database.streams())
        assert (b"new", None) == (
            database.stream("asset-1", BUNDLE),
            database.stream("asset-0", BUNDLE),
        )


def test_states_of_another_bundle_all_go(tmp_path: Path) -> None:
    """A checkpoint of another bundle begins with no streams."""
    with closing(Database(tmp_path)) as database:
        database.checkpoint(meta(), STREAMS.items(), ())
        database.checkpoint(meta(bundle="cd" * 32), [("asset-1", b"other")], ())
        assert {"asset-1": b"other"} == dict(database.streams())
        assert (b"other", None) == (
            database.stream("asset-1", "cd" * 32),
            database.stream("asset-1", BUNDLE),
        )
        assert 0 == database.audit()


def test_every_flipped_byte_of_a_stream_is_found(tmp_path: Path) -> None:
    """One damaged state costs one asset, which is told; the next checkpoint mends it."""
    path = small(tmp_path)
    for at in range(40):
        with closing(sqlite3.connect(path)) as raw:
            state = bytearray(STREAMS["asset-2"])
            state[at] ^= 1
            raw.execute("UPDATE streams SET state = ? WHERE asset = 'asset-2'", (bytes(state),))
            raw.commit()
        with closing(Database(tmp_path)) as database:
            assert 1 == database.lost
            assert {"asset-0", "asset-1", "asset-3"} == dict(database.streams()).keys()
            assert database.stream("asset-2", BUNDLE) is None
            database.checkpoint(meta(), [("asset-2", STREAMS["asset-2"])], ())
            assert 0 == database.audit()
            assert STREAMS == dict(database.streams())


@pytest.mark.parametrize("where", ["state = x'00'", "crc = crc + 1", "asset = 'other'", "asset = NULL"])
def test_changed_rows_are_found_whichever_column(tmp_path: Path, where: str) -> None:
    """Names and checksums are covered as states are; so is a row that is gone."""
    path = small(tmp_path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"UPDATE streams SET {where} WHERE asset = 'asset-2'")  # noqa: S608 - cases of this test
        raw.execute("DELETE FROM streams WHERE asset = 'asset-3'")
        raw.commit()
    with closing(Database(tmp_path)) as database:
        assert 2 == database.lost
        assert {"asset-0", "asset-1"} == dict(database.streams()).keys()


def test_every_flipped_byte_of_the_file_is_found_or_without_meaning(quick_folder: Path) -> None:
    """What is given is what was written, or less, and then it is told; empty room is tried in steps."""
    logging.disable()
    path = small(quick_folder)
    whole, told = path.read_bytes(), 0
    try:
        for at in range(len(whole)):
            if at % 16 and not any(whole[max(0, at - 4) : at + 5]):
                continue
            for stray in quick_folder.glob(f"{DATABASE}*"):
                stray.unlink()
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
            try:
                with closing(Database(quick_folder)) as database:
                    lost = database.lost
                    streams, waiting = dict(database.streams()), database.outbox(0, 10)
                    found = bool(database.problem) or lost > 0
            except SnapshotError:
                told += 1
                continue
            told += found
            assert streams.items() <= STREAMS.items()
            assert found or streams == STREAMS
            assert {row.seq: row for row in waiting}.items() <= {
                row.seq: row for row in rows(1, 2, 3)
            }.items()
            assert found or 3 == len(waiting)
            assert found or database.meta is not None
            assert found or (database.meta and database.meta.engine) == b"engine"
    finally:
        logging.disable(logging.NOTSET)
    assert told > len(whole) // 20


def test_damaged_facts_cost_the_checkpoint_and_not_the_outbox(tmp_path: Path) -> None:
    """Rows that wait are not lost because the engine's part cannot be read; numbers do not come again."""
    path = small(tmp_path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE facts SET value = x'00'")
        raw.commit()
    with closing(Database(tmp_path)) as database:
        assert "damaged" in database.problem
        assert database.meta is None
        assert ([1, 2, 3], 3, 1) == (seqs(database), database.marks.outbox_last, database.marks.alert_last)
        assert {} == dict(database.streams())
        database.checkpoint(meta(), [("asset-1", b"new")], ())
        assert {"asset-1": b"new"} == dict(database.streams())


def test_a_file_that_is_none_is_set_aside(tmp_path: Path) -> None:
    """The daemon begins with a new one, and says why."""
    (tmp_path / DATABASE).write_bytes(b"no database at all" * 100)
    with closing(Database(tmp_path)) as database:
        assert "set aside" in database.problem
        assert (None, 0) == (database.meta, database.waiting)
    assert (tmp_path / f"{DATABASE}.bad").read_bytes().startswith(b"no database")


def test_rows_that_were_posted_before_are_left_out(tmp_path: Path) -> None:
    """Replay makes the same numbers again: delivered or not, they are not sent twice."""
    with closing(Database(tmp_path)) as database:
        database.post(rows(1, 2, 3, 4), (), NOW_NS)
        database.post([], (2, 3), NOW_NS)
    with closing(Database(tmp_path)) as database:
        database.post(rows(1, 2, 3, 4, 5), (), NOW_NS)
        assert [1, 4, 5] == seqs(database)
        assert (3, 5, 1) == (database.waiting, database.marks.outbox_last, database.marks.alert_last)
        assert rows(1, 4, 5) == database.outbox(0, 10)
        assert rows(4) == database.outbox(1, 1)


def test_alerts_are_kept_after_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest, and none that is too old; what still waits is never taken away."""
    monkeypatch.setattr(outbox_table, "ALERTS_KEPT", 3)
    with closing(Database(tmp_path)) as database:
        database.post(rows(*range(1, 31)), range(1, 31), NOW_NS)
        assert [8, 9, 10] == [alert.alert_seq for alert in database.alerts(0, 100)]
        assert [9] == [alert.alert_seq for alert in database.alerts(9, 1)]
        database.post(rows(*range(31, 61)), (), NOW_NS)
        assert [*range(11, 21)] == [alert.alert_seq for alert in database.alerts(0, 100)]
        database.post([], range(31, 61), NOW_NS + 8 * DAY_NS)
        assert [] == database.alerts(0, 100)


def test_alerts_of_a_clock_that_was_not_set_have_no_age(tmp_path: Path) -> None:
    """A board without a battery clock stamps 1970; its alerts do not vanish when it finds the time."""
    with closing(Database(tmp_path)) as database:
        database.post(rows(3, 6), (3, 6), 60 * 10**9)
        database.post(rows(9), (9,), NOW_NS)
        assert [1, 2, 3] == [alert.alert_seq for alert in database.alerts(0, 100)]


def test_a_full_outbox_drops_what_is_not_essential_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the oldest; each is counted, over restarts."""
    monkeypatch.setattr(outbox_table, "OUTBOX_ROWS", 6)
    with closing(Database(tmp_path)) as database:
        database.post(rows(1, 2), (), NOW_NS)
        database.post(rows(4, 5, essential=False), (), NOW_NS)
        database.post(rows(7, 8, 10), (), NOW_NS)
        assert [1, 2, 5, 7, 8, 10] == seqs(database)
        database.post(rows(11, 13, 14), (), NOW_NS)
        assert [7, 8, 10, 11, 13, 14] == seqs(database)
    with closing(Database(tmp_path)) as database:
        assert (6, 4) == (database.waiting, database.marks.dropped)


def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    """In one line, with what to do."""
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(SnapshotError, match=r"cannot use .*state\.db"):
        Database(tmp_path)
