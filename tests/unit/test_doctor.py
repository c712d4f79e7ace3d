"""What doctor says of boards: copies of /proc, /sys and /dev of several, real and made worse."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from edge_lstm.backends import BACKENDS
from edge_lstm.commands.doctor import doctor
from edge_lstm.doctor.board import memory, model, power, temperature
from edge_lstm.doctor.clock import clock, kernel_synchronized, rtc
from edge_lstm.doctor.edgetpu import edge_tpu
from edge_lstm.doctor.examine import examine, passed
from edge_lstm.doctor.finding import Finding
from edge_lstm.doctor.isolate import Died, isolated
from edge_lstm.doctor.python import cpu, interpreter, libc, packages
from edge_lstm.doctor.runtimes import backends
from edge_lstm.doctor.storage import mount_of, storage
from edge_lstm.errors import BackendError

PI_4 = {
    "proc/device-tree/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": b"processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n\n"
    b"processor\t: 1\nFeatures\t: fp asimd evtstrm crc32 cpuid\n\n"
    b"Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/meminfo": b"MemTotal:        3884380 kB\nMemFree:          120000 kB\n"
    b"MemAvailable:    3400000 kB\n",
    "proc/self/cgroup": b"0::/system.slice/edge-lstm.service\n",
    "sys/fs/cgroup/memory.max": b"max\n",
    "sys/fs/cgroup/system.slice/edge-lstm.service/memory.max": b"max\n",
    "sys/class/thermal/thermal_zone0/temp": b"48199\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": b"0\n",
    "proc/self/mountinfo": b"24 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
    b"30 24 0:24 / /run rw,nosuid - tmpfs tmpfs rw,size=388440k\n",
    "run/systemd/timesync/synchronized": b"",
}
"""The files of a Raspberry Pi 4 with Raspberry Pi OS that doctor reads, shortened."""

CORAL = {
    "idVendor": b"18d1\n",
    "idProduct": b"9302\n",
    "speed": b"5000\n",
    "bMaxPower": b"896mA\n",
    "busnum": b"2\n",
    "devnum": b"3\n",
}


def put(root: Path, files: dict[str, bytes]) -> Path:
    """Files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A Raspberry Pi 4."""
    return put(tmp_path, PI_4)


def plug(root: Path, **changed: bytes) -> Path:
    """A USB Accelerator in a USB 3 port."""
    put(root / "sys/bus/usb/devices/2-1", {**CORAL, **changed})
    return put(root, {"dev/bus/usb/002/003": b""})


def of(findings: list[Finding], check: str) -> Finding:
    """The only finding of a check."""
    (found,) = [one for one in findings if one.check == check]
    return found


def test_a_healthy_board_has_nothing_to_put_right(pi: Path) -> None:
    """Every line about a Raspberry Pi 4 with nothing plugged in is ok or a fact."""
    findings = examine(root=pi, environ={})

    told = {one.check: one.status for one in findings}
    assert {"ok"} == {told[n] for n in ("board", "memory", "temperature", "power", "clock", "file-system")}
    assert passed(findings)
    assert "Raspberry Pi 4 Model B Rev 1.4" == model(pi).fact
    assert "2 core(s), Raspberry Pi 4 Model B Rev 1.4, asimd" in cpu(pi, "aarch64").fact


def test_an_empty_root_is_no_error(tmp_path: Path) -> None:
    """Where nothing can be read, nothing is raised and nothing fails for that."""
    findings = examine(root=tmp_path, environ={})

    assert [] == [one for one in findings if one.status == "fail"]
    assert all(one.fix for one in findings if one.status == "warn")


def test_files_of_garbage_are_no_error(pi: Path) -> None:
    """Whatever stands in the files of the kernel."""
    for name in PI_4:
        (pi / name).write_bytes(b"\xff\x00: :\n - - \nMemTotal: x kB\nMemAvailable:\n0::\n" * 3)
    plug(pi, speed=b"fast", busnum=b"x", bMaxPower=b"\xff")

    assert examine(root=pi, environ={})


@pytest.mark.parametrize(
    ("bits", "status"),
    [(b"0\n", "ok"), (b"50000\n", "warn"), (b"50005\n", "fail"), (b"80008\n", "ok"), (b"", "info")],
)
def test_supply_voltage(pi: Path, bits: bytes, status: str) -> None:
    """Bit 0 is now, bit 16 is since the boot; heat alone is another line's affair."""
    put(pi, {"sys/devices/platform/soc/soc:firmware/get_throttled": bits})

    assert status == power(pi).status


