"""The Edge TPU as a backend: real processes, real signals, real shared libraries; no Edge TPU."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm.accelerator import Runner, accelerate, compare
from edge_lstm.backends import load_backend
from edge_lstm.backends.edgetpu import EdgeTpuBackend
from edge_lstm.backends.edgetpu_device import explain, find_device
from edge_lstm.backends.edgetpu_wire import split
from edge_lstm.backends.litert import LiteRtBackend
from edge_lstm.bundle import EDGETPU_MODEL, MODEL, Bundle, open_bundle
from edge_lstm.core.backend import Backend, TensorArray
from edge_lstm.core.quantize import zero
from edge_lstm.core.stepper import state_tensors
from edge_lstm.errors import BackendError

HERE = Path(__file__).parents[1] / "edgetpu"
STEPS, AT = 60, 25

pytestmark = pytest.mark.train

Made = Callable[..., EdgeTpuBackend]
Answers = list[list[NDArray[np.int8]]]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    """A real bundle whose network for the Edge TPU is its network for the CPU."""
    plain = open_bundle(tiny_bundle)
    members = {**plain.members, EDGETPU_MODEL: plain.read(MODEL)}
    return Bundle(plain.path, plain.sha256, plain.manifest, members)


@pytest.fixture
def made(bundle: Bundle) -> Iterator[Made]:
    """Makes Edge TPUs that are none, and ends their processes."""
    all_of: list[EdgeTpuBackend] = []

    def make(fault: str = "none", at: int = 0, *, begin_s: float = 30, step_s: float = 10) -> EdgeTpuBackend:
        command = (sys.executable, str(HERE / "process.py"), fault, str(at))
        all_of.append(EdgeTpuBackend(bundle, command=command, begin_s=begin_s, step_s=step_s))
        return all_of[-1]

    yield make
    for one in all_of:
        one.close()


def answers(bundle: Bundle, backend: Backend, streams: int | None = None) -> Answers:
    """States and heads of every step, from a fresh state through random frames."""
    manifest = bundle.manifest
    frame = next(t for t in manifest.inputs if t.name == manifest.input)
    rows = () if streams is None else (streams,)
    state = [np.full((*rows, a.shape[-1]), zero(a), np.int8) for a, _ in state_tensors(manifest)]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(STEPS):
        said = backend.step(rng.integers(-128, 128, (*rows, frame.shape[-1])).astype(np.int8), state)
        found.append([*(one.copy() for one in state), *(np.array(said[name]) for name in sorted(said))])
    return found


def same(one: Answers, other: Answers) -> bool:
    """Bit for bit."""
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return all(np.array_equal(a, b) for a, b in pairs)


def test_the_process_computes_what_the_network_computes(bundle: Bundle, made: Made) -> None:
    """Bit for bit, and it says of which version it is."""
    tpu = made()
    assert tpu.runtime == "RuntimeVersion(14)"
    assert same(answers(bundle, tpu), answers(bundle, LiteRtBackend(bundle)))


def test_a_batch_is_its_streams_one_after_the_other(bundle: Bundle, made: Made) -> None:
    """The compiled network has a fixed size; the streams of a batch do not mix."""
    tpu, many = made(), made()
    together = answers(bundle, many, streams=3)
    manifest = bundle.manifest
    frame = next(t for t in manifest.inputs if t.name == manifest.input)
    rng = np.random.default_rng(0)
    frames = [rng.integers(-128, 128, (3, frame.shape[-1])).astype(np.int8) for _ in range(STEPS)]
    for stream in range(3):
        state = [np.full(a.shape[-1], zero(a), np.int8) for a, _ in state_tensors(manifest)]
        for tick, row in enumerate(frames):
            tpu.step(row[stream], state)
            assert all(np.array_equal(a, b[stream]) for a, b in zip(state, together[tick], strict=False))


LOST = {
    "error": "the Edge TPU failed: Failed to execute request",
    "abort": "SIGABRT.*USB transfer error 1.*check cable, power and hub",
    "crash": "SIGSEGV.*of different TensorFlow versions",
    "hang": "a step did not end within 0.5 s",
}


@pytest.mark.parametrize("fault", LOST)
def test_losing_the_tpu_is_an_error_and_leaves_the_state(bundle: Bundle, made: Made, fault: str) -> None:
    """What the library did to the numbers before it died is not seen."""
    tpu = made(fault, step_s=0.5)
    frame = next(t for t in bundle.manifest.inputs if t.name == bundle.manifest.input)
    state = [np.full(a.shape[-1], 5, np.int8) for a, _ in state_tensors(bundle.manifest)]
    with pytest.raises(BackendError, match=LOST[fault]):
        tpu.step(np.zeros(frame.shape[-1], np.int8), state)
    assert all(np.all(array == 5) for array in state)
    assert tpu._process.poll() is not None


@pytest.mark.parametrize("fault", LOST)
def test_the_cpu_takes_over_at_the_very_step(
    bundle: Bundle, made: Made, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Every number is as if the CPU had done it all; the log says it once, and health from then on."""
    runner = Runner(LiteRtBackend(bundle), made(fault, AT, step_s=0.5), "the fastest that runs here")
    assert (runner.name, runner.problem) == ("edgetpu", "")

    with caplog.at_level(logging.ERROR):
        found = answers(bundle, runner)

    assert same(found, answers(bundle, LiteRtBackend(bundle)))
    assert runner.name == LiteRtBackend(bundle).name
    assert runner.problem.startswith(f"the network is on {runner.name}: the Edge TPU ")
    assert runner.reason == runner.problem
    assert [record.message for record in caplog.records if "edgetpu.lost" in record.message] != []
    assert len(caplog.records) == 1


