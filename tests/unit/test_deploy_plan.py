from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from click.testing import CliRunner

from edge_lstm.config import load_config
from edge_lstm.errors import ConfigError, DeployError
from firmware_tools import scripts
from firmware_tools.cli import deploy
from firmware_tools.device import Device
from firmware_tools.hosts import LocalHost, open_host
from firmware_tools.plan import (
    Facts,
    Links,
    Mode,
    State,
    StepName,
    Wanted,
    check_facts,
    check_runtime,
    choose_mode,
    make_plan,
)
from firmware_tools.runtime import from_requirement, from_wheel
from firmware_tools.service import ServiceSpec
from firmware_tools.site import Broker, Site, check_config, node_name, parse_broker, put_value, site_text
from firmware_tools.ssh_errors import explain_ssh

Asked = Literal["auto", "systemd", "process"]

OLD = Links("bundles/old.elb", "runtimes/1-py3.11")
NEW = Links("bundles/new.elb", "runtimes/1-py3.11")
WANTED = Wanted(
    links=NEW,
    bundle="pump 2",
    config="config",
    config_path="/o/edge-lstm.yaml",
    service="unit",
    service_path="/u",
)
INSTALLED = State(
    current=NEW, previous=OLD, runtime_ready=True, bundle_ready=True, config="config", service="unit", pid=7
)
FACTS = Facts(
    system="Linux aarch64",
    hostname="press-3",
    root=True,
    sudo=False,
    systemd=True,
    unit=False,
    stand_in=False,
    python="3.11.2",
    python_home="/usr",
    venv=True,
    free_mib=5000,
    writable=True,
)
EVERY: set[StepName] = {"runtime", "bundle", "selftest", "config", "service", "switch", "restart"}


def needed(changes: dict[str, Any]) -> set[StepName]:
    """What a plan does about a device that is right but for these changes."""
    return {step.name for step in make_plan(WANTED, replace(INSTALLED, **changes)) if step.needed}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"pid": 0}, {"restart"}),
        ({"pending": OLD}, {"restart"}),
        ({"config": "other"}, {"selftest", "config", "restart"}),
        ({"config": None}, {"selftest", "config", "restart"}),
        ({"service": "other"}, {"service", "restart"}),
        ({"current": OLD}, {"selftest", "switch", "restart"}),
        ({"current": OLD, "bundle_ready": False}, {"bundle", "selftest", "switch", "restart"}),
        ({"bundle_ready": False}, {"bundle", "selftest"}),
    ],
    ids=[
        "nothing",
        "not-running",
        "unfinished",
        "config",
        "no-config",
        "unit",
        "other-bundle",
        "new",
        "damaged",
    ],
)
def test_plan_does_what_differs_and_nothing_else(changes: dict[str, Any], expected: set[StepName]) -> None:
    """Each difference between what is and what should be leads to its own steps."""
    assert expected == needed(changes)


def test_plan_for_an_empty_device_does_everything_in_order() -> None:
    """The bundle is tested before anything is switched, and the restart comes last."""
    steps = make_plan(WANTED, State())

    assert EVERY == {step.name for step in steps if step.needed}
    assert ["runtime", "bundle", "selftest", "config", "service", "switch", "restart"] == [
        s.name for s in steps
    ]


def facts(changes: dict[str, Any]) -> Facts:
    """A good device but for these changes."""
    return replace(FACTS, **changes)


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({}, "auto", "systemd"),
        ({"systemd": False}, "auto", "process"),
        ({"stand_in": True}, "auto", "process"),
        ({}, "process", "process"),
        ({}, "systemd", "systemd"),
    ],
)
def test_mode_is_what_is_there_already_else_systemd(
    changes: dict[str, Any], asked: Asked, expected: str
) -> None:
    """A second deployment or a rollback finds the daemon where the first one put it."""
    assert expected == choose_mode(facts(changes), asked)


@pytest.mark.parametrize(
    ("changes", "asked", "said"),
    [
        ({"systemd": False}, "systemd", "systemd does not run on the device; use --service process"),
        ({"unit": True}, "process", "is installed there already; use --service systemd"),
        ({"stand_in": True}, "systemd", "stand-in for the service is there already"),
    ],
)
def test_mode_that_would_run_two_daemons_is_refused(changes: dict[str, Any], asked: Asked, said: str) -> None:
    """Two services for one prefix would fight over the state folder."""
    with pytest.raises(DeployError, match=said):
        choose_mode(facts(changes), asked)