@pytest.mark.parametrize(("alarm", "status"), [(b"0\n", "ok"), (b"1\n", "fail")])
def test_supply_voltage_of_a_kernel_without_get_throttled(pi: Path, alarm: bytes, status: str) -> None:
    """The mainline driver reports it as a sensor's alarm."""
    (pi / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    put(pi / "sys/class/hwmon/hwmon1", {"name": b"rpi_volt\n", "in0_lcrit_alarm": alarm})
    put(pi / "sys/class/hwmon/hwmon0", {"name": b"cpu_thermal\n", "in0_lcrit_alarm": b"1\n"})

    assert status == power(pi).status


@pytest.mark.parametrize(
    ("available_mib", "limit_mib", "status"),
    [(3000, None, "ok"), (120, None, "warn"), (40, None, "fail"), (3000, 128, "warn"), (3000, 32, "fail")],
)
def test_memory_is_the_least_of_board_and_group(
    pi: Path, available_mib: int, limit_mib: int | None, status: str
) -> None:
    """A limit of any group above ours counts."""
    put(pi, {"proc/meminfo": f"MemTotal: 3884380 kB\nMemAvailable: {available_mib * 1024} kB\n".encode()})
    if limit_mib is not None:
        put(pi, {"sys/fs/cgroup/system.slice/memory.max": f"{limit_mib * 2**20}\n".encode()})

    assert status == memory(pi).status


def test_memory_of_a_version_1_group(pi: Path) -> None:
    """Old kernels keep the limit under the controller's own name; no limit there is a huge number."""
    put(pi, {"proc/self/cgroup": b"9:memory:/box\n3:cpu,cpuacct:/box\n0::/box\n"})
    put(pi, {"sys/fs/cgroup/memory/memory.limit_in_bytes": b"9223372036854771712\n"})
    put(pi, {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": b"104857600\n"})

    assert "limited to 100 MiB" in memory(pi).fact


def test_heat(pi: Path) -> None:
    """The hottest zone counts."""
    assert "ok" == temperature(pi).status
    put(pi, {"sys/class/thermal/thermal_zone1/temp": b"84500\n"})
    assert ("warn", "84 °C") == (temperature(pi).status, temperature(pi).fact)


@pytest.mark.parametrize(
    ("machine", "features", "status"),
    [
        ("armv6l", "half thumb fastmult vfp edsp", "warn"),
        ("armv7l", "half thumb vfpv3 tls neon", "ok"),
        ("armv7l", "half thumb vfpv3 vfpv3d16 tls", "warn"),
        ("aarch64", "fp asimd", "ok"),
    ],
)
def test_processors_without_an_interpreter(tmp_path: Path, machine: str, features: str, status: str) -> None:
    """ARMv6 and ARMv7 without NEON are told from those that have one."""
    put(tmp_path, {"proc/cpuinfo": f"processor : 0\nFeatures : {features}\n".encode()})

    assert status == cpu(tmp_path, machine).status


def test_a_32_bit_system_on_a_64_bit_kernel() -> None:
    """Raspberry Pi OS 32-bit boots a 64-bit kernel: pip asks for wheels that cannot be."""
    assert "warn" == interpreter("aarch64", wide=False).status
    assert "ok" == interpreter("aarch64", wide=True).status
    assert "ok" == interpreter("armv7l", wide=False).status


@pytest.mark.parametrize(
    ("said", "status"), [("glibc 2.36", "ok"), ("glibc 2.24", "warn"), ("glibc 2.27", "ok"), ("", "info")]
)
def test_c_library(tmp_path: Path, said: str, status: str) -> None:
    """What the wheels of LiteRT need."""
    assert status == libc(tmp_path, said).status


def test_musl(tmp_path: Path) -> None:
    """Alpine: known by its loader."""
    put(tmp_path, {"lib/ld-musl-aarch64.so.1": b""})

    assert libc(tmp_path, "").fact.startswith("musl")


def test_packages_are_named_with_their_versions() -> None:
    """What a report of a fault needs first."""
    assert {"edge-lstm", "numpy", "msgspec"} <= set(packages().fact.replace(",", "").split())


# -------------------------------------------------------------------------------------------- Edge TPU


def test_no_edge_tpu(pi: Path) -> None:
    """One line, and it is not a fault."""
    (found,) = edge_tpu(pi)

    assert "info" == found.status
    assert "1a6e:089a" in found.fix


def test_edge_tpu_in_use(pi: Path) -> None:
    """Firmware loaded, USB 3, driver there."""
    put(plug(pi), {"usr/lib/aarch64-linux-gnu/libedgetpu.so.1": b""})
    findings = edge_tpu(pi)

    assert ["ok", "ok", "info", "ok"] == [one.status for one in findings]
    assert "firmware loaded" in of(findings, "edge-tpu").fact


def test_edge_tpu_before_its_firmware(pi: Path) -> None:
    """Its first identity, and no driver."""
    findings = edge_tpu(plug(pi, idVendor=b"1a6e\n", idProduct=b"089a\n"))

    assert "not loaded yet" in of(findings, "edge-tpu").fact
    assert "warn" == of(findings, "edge-tpu-driver").status


def test_edge_tpu_in_a_usb_2_port(pi: Path) -> None:
    """It works there, slower."""
    assert "warn" == of(edge_tpu(plug(pi, speed=b"480\n")), "edge-tpu-speed").status


def test_edge_tpu_on_a_weak_supply(pi: Path) -> None:
    """A Raspberry Pi 5 on a 3 A supply gives its USB ports 600 mA together."""
    put(plug(pi), {"proc/device-tree/chosen/power/max_current": (3000).to_bytes(4, "big")})
    assert "warn" == of(edge_tpu(pi), "edge-tpu-power").status

    put(pi, {"proc/device-tree/chosen/power/max_current": (5000).to_bytes(4, "big")})
    assert "info" == of(edge_tpu(pi), "edge-tpu-power").status


def test_edge_tpu_that_a_container_does_not_see(pi: Path) -> None:
    """It is on the bus, and its node is not there."""
    plug(pi)
    (pi / "dev/bus/usb/002/003").unlink()

    assert "container" in of(edge_tpu(pi), "edge-tpu-access").fix


def test_edge_tpu_without_rights(pi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule that is missing is named; the answer is put in because tests may run as root."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    plug(pi)

    assert "udev" in of(edge_tpu(pi), "edge-tpu-access").fix


def test_edge_tpu_on_pcie(pi: Path) -> None:
    """A Coral board or an M.2 card."""
    put(pi, {"dev/apex_0": b"", "usr/lib/libedgetpu.so.1": b""})

    assert ["ok", "ok"] == [one.status for one in edge_tpu(pi)]


def test_other_usb_devices_are_none(pi: Path) -> None:
    """Hubs and phones (18d1 is Google's number) are not taken for one."""
    assert "info" == edge_tpu(plug(pi, idProduct=b"4ee7\n"))[0].status


# -------------------------------------------------------------------------------------------- disk and clock


@pytest.mark.parametrize(
    ("mount", "status"),
    [
        ("/ rw - ext4 /dev/mmcblk0p2 rw", "ok"),
        ("/ ro - ext4 /dev/mmcblk0p2 ro", "fail"),
        ("/ rw - overlay overlayroot rw", "warn"),
        ("/var/lib rw - tmpfs tmpfs rw", "warn"),
        ("/var/lib/edge-lstm rw - ext4 /dev/sda1 rw", "ok"),
    ],
)
def test_file_system_of_the_states(pi: Path, mount: str, status: str) -> None:
    """The nearest mount point above the folder decides."""
    first = "24 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw"
    put(pi, {"proc/self/mountinfo": f"{first}\n31 24 0:9 / {mount}\n".encode()})

    assert status == of(storage(pi, Path("/var/lib/edge-lstm")), "file-system").status


@pytest.mark.parametrize(
    ("state_dir", "why"),
    [
        ("/" + "a" * 5000, "File name too long"),
        ("/" + "a/" * 2500, "File name too long"),
        ("/srv/file", "srv/file is not a folder"),
        ("/srv/file/below/it", "srv/file is not a folder"),
        ("/srv/link", "symbolic link to nothing"),
        ("/srv/a\0b", "null"),
    ],
)
def test_a_state_dir_that_cannot_be_a_folder_fails(pi: Path, state_dir: str, why: str) -> None:
    """One short line, and not that the service will make it."""
    put(pi, {"srv/file": b""})
    (pi / "srv/link").symlink_to("nowhere")
    found = of(storage(pi, Path(state_dir)), "state-dir")
    assert found.status == "fail"
    assert why in found.fact
    assert len(found.fact) < 600


def test_a_device_is_no_state_dir() -> None:
    """Nor anything below it; on this machine's own root."""
    for state_dir in ("/dev/null", "/dev/null/states"):
        found = of(storage(Path("/"), Path(state_dir)), "state-dir")
        assert (found.status, "/dev/null is not a folder" in found.fact) == ("fail", True)


def test_a_state_dir_to_be_made_is_ok(pi: Path) -> None:
    """The service makes it."""
    assert of(storage(pi, Path("/var/lib/edge-lstm")), "state-dir").status == "ok"


def test_a_later_mount_hides_an_earlier_one(pi: Path) -> None:
    """The same place mounted twice: the last one is what is seen; blanks in names are written as octal."""
    lines = ["24 1 8:2 / / rw - ext4 /dev/a rw", "25 1 0:4 / / rw - overlay o rw"]
    lines.append("26 1 0:5 / /a\\040b rw - xfs x rw")
    put(pi, {"proc/self/mountinfo": "\n".join(lines).encode()})

    assert "overlay" == getattr(mount_of(pi, Path("/var/lib")), "kind", None)
    assert "xfs" == getattr(mount_of(pi, Path("/a b/c")), "kind", None)


@pytest.mark.parametrize(
    ("now", "synchronized", "status"),
    [(0.0, True, "fail"), (1.79e9, True, "ok"), (1.79e9, False, "warn"), (1.79e9, None, "info")],
)
def test_clock(tmp_path: Path, now: float, synchronized: bool | None, status: str) -> None:  # noqa: FBT001
    """1970 cannot be right; and it should be steered."""
    assert status == clock(tmp_path, now=now, synchronized=lambda: synchronized).status


def test_systemd_says_that_the_clock_is_set(pi: Path) -> None:
    """Its file counts, whatever the kernel says."""
    assert "ok" == clock(pi, synchronized=lambda: False).status


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex is Linux")
def test_the_kernel_answers_about_its_clock() -> None:
    """As the kernel's own tool would read it: a bit of a status word."""
    assert kernel_synchronized() in {True, False}


def test_real_time_clock(pi: Path) -> None:
    """A Raspberry Pi 4 has none."""
    assert "info" == rtc(pi).status
    put(pi, {"sys/class/rtc/rtc0/name": b"rpi_rtc\n"})
    assert "ok" == rtc(pi).status


# -------------------------------------------------------------------------------------------- isolation


def test_an_answer_of_any_length_comes_back() -> None:
    """More than a pipe holds."""
    assert ["x" * 300_000] == isolated(lambda: ["x" * 300_000], 10)


def test_a_crash_is_an_answer() -> None:
    """As LiteRT 2.2 does where /proc/cpuinfo is another machine's: a null pointer in native code."""

    def crash() -> None:
        faulthandler.disable()  # pytest's, which would print a page
        ctypes.string_at(0)

    with pytest.raises(Died, match=r"SIGSEGV|SIGBUS"):
        isolated(crash, 10)


def test_a_hang_is_an_answer() -> None:
    """As name servers do, in native code that no exception reaches."""
    begin = time.monotonic()
    with pytest.raises(Died, match=r"no answer within 0\.2 s"):
        isolated(lambda: time.sleep(60), 0.2)
    assert time.monotonic() - begin < 30


def test_an_end_without_an_answer_is_an_answer() -> None:
    """A library that calls exit, and one that is killed."""
    with pytest.raises(Died, match="exit code 3"):
        isolated(lambda: os._exit(3), 10)
    with pytest.raises(Died, match="SIGKILL"):
        isolated(lambda: os.kill(os.getpid(), signal.SIGKILL), 10)


# -------------------------------------------------------------------------------------------- command


def test_bundle_that_is_none_fails(tmp_path: Path) -> None:
    """With the reason that open_bundle has."""
    (tmp_path / "model.elb").write_bytes(b"no bundle")
    (found,) = backends(tmp_path / "model.elb")

    assert ("bundle", "fail") == (found.check, found.status)


def test_configuration_that_is_wrong_is_a_line_and_not_the_end(pi: Path, tmp_path: Path) -> None:
    """All other lines are there, and the exit code is 1."""
    (tmp_path / "site.yaml").write_text("nodes: x\n", encoding="utf-8")
    done = CliRunner().invoke(doctor, ["--root", str(pi), "--config", str(tmp_path / "site.yaml"), "--json"])
    report = json.loads(done.stdout)

    assert (1, False) == (done.exit_code, report["passed"])
    by_check = {one["check"]: one for one in report["findings"]}
    assert {"memory", "config", "broker"} <= set(by_check)
    assert "that key" in by_check["config"]["fix"]
    assert "cannot be used" in by_check["broker"]["fact"]
    assert "--config" not in by_check["broker"]["fix"]


@pytest.mark.parametrize(("content", "fix"), [(None, "path of a file"), (b"a: [\n", "that file right")])
def test_configuration_that_is_no_file_or_no_yaml(
    pi: Path, tmp_path: Path, content: bytes | None, fix: str
) -> None:
    """No key is at fault, so none is to be put right."""
    path = tmp_path / "site.yaml"
    if content is not None:
        path.write_bytes(content)
    found = of(examine(root=pi, config=path, environ={}), "config")

    assert ("fail", True) == (found.status, fix in found.fix)
    assert "that key" not in found.fix


def test_root_from_the_environment(pi: Path) -> None:
    """As every option."""
    done = CliRunner().invoke(
        doctor, [], env={"EDGE_LSTM_DOCTOR_ROOT": str(pi)}, auto_envvar_prefix="EDGE_LSTM_DOCTOR"
    )

    assert "Raspberry Pi 4 Model B Rev 1.4\n" in done.stdout


def test_text_shows_what_to_do_below_what_was_found(pi: Path) -> None:
    """For people: status, check, fact; then the fix."""
    done = CliRunner().invoke(doctor, ["--root", str(pi)])

    assert 0 == done.exit_code
    assert "ok    board            Raspberry Pi 4 Model B Rev 1.4\n" in done.stdout
    assert " -> edge-lstm doctor --config edge-lstm.yaml\n" in done.stdout


@pytest.mark.train
def test_every_backend_replays_the_golden_vectors(tiny_bundle: Path) -> None:
    """With its time a step."""
    findings = backends(tiny_bundle)

    by_name = {one.fact.split(":")[0]: one for one in findings}
    assert "ok" == by_name["litert"].status
    assert "ok" == by_name["reference"].status
    assert "µs a step" in by_name["reference"].fact


@pytest.mark.train
def test_what_the_daemon_would_take_must_work(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that dies is a failure, unless the configuration names another backend."""
    monkeypatch.setitem(
        cast("dict[str, object]", BACKENDS), "litert", lambda _bundle: os.kill(os.getpid(), signal.SIGKILL)
    )

    assert ["fail", "ok"] == [one.status for one in backends(tiny_bundle)][:2]
    assert ["warn", "ok"] == [one.status for one in backends(tiny_bundle, "reference")][:2]


@pytest.mark.train
def test_a_backend_that_is_not_there_is_none_of_the_faults(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an interpreter the reference kernel is what the daemon takes."""

    def absent(_bundle: object) -> object:
        raise BackendError("no TFLite interpreter on this board", do="pip install ai-edge-litert")

    monkeypatch.setitem(cast("dict[str, object]", BACKENDS), "litert", absent)
    litert, reference, edgetpu = backends(tiny_bundle)

    assert ("info", "pip install ai-edge-litert") == (litert.status, litert.fix)
    assert reference.fact.endswith("(what the daemon takes)")
    assert ("info", True) == (edgetpu.status, "no network for the Edge TPU" in edgetpu.fact)
    assert "fail" == backends(tiny_bundle, "litert")[0].status


@pytest.mark.train
def test_edge_tpu_that_was_chosen_and_cannot_be_used(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon runs on the CPU and calls it degraded, so nothing fails; unless the CPU is wrong too."""
    litert, reference, tpu = backends(tiny_bundle, "edgetpu")

    assert ["ok", "ok", "warn"] == [one.status for one in (litert, reference, tpu)]
    assert litert.fact.endswith("(what the daemon takes)")
    assert not reference.fact.endswith("(what the daemon takes)")
    assert tpu.fact.endswith("(the daemon would run on litert, with health degraded)")
    assert "edge-lstm compile" in tpu.fix

    monkeypatch.setitem(
        cast("dict[str, object]", BACKENDS), "litert", lambda _bundle: os.kill(os.getpid(), signal.SIGKILL)
    )
    litert, _, tpu = backends(tiny_bundle, "edgetpu")
    assert ("fail", True) == (litert.status, litert.fact.endswith("(and the daemon would take it)"))
    assert "degraded" not in tpu.fact


@pytest.mark.train
def test_edge_tpu_that_was_chosen_and_works(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the daemon takes; here the reference kernel stands in its place."""
    monkeypatch.setitem(cast("dict[str, object]", BACKENDS), "edgetpu", BACKENDS["reference"])
    found = backends(tiny_bundle, "edgetpu")

    assert [False, False, True] == [one.fact.endswith("(what the daemon takes)") for one in found]