def test_a_batch_is_taken_over_too(bundle: Bundle, made: Made) -> None:
    """In the middle of its streams: the fault comes at the second of three."""
    cpu = made()  # one that is well, in the CPU's place
    runner = Runner(cpu, made("abort", 3 * AT + 1), "")
    assert same(answers(bundle, runner, streams=3), answers(bundle, made(), streams=3))
    assert "SIGABRT" in runner.problem


def test_a_tpu_that_never_answers_is_given_up(made: Made) -> None:
    """At the start as well as later."""
    with pytest.raises(BackendError, match=r"the Edge TPU is lost: it did not answer within 0\.5 s"):
        made("begin-hangs", begin_s=0.5)


def test_a_process_that_cannot_be_started_is_an_error_of_the_tpu(bundle: Bundle) -> None:
    """The daemon goes on with the CPU then, as with any other."""
    with pytest.raises(BackendError, match="process cannot be started: No such file"):
        EdgeTpuBackend(bundle, command=("/no/such/python",))


def test_the_process_ends_with_its_backend(made: Made) -> None:
    """When it is closed, and when the daemon is gone and its pipe with it."""
    tpu = made()
    tpu.close()
    assert tpu._process.returncode == 0


def test_the_process_ends_with_the_daemon(tmp_path: Path) -> None:
    """Even one that is killed: the pipe ends, and the process with it."""
    script = tmp_path / "daemon.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'edge_lstm.backends.edgetpu_process'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        daemon.kill()
    until = time.monotonic() + 20
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended; whoever took it over has not asked yet


# ------------------------------------------------------------------------------- choosing between them