@pytest.mark.parametrize(
    ("changes", "mode", "said"),
    [
        ({"system": "Darwin arm64"}, "process", "does not run Linux: got Darwin arm64"),
        ({"missing": ("flock",)}, "systemd", "flock not found on the device; apt install util-linux"),
        ({"root": False}, "systemd", "not root, and sudo asks for a password; log in as root, or allow sudo"),
        ({"writable": False, "root": False}, "process", "no right to write to /opt/x; use another --prefix"),
    ],
)
def test_device_that_cannot_be_worked_on_is_refused(changes: dict[str, Any], mode: Mode, said: str) -> None:
    """One line that says what to do, before anything changes."""
    with pytest.raises(DeployError, match=said):
        check_facts(facts(changes), mode=mode, prefix="/opt/x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"python": ""},
            "there is no 'python3' on the device: expected Python 3.11 to 3.13; apt install python3",
        ),
        (
            {"python": "3.9.2"},
            "wrong version: expected Python 3.11 to 3.13, got 3.9.2; name another: --python PATH",
        ),
        ({"python": "3.14.0"}, "wrong version"),
        ({"venv": False}, "no venv module; apt install python3-venv"),
        ({"python_home": "/home/pi/.pyenv"}, "cannot see /home: got /home/pi/.pyenv"),
        ({"free_mib": 80}, "not enough space for the runtime at /opt/x: expected 500 MiB, got 80 MiB"),
    ],
)
def test_device_that_cannot_have_a_runtime_is_refused(changes: dict[str, Any], said: str) -> None:
    """One line that says what to do, before pip is started."""
    with pytest.raises(DeployError, match=said):
        check_runtime(facts(changes), mode="systemd", prefix="/opt/x", python="python3")


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("node: a # who\n", ("node",), "b", "node: b # who\n"),
        ("node: a\n", ("node",), "a", "node: a\n"),
        ("node:\nbundle: x\n", ("node",), "b", "node: b\nbundle: x\n"),
        ("node: 'a'\n", ("node",), "yes", 'node: "yes"\n'),
        ("bundle: x\n", ("node",), "b", "node: b\nbundle: x\n"),
        ("# top\nbundle: x\n", ("mqtt", "port"), 1884, "# top\nmqtt:\n  port: 1884\nbundle: x\n"),
        (
            "mqtt:\n    host: a # c\n    port: 1\n",
            ("mqtt", "host"),
            "b",
            "mqtt:\n    host: b # c\n    port: 1\n",
        ),
        ("mqtt:\n    port: 1\n", ("mqtt", "host"), "b", "mqtt:\n    host: b\n    port: 1\n"),
        ("mqtt: # empty\nnode: a\n", ("mqtt", "host"), "b", "mqtt: # empty\n  host: b\nnode: a\n"),
        ("node: a\nmqtt:", ("mqtt", "host"), "b", "node: a\nmqtt:\n  host: b\n"),
        ("mqtt: {host: a, port: 1}\n", ("mqtt", "port"), 2, None),
        ("node: [a]\n", ("node",), "b", None),
        ("- a\n", ("node",), "b", None),
        ("a: b: c\n", ("node",), "b", None),
        ("mqtt:\n  port: '1883'\n", ("mqtt", "port"), 1883, "mqtt:\n  port: 1883\n"),
    ],
)
def test_value_is_put_into_a_text_that_stays_as_it_was(
    text: str, path: tuple[str, ...], value: str | int, expected: str | None
) -> None:
    """Comments, order and indentation are the operator's; what has no place is refused."""
    if expected is None:
        with pytest.raises(DeployError):
            put_value(text, path, value)
        return
    changed = put_value(text, path, value)
    read: Any = yaml.safe_load(changed)
    for key in path:
        read = read[key]
    assert (expected, value) == (changed, read)


def test_new_configuration_is_a_good_one() -> None:
    """A device that gets none is named after itself, reads the simulator's topics and runs current.elb."""
    text = site_text(Site(), existing=None, bundle="/opt/e/current.elb", hostname="press 3.plant.example")

    config = check_config(text, source="device")

    assert ("press-3", "/opt/e/current.elb") == (config.node, config.bundle)
    assert "plant/{asset}/readings" == config.inputs[0].topic


