"""The torture harness in small: promises hold under every fault, and what is weakened is found out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edge_lstm.torture.process import Forks
from edge_lstm.torture.registry import NEMESES
from edge_lstm.torture.setup import Setup
from edge_lstm.torture.truth import Subject

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """Four daemons at a time, each with other readings and settings, from a fixed seed."""
    if shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        (pytest.fail if IN_CI else pytest.skip)("mosquitto is absent: apt install mosquitto")
    forks = Forks()
    yield Setup(
        folder=tmp_path_factory.mktemp("torture"),
        seed="make test",
        subject=Subject.of_witness(),
        forks=forks,
        trials=1,
        lanes=4,
    )
    forks.close()


@pytest.mark.parametrize(("name", "trials"), [("kill", 8), ("broker-crash", 2), ("poison", 2)])
def test_daemon_under_fault_loses_nothing(setup: Setup, name: str, trials: int) -> None:
    """Every reading is scored once, states are exact, and every alert arrives."""
    verdict = NEMESES[name].run(replace(setup.below(name), trials=trials))

    assert "" == verdict.complaint()
    assert verdict.holds
    assert trials == verdict.trials
    assert verdict.due > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="power cuts mount file systems: run as root")
def test_daemon_after_power_cut_loses_nothing(setup: Setup) -> None:
    """What was acknowledged had reached the device."""
    verdict = NEMESES["power-cut"].run(replace(setup.below("power-cut"), trials=2))

    assert "" == verdict.complaint()
    assert verdict.due > 0


def test_daemon_that_acknowledges_first_is_found_out(setup: Setup) -> None:
    """The harness can fail: without its order of things, a daemon loses readings."""
    weak = replace(setup.below("control"), trials=6, weakness="auto_ack", patience_s=1.0)
    verdict = NEMESES["kill"].run(weak)

    assert not verdict.holds
    assert verdict.lost > 0
