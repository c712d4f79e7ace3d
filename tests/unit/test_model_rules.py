"""Model settings that have the right types and mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from trainer.cli import train
from trainer.model_rules import problems
from trainer.settings import ModelSettings


def test_defaults_have_no_problem() -> None:
    """What we ship is what we accept."""
    assert [] == list(problems(ModelSettings()))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (ModelSettings(attention=1), "model.attention"),
        (ModelSettings(attention=65), "model.attention"),
        (ModelSettings(attention=-2), "model.attention"),
        (ModelSettings(lags=()), "model.lags"),
        (ModelSettings(lags=(1, 2)), "model.lags"),
        (ModelSettings(lags=(0, 2, 2)), "model.lags"),
        (ModelSettings(lags=(0, 4, 2)), "model.lags"),
        (ModelSettings(lags=(0, 32), steps=32), "model.lags"),
        (ModelSettings(mode="forecast", lags=(0, 1)), "model.lags"),
        (ModelSettings(mode="forecast", code=2), "model.code"),
        (ModelSettings(mode="reconstruction", linear=True), "model.linear"),
    ],
)
def test_meaningless_setting_is_told_by_its_key(settings: ModelSettings, key: str) -> None:
    """One problem, under the key that has to change."""
    assert [key] == [where for where, _, _ in problems(settings)]


@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(attention=2, lags=(0, 1, 31), linear=True),
        ModelSettings(mode="forecast", linear=True, cell="gru"),
        ModelSettings(mode="reconstruction", code=2, lags=(0,)),
    ],
)
def test_good_settings_pass(settings: ModelSettings) -> None:
    """Limits themselves are allowed."""
    assert [] == list(problems(settings))


def test_train_refuses_before_it_reads(tmp_path: Path) -> None:
    """The command line says file, key, expected and got."""
    config = tmp_path / "train.yaml"
    config.write_text("model:\n  code: 3\n", encoding="utf-8")
    said = CliRunner().invoke(
        train, ["none.csv", "--out", str(tmp_path / "a.elb"), "--config", str(config), "--mode", "forecast"]
    )

    assert said.exit_code != 0
    assert "model.code" in str(said.exception)
    assert "no bottleneck" in str(said.exception)