def test_configuration_there_is_kept_but_for_what_is_asked(tmp_path: Path) -> None:
    """Without --config the device's own file counts; asking for the same again changes nothing."""
    existing = site_text(Site(node="mine"), existing=None, bundle="/b", hostname="h") + "# my own note\n"
    site = Site(broker=Broker("10.0.0.5", 8883))

    once = site_text(site, existing=existing, bundle="/b", hostname="h")

    assert existing == site_text(Site(), existing=existing, bundle="/b", hostname="other")
    assert once == site_text(site, existing=once, bundle="/b", hostname="other")
    assert once.endswith("# my own note\n")
    file = tmp_path / "edge-lstm.yaml"
    file.write_text(once, "utf-8")
    loaded = load_config(file, environ={})
    assert ("mine", "10.0.0.5", 8883) == (loaded.node, loaded.mqtt.host, loaded.mqtt.port)


def test_configuration_given_with_a_fault_names_file_and_line(tmp_path: Path) -> None:
    """The operator's own file is checked here, under its own name, before the device is asked."""
    file = tmp_path / "mine.yaml"
    file.write_text("node: a\nbundle: b\ninputs:\n  - topik: x\n", "utf-8")

    with pytest.raises(ConfigError, match=rf"{file}:4: inputs\[0\].topik: unknown key"):
        site_text(Site(config=file), existing=None, bundle="/b", hostname="h")


def test_configuration_on_the_device_with_a_fault_names_the_device() -> None:
    """Not some file of our own that nobody knows."""
    with pytest.raises(ConfigError, match=r"pi@press:/opt/e.yaml:1: nodee: unknown key"):
        check_config("nodee: a\n", source="pi@press:/opt/e.yaml")


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [("press-3", "press-3"), ("press 3.local", "press-3"), ("Ä/+", "edge-lstm"), ("", "edge-lstm")],
)
def test_node_name_can_be_a_topic_level(hostname: str, expected: str) -> None:
    """Whatever the device calls itself."""
    assert expected == node_name(hostname)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broker", Broker("broker")),
        ("10.0.0.1:8883", Broker("10.0.0.1", 8883)),
        ("[fd00::1]:1884", Broker("fd00::1", 1884)),
        ("[::1]", Broker("::1")),
        ("a:0", None),
        ("a:70000", None),
        ("fd00::1", None),
        ("a b", None),
        ("", None),
    ],
)
def test_broker_is_read_or_refused(text: str, expected: Broker | None) -> None:
    """HOST, HOST:PORT, or an IPv6 address in brackets."""
    if expected is None:
        with pytest.raises(ValueError, match="is not HOST or HOST:PORT"):
            parse_broker(text)
    else:
        assert expected == parse_broker(text)


def test_runtime_of_a_wheel_is_known_by_its_content(tmp_path: Path) -> None:
    """Another wheel of the same version is another runtime; the same one is the same."""
    wheel = tmp_path / "edge_lstm-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"one")
    first = from_wheel(wheel)
    wheel.write_bytes(b"two")

    assert first.name.startswith("0.1.0-")
    assert from_wheel(wheel).name != first.name
    assert "edge_lstm-0.1.0-py3-none-any.whl" == first.requirement


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("edge-lstm==0.2.0", "0.2.0"),
        ("edge_lstm == 0.2.0", "0.2.0"),
        ("edge-lstm>=0.2,<1", "req-"),
        ("edge-lstm", "req-"),
        ("edge-lstm-evil==1", None),
        ("numpy", None),
        ("--index-url=http://x", None),
        ("edge-lstm==1\nnumpy", None),
    ],
)
def test_requirement_is_one_of_edge_lstm(text: str, name: str | None) -> None:
    """It becomes an argument of pip, so nothing else may pass for it."""
    if name is None:
        with pytest.raises(DeployError, match="not a requirement of edge-lstm"):
            from_requirement(text)
    else:
        assert from_requirement(text).name.startswith(name)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("pi@h: Permission denied (publickey).", "refuses the key.*--identity FILE.*ssh-copy-id pi@h"),
        (
            "No ED25519 host key is known for h.\nHost key verification failed.",
            "host key has never been accepted.*ssh pi@h",
        ),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            "another host key than before.*ssh-keygen -R h$",
        ),
        ("ssh: connect to host h port 22: Connection refused", "no ssh server there.*check --port"),
        ("ssh: Could not resolve hostname h: Name or service not known", "cannot be found|can be found"),
        ("ssh: connect to host h port 22: Connection timed out", "does not answer"),
        ("Received disconnect: Too many authentication failures", "name the right one with --identity"),
        ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermission denied (publickey).", "chmod 600"),
        ("something new", "no connection to pi@h: got something new; try it by hand: ssh pi@h"),
        ("", "got nothing"),
    ],
)
def test_ssh_failure_is_one_line_that_says_what_to_do(said: str, expected: str) -> None:
    """What ssh wrote, in the order of what matters."""
    error = explain_ssh("pi@h", said)

    assert "\n" not in str(error)
    with pytest.raises(DeployError, match=expected):
        raise error


