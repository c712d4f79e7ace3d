"""What a broker must be set to: the arithmetic, and that Mosquitto itself takes the result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_lstm.commands.doctor import Duration, doctor
from edge_lstm.contracts.config import DeviceConfig, InputConfig, MqttConfig
from edge_lstm.doctor.capacity import capacity
from edge_lstm.doctor.needs import fragment, needs
from edge_lstm.doctor.probe import Measured

ROOT = Path(__file__).parents[2]
SITE = DeviceConfig(
    node="n", bundle="b", mqtt=MqttConfig(username="edge"), inputs=(InputConfig(topic="plant/{asset}/x"),)
)


def settings_of(text: str) -> dict[str, str]:
    """Key to value of the lines that are no comments."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.parametrize(
    ("rate", "outage_s", "commit_s", "queued", "inflight"),
    [
        (1, 3600, 1.0, 4000, 20),  # 3962 and up
        (100, 7200, 1.0, 800_000, 200),  # 792,200
        (50, 7200, 0.05, 400_000, 20),  # 396,005
        (0.01, 60, 1.0, 1000, 20),  # as Mosquitto has it
        (1000, 60, 5.0, 76_000, 10_000),
    ],
)
def test_needs_cover_the_outage(
    rate: float, outage_s: float, commit_s: float, queued: int, inflight: int
) -> None:
    """Queue: rate x outage, a tenth and a window more, two digits, at least 1000. Window: two commits."""
    found = needs(rate, outage_s, commit_s=commit_s)

    assert (queued, inflight) == (found.queued_messages, found.inflight)
    assert found.queued_messages >= rate * outage_s * 1.1
    assert found.queued_bytes >= found.queued_messages * 256
    assert found.possible


def test_needs_know_what_mqtt_cannot_do() -> None:
    """A window has two bytes."""
    found = needs(50_000, 60)
    (first, *_) = capacity(found, Measured(), SITE)

    assert (False, 65_535) == (found.possible, found.inflight)
    assert ("fail", "broker-window") == (first.status, first.check)


def test_needs_save_no_more_than_a_disk_takes() -> None:
    """Mosquitto 2.0 writes its whole database each time: at every change only while that is little."""
    small, large = needs(1, 600), needs(100, 7200)

    assert 0 == small.autosave_s
    assert small.rate / 2 * small.database_bytes <= 1e6
    assert large.autosave_s > 0
    assert large.database_bytes / large.autosave_s <= 1e6


def test_fragment_has_what_every_promise_needs() -> None:
    """One value a setting, the site's own lines for access control, and the reason beside each."""
    need = needs(100, 7200, session_expiry_s=604_800)
    found = settings_of(fragment(need, SITE))

    assert {
        "max_queued_messages": "800000",
        "max_queued_bytes": "210000000",
        "max_inflight_messages": "200",
        "persistent_client_expiration": "7d",
        "message_size_limit": "65536",
        "max_packet_size": "66560",
        "persistence": "true",
        "autosave_on_changes": "false",
        "autosave_interval": "253",
    } == found
    text = fragment(need, SITE)
    for line in ("user edge", "topic read plant/+/x", "topic write edge-lstm/n/#"):
        assert f"#   {line}" in text
    assert "mqtt.inflight of edge-lstm.yaml: 200 at least" in text


def test_fragment_takes_the_better_store_where_there_is_one() -> None:
    """Mosquitto 2.1 writes changes as they are made."""
    found = settings_of(fragment(needs(100, 7200), SITE, version=(2, 1)))

    assert "full" == found["plugin_opt_sync"]
    assert "persistence" not in found


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (Measured(keeps_session=False), {"broker-session": "fail"}),
        (
            Measured(keeps_session=True, inflight=20, inflight_tried=201, queued=1000, queued_tried=5000),
            {"broker-session": "ok", "broker-window": "warn", "broker-queue": "fail"},
        ),
        (
            Measured(keeps_session=True, inflight=201, inflight_tried=201, queued=5000, queued_tried=5000),
            {"broker-session": "ok", "broker-window": "ok", "broker-queue": "info"},
        ),
        (Measured(alert="refused: Not authorized"), {"broker-alert": "fail"}),
        (Measured(alert="lost"), {"broker-alert": "fail"}),
        (Measured(alert="unreadable"), {"broker-alert": "warn"}),
        (Measured(problem="no answer"), {"broker-probe": "warn"}),
        (Measured(packet_bytes=1000), {"broker-packet": "info"}),
    ],
)
def test_capacity_holds_needs_against_what_was_measured(measured: Measured, said: dict[str, str]) -> None:
    """Each finding once, and what there is no measure of is not judged."""
    found = list(capacity(needs(100, 7200), measured, SITE))

    assert {**said, "broker-disk": "info"} == {one.check: one.status for one in found}
    assert all(one.fix for one in found if one.status in ("warn", "fail"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400), ("45", 45), ("1.5h", 5400)],
)
def test_duration_is_read(text: str, seconds: float) -> None:
    """With a unit, or in seconds."""
    assert seconds == Duration().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "h", "-1h", "nan", "inf", "2w", "1e9d", "0", "two hours"])
def test_duration_is_refused(text: str) -> None:
    """One line, exit code 2."""
    done = CliRunner().invoke(doctor, ["--rate", "1", f"--outage={text}"])

    assert 2 == done.exit_code
    assert "is no time like" in done.output


@pytest.mark.parametrize("options", [["--rate", "1"], ["--outage", "1h"]])
def test_rate_and_outage_belong_together(options: list[str]) -> None:
    """One alone says nothing."""
    done = CliRunner().invoke(doctor, options)

    assert 2 == done.exit_code
    assert re.search("belong together", done.output)


def test_page_shows_what_doctor_writes() -> None:
    """The settings in the document are those of the program."""
    site = DeviceConfig(
        node="press-3",
        bundle="b",
        mqtt=MqttConfig(username="press-3"),
        inputs=(InputConfig(topic="plant/{asset}/readings"),),
    )
    page = (ROOT / "docs" / "howto-mosquitto.md").read_text("utf-8")

    assert f"```conf\n{fragment(needs(50, 7200), site)}```" in page
