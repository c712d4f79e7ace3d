"""``train.yaml``: complete, and refused with the place of the mistake."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_lstm.config import load_struct
from edge_lstm.errors import ConfigError
from trainer.data import History, Segment
from trainer.settings import ChannelSettings, TrainSettings
from trainer.settings_rules import check_ranges

EXAMPLE = Path(__file__).parents[2] / "configs" / "train.yaml"


def _keys(data: object, prefix: str = "") -> set[str]:
    """Dotted names of all keys."""
    if not isinstance(data, dict):
        return set()
    return {f"{prefix}{key}" for key in data} | {
        name for key, value in data.items() for name in _keys(value, f"{prefix}{key}.")
    }


def test_example_is_the_defaults() -> None:
    """The commented example says every key, with its default."""
    settings, _ = load_struct(EXAMPLE, TrainSettings, environ={})

    assert TrainSettings() == settings


def test_example_has_every_key_with_a_comment() -> None:
    """No key of the schema is left out, and each has its explanation above it."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for name in _keys(msgspec.to_builtins(TrainSettings())):
        key = name.rsplit(".", 1)[-1]
        at = [i for i, line in enumerate(lines) if re.match(rf"\s*{key}:", line)]
        assert at, name
        assert lines[at[0] - 1].lstrip().startswith("#"), name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model:\n  unitz: 3\n", "train.yaml:2: model.unitz: unknown key: expected 'units'"),
        ("model:\n  units: many\n", "train.yaml:2: model.units"),
        ("seed: [\n", "train.yaml:2"),
        (
            "channels:\n  flow: {unit: l}\n  speed:\n    role: contxt\n",
            "train.yaml:4: channels.speed.role: wrong value: expected one of context, ignored, telemetry",
        ),
    ],
)
def test_mistakes_name_file_line_and_key(tmp_path: Path, text: str, says: str) -> None:
    """A misspelt key is an error with its nearest neighbour, not a silent default."""
    path = tmp_path / "train.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_struct(path, TrainSettings, environ={})
    assert says in str(caught.value)


def test_valid_range_that_excludes_the_history_is_refused() -> None:
    """A range in another unit would mask the channel for ever, and nobody would see why."""
    values = np.linspace(1700.0, 2800.0, 100)[:, None]
    segments = (Segment("", "x.csv", np.arange(100, dtype=np.int64), values),)
    history = History(channels=("speed",), segments=segments, period_s=1.0, files=())

    def settings(low: float, high: float) -> TrainSettings:
        return TrainSettings(channels={"speed": ChannelSettings(valid=(low, high))})

    check_ranges(settings(0, 2300), history, None)
    with pytest.raises(ConfigError, match="100% of the history lies outside this range") as caught:
        check_ranges(settings(0, 100), history, None)
    assert "channels.speed.valid" in str(caught.value)
    assert "1700 to 2800" in str(caught.value)