class Slow:
    """A CPU that takes its time."""

    name = "slow"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def step(self, frame: TensorArray, state: Sequence[TensorArray]) -> Mapping[str, TensorArray]:
        """As the other, later."""
        time.sleep(0.005)
        return self._backend.step(frame, state)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps of 5 ms are enough to tell."""
    real = compare
    monkeypatch.setattr("edge_lstm.accelerator.compare", lambda *three: real(*three, steps=10))


@pytest.mark.usefixtures("few_steps")
def test_the_faster_one_is_taken(bundle: Bundle, made: Made) -> None:
    """By measurement on this board, and with both figures in the reason."""
    cpu = LiteRtBackend(bundle)
    quick = accelerate(bundle, Slow(cpu), "", make=lambda _: made())
    assert (quick.name, quick.problem) == ("edgetpu", "")
    assert "the fastest that runs here: " in quick.reason
    assert "on slow" in quick.reason

    slow = accelerate(bundle, cpu, "the fastest that runs here", make=lambda _: made("slow"))
    assert (slow.name, slow.problem) == (cpu.name, "")
    assert "not the Edge TPU: it is not faster: " in slow.reason


@pytest.mark.usefixtures("few_steps")
def test_the_slower_one_is_taken_when_told(bundle: Bundle, made: Made) -> None:
    """`backend: edgetpu` measures and takes it all the same."""
    told = accelerate(bundle, LiteRtBackend(bundle), "", forced=True, make=lambda _: made("slow"))
    assert (told.name, told.problem) == ("edgetpu", "")
    assert told.reason.startswith("as chosen: ")


@pytest.mark.parametrize("forced", [True, False])
def test_a_tpu_that_computes_something_else_is_not_taken(bundle: Bundle, made: Made, *, forced: bool) -> None:
    """The golden vectors are replayed on it first, chosen or not."""
    cpu = LiteRtBackend(bundle)
    found = accelerate(bundle, cpu, "as it is", forced=forced, make=lambda _: made("wrong", 3))
    assert found.name == cpu.name
    assert "the golden vectors do not come out on the Edge TPU" in found.reason
    assert bool(found.problem) == forced
    assert same(answers(bundle, found), answers(bundle, cpu))


@pytest.mark.parametrize("forced", [True, False])
def test_a_tpu_that_is_not_there_leaves_the_cpu(
    bundle: Bundle, caplog: pytest.LogCaptureFixture, *, forced: bool
) -> None:
    """This machine has none: the real delegate loader says so, and it is a problem when one was asked for."""
    found = accelerate(bundle, LiteRtBackend(bundle), "as it is", forced=forced)
    assert "not the Edge TPU: the Edge TPU cannot be used: libedgetpu" in found.reason
    assert "libedgetpu is not installed: apt-get install libedgetpu1-std" in found.reason
    assert bool(found.problem) == forced
    assert [record.levelname for record in caplog.records] == ["ERROR" if forced else "WARNING"]


def test_a_bundle_without_a_compiled_network(tiny_bundle: Path) -> None:
    """Nothing is said of an Edge TPU unless one was asked for."""
    plain = open_bundle(tiny_bundle)
    cpu = LiteRtBackend(plain)
    quiet = accelerate(plain, cpu, "the fastest that runs here")
    assert (quiet.reason, quiet.problem) == ("the fastest that runs here", "")
    asked = accelerate(plain, cpu, "", forced=True)
    assert "the bundle has no network for the Edge TPU" in asked.problem
    with pytest.raises(BackendError, match="the bundle has no network for the Edge TPU"):
        load_backend(plain, "edgetpu")


# ------------------------------------------------------------------------------- the real delegate loader

REFUSES = """
#include <stddef.h>
void* tflite_plugin_create_delegate(char** k, char** v, size_t n, void (*e)(const char*)) { return NULL; }
void tflite_plugin_destroy_delegate(void* d) {}
"""
ABORTS = """
#include <stdio.h>
#include <stdlib.h>
void* tflite_plugin_create_delegate(char** k, char** v, size_t n, void (*e)(const char*)) {
  fprintf(stderr, "F driver/usb/usb_driver.cc:802] USB transfer error 1 [LibUsbDataOutCallback]\\n");
  abort();
}
void tflite_plugin_destroy_delegate(void* d) {}
"""
# A delegate that takes no operator. TfLiteDelegate begins with a pointer and the function Prepare
# (tensorflow/lite/core/c/common.h); all else may be zero.
IDLE = """
#include <stddef.h>
#include <stdlib.h>
static int prepare(void* context, void* delegate) { return 0; }
void* tflite_plugin_create_delegate(char** k, char** v, size_t n, void (*e)(const char*)) {
  void** delegate = calloc(64, sizeof(void*));
  delegate[1] = (void*)prepare;
  return delegate;
}
void tflite_plugin_destroy_delegate(void* d) { free(d); }
const char* edgetpu_version(void) { return "BuildLabel(test), RuntimeVersion(14)"; }
"""


def library(folder: Path, source: str) -> str:
    """A real shared library."""
    compiler = shutil.which("cc")
    if compiler is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no C compiler: apt install gcc libc6-dev")
    (folder / "delegate.c").write_text(source)
    target = folder / "delegate.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", target, folder / "delegate.c"], check=True)
    return str(target)


def test_a_library_that_finds_no_device(bundle: Bundle, tmp_path: Path) -> None:
    """The real one says nothing then, so what can be seen of a device is said."""
    with pytest.raises(
        BackendError, match=r"Failed to load delegate from .*no Edge TPU is seen on USB or PCIe"
    ):
        EdgeTpuBackend(bundle, library=library(tmp_path, REFUSES))


def test_a_library_that_aborts_while_it_begins(bundle: Bundle, tmp_path: Path) -> None:
    """It takes its own process with it, and no other."""
    with pytest.raises(BackendError, match=r"SIGABRT.*USB transfer error 1.*check cable"):
        EdgeTpuBackend(bundle, library=library(tmp_path, ABORTS))


def test_a_library_that_is_no_delegate(bundle: Bundle) -> None:
    """Any other one on this machine."""
    with pytest.raises(BackendError, match=r"the Edge TPU cannot be used: .*undefined symbol"):
        EdgeTpuBackend(bundle, library="libc.so.6")


def test_a_delegate_that_takes_nothing(bundle: Bundle, tmp_path: Path) -> None:
    """A network of the CPU runs with it, which proves the way through the real loader."""
    tpu = EdgeTpuBackend(bundle, library=library(tmp_path, IDLE))
    assert tpu.runtime == "BuildLabel(test), RuntimeVersion(14)"
    assert same(answers(bundle, tpu), answers(bundle, LiteRtBackend(bundle)))
    tpu.close()


def test_a_compiled_network_does_not_run_on_the_cpu(bundle: Bundle, tmp_path: Path) -> None:
    """A delegate that takes nothing leaves the compiled operator alone, and that is said."""
    program = [
        sys.executable,
        str(HERE / "fake_compiler.py"),
        "--timeout_sec",
        "9",
        "--out_dir",
        str(tmp_path),
    ]
    (tmp_path / "m.tflite").write_bytes(bundle.read(MODEL))
    subprocess.run([*program, str(tmp_path / "m.tflite")], check=True, capture_output=True)
    members = {**bundle.members, EDGETPU_MODEL: (tmp_path / "m_edgetpu.tflite").read_bytes()}
    compiled = Bundle(bundle.path, bundle.sha256, bundle.manifest, members)
    with pytest.raises(BackendError, match=r"unresolved custom op.*the delegate was not applied"):
        EdgeTpuBackend(compiled, library=library(tmp_path, IDLE))


# ------------------------------------------------------------------------------- what can be seen of a device


def board(folder: Path, vendor: str, product: str) -> tuple[Path, Path]:
    """A kernel that sees one USB device at bus 2, device 5."""
    device = folder / "sys/bus/usb/devices/2-1"
    device.mkdir(parents=True)
    for name, text in (("idVendor", vendor), ("idProduct", product), ("busnum", "2"), ("devnum", "5")):
        (device / name).write_text(f"{text}\n")
    (folder / "sys/bus/usb/devices/usb1").mkdir()
    (folder / "dev/bus/usb/002").mkdir(parents=True)
    return folder / "sys", folder / "dev"


@pytest.mark.parametrize(("vendor", "product"), [("1a6e", "089a"), ("18d1", "9302")])
def test_a_usb_accelerator_is_seen_before_and_after_its_firmware(
    tmp_path: Path, vendor: str, product: str
) -> None:
    """And whether this process may use it."""
    sys_folder, dev = board(tmp_path, vendor, product)
    assert "bus/usb/002/005 is hidden from this process" in find_device(sys_folder, dev)
    (dev / "bus/usb/002/005").touch()
    assert "another process may hold it" in find_device(sys_folder, dev)


def test_a_pcie_accelerator_is_seen(tmp_path: Path) -> None:
    """By the kernel module's class, also where its node is hidden."""
    (tmp_path / "sys/class/apex/apex_0").mkdir(parents=True)
    assert "apex_0 is hidden" in find_device(tmp_path / "sys", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/apex_0").touch()
    assert "another process may hold it" in find_device(tmp_path / "sys", tmp_path / "dev")


def test_other_devices_are_none(tmp_path: Path) -> None:
    """A mouse, for one."""
    assert "no Edge TPU is seen" in find_device(*board(tmp_path, "046d", "c077"))


def test_a_runtime_that_is_too_old_is_told_with_the_way_out() -> None:
    """The words are libedgetpu's."""
    said = (
        "Failed precondition: Package requires runtime version (14), which is newer than this runtime "
        "version (13).Node number 0 (EdgeTpuDelegateForCustomOp) failed to prepare."
    )
    assert "update libedgetpu, or compile with --min-runtime-version" in explain(said)


def test_an_answer_of_another_length_is_refused() -> None:
    """Numbers are never taken from a message that does not fit."""
    with pytest.raises(ValueError, match="expected 4 bytes, got 5"):
        split(b"12345", [((4,), "int8")])
