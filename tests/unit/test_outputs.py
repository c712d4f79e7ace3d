"""Where results may go."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_lstm.errors import OperatorError
from trainer.outputs import refuse_overwriting


def test_input_is_never_overwritten(tmp_path: Path) -> None:
    """Not under another spelling of its path either."""
    history = tmp_path / "h.csv"
    history.write_text("time,a\n")

    with pytest.raises(OperatorError, match="an input already"):
        refuse_overwriting([tmp_path / "." / "h.csv"], [history, None])


@pytest.mark.parametrize("name", ["h.csv", "sub/new.csv", "new.CSV.gz", "new.parquet"])
def test_result_does_not_become_history(tmp_path: Path, name: str) -> None:
    """A folder is read whole: what is written there would replace an input, or be one the next time."""
    with pytest.raises(OperatorError, match="would stand among the inputs"):
        refuse_overwriting([tmp_path / name], [tmp_path])

    refuse_overwriting([tmp_path / "page.html"], [tmp_path])


def test_one_file_takes_one_output(tmp_path: Path) -> None:
    """Scores and alerts in one file would be neither."""
    with pytest.raises(OperatorError, match="an output already"):
        refuse_overwriting([tmp_path / "x", None, tmp_path / "x"], [])


def test_device_is_not_replaced() -> None:
    """Replacing /dev/full by a file, as root, breaks the machine."""
    with pytest.raises(OperatorError, match="not a plain file"):
        refuse_overwriting([Path("/dev/full")], [])


def test_new_and_old_files_are_fine(tmp_path: Path) -> None:
    """An older result may be replaced."""
    (tmp_path / "m.elb").write_bytes(b"")

    refuse_overwriting([tmp_path / "m.elb", tmp_path / "new"], [tmp_path / "h.csv"])