@pytest.mark.parametrize("target", ["", "-oProxyCommand=reboot", "a b", "pi@h;reboot'", "pi@h\n"])
def test_target_that_could_be_an_option_is_refused(target: str) -> None:
    """Ssh must never take it for something else than a host."""
    with pytest.raises(DeployError, match="not a target: expected local, HOST or USER@HOST"):
        open_host(target)


@pytest.mark.parametrize(
    "word", ["a b", "$(reboot)", "'; exit 3; '", '"', "*", "-n", "", "line\nbreak", "`x`", "\\"]
)
def test_script_gets_its_arguments_as_they_are(word: str) -> None:
    """Run by a real shell: nothing in an argument becomes a command."""
    with LocalHost() as host:
        said = host.do("echo", 'printf "<%s>" "$1"', word)

    assert f"<{word}>" == said


def test_script_that_fails_says_its_last_line() -> None:
    """With what to do, where it is known."""
    with (
        LocalHost() as host,
        pytest.raises(DeployError, match=r"cannot write on local: got x: No space .*free some"),
    ):
        host.do("write", "echo 'x: No space left on device' >&2; exit 1")


@pytest.mark.parametrize("name", scripts.__all__)
def test_script_is_sound_shell(name: str) -> None:
    """Read by a POSIX shell without being run."""
    done = subprocess.run(
        ["sh", "-n"], input=getattr(scripts, name), capture_output=True, text=True, check=False, timeout=10
    )

    assert (0, "") == (done.returncode, done.stderr)


def test_lock_is_held_until_it_is_given_back(tmp_path: Path) -> None:
    """And for no moment longer."""
    host = LocalHost()
    with host.hold("begin", scripts.LOCK, str(tmp_path)):
        again = host.hold("begin", scripts.LOCK, str(tmp_path))
        with pytest.raises(DeployError, match="cannot begin on local: got another deployment"), again:
            pass
    with host.hold("begin", scripts.LOCK, str(tmp_path)):
        pass


def test_upload_that_does_not_arrive_whole_leaves_what_was_there(tmp_path: Path) -> None:
    """Neither the damaged copy nor a part of it stays."""
    file = tmp_path / "bundle"
    file.write_bytes(b"old")
    device = Device(LocalHost(), str(tmp_path), "process")
    source = tmp_path / "source"
    source.write_bytes(b"damaged on the way")

    with pytest.raises(DeployError, match="checksum mismatch after the copy: expected abab"):
        device.upload(source, str(file), sha256="ab" * 32)

    assert (b"old", {"bundle", "source"}) == (file.read_bytes(), {path.name for path in tmp_path.iterdir()})


def test_secret_that_is_not_there_is_named_before_anything_changes(tmp_path: Path) -> None:
    """With the command that puts it there, and without its content ever being asked for."""
    spec = ServiceSpec(prefix=str(tmp_path), secrets=("key", "password"))
    device = Device(LocalHost(), str(tmp_path), "systemd")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("k", "ascii")

    with pytest.raises(
        DeployError, match=rf"needs {tmp_path}/secrets/password on local; .*install -D -m 600"
    ):
        device.check_secrets(spec)

    (tmp_path / "secrets" / "password").write_text("p", "ascii")
    device.check_secrets(spec)
    with pytest.raises(DeployError, match="is made by systemd"):
        Device(LocalHost(), str(tmp_path), "process").check_secrets(spec)


def test_deploy_with_wheel_and_requirement_is_wrong_usage(tmp_path: Path) -> None:
    """Two answers to one question: exit code 2."""
    wheel = tmp_path / "edge_lstm-0.1.0-py3-none-any.whl"
    wheel.touch()

    done = CliRunner().invoke(
        deploy, ["b.elb", "local", "--wheel", str(wheel), "--requirement", "edge-lstm==1"]
    )

    assert (2, True) == (done.exit_code, "--wheel and --requirement" in done.output)
