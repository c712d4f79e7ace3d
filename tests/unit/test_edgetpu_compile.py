"""``edge-lstm compile`` with a stand-in for the vendor's compiler, run as a real program."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner, Result

from edge_lstm.bundle import EDGETPU_MODEL, MANIFEST, MODEL, Bundle, open_bundle, write_bundle
from edge_lstm.commands.bundle import inspect
from edge_lstm.errors import BundleError, CompileError, OperatorError
from edge_lstm.model_file import read_model
from edge_lstm.testing import fake_manifest
from firmware_tools import edgetpu, edgetpu_run
from firmware_tools.edgetpu_cli import compile_bundle
from firmware_tools.edgetpu_rules import ACCEPTED

FAKE = Path(__file__).parents[1] / "edgetpu" / "fake_compiler.py"

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in as a program on this machine."""
    program = tmp_path_factory.mktemp("bin") / "edgetpu_compiler"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    """A real bundle with a network."""
    return open_bundle(shutil.copy(tiny_bundle, tmp_path / "m.elb"))


def run(*args: object) -> Result:
    """The command as a user gives it; its error, if any, stands in the result."""
    return CliRunner().invoke(compile_bundle, [str(arg) for arg in args])


def test_a_compiled_bundle_has_the_model_and_all_it_had(bundle: Bundle, compiler: Path) -> None:
    """Members stay byte for byte; the manifest says what the new one is."""
    done = run(bundle.path, "--compiler", compiler)
    assert done.exit_code == 0, done.output

    after = open_bundle(bundle.path)
    graph = read_model(after.read(EDGETPU_MODEL))
    assert [operator.name for operator in graph.operators] == [edgetpu.CUSTOM]
    assert set(after.members) == {*bundle.members, EDGETPU_MODEL}
    assert all(after.read(name) == raw for name, raw in bundle.members.items() if name != MANIFEST)
    facts = after.manifest.edgetpu
    assert facts is not None
    operators = len(read_model(bundle.read(MODEL)).operators)
    assert (facts.compiler, facts.on_tpu, facts.on_cpu) == ("16.0.384591198", operators, 0)
    assert facts.source == bundle.manifest.files[MODEL].sha256
    assert "TPU    1 SPLIT" in done.output
    shown = CliRunner().invoke(inspect, [str(bundle.path)]).output
    assert f"edge tpu    compiled by 16.0.384591198: {operators} operators on the TPU, 0 on the CPU" in shown
    assert after.sha256 in done.output


def test_the_same_bundle_compiles_to_the_same_bytes_again(bundle: Bundle, compiler: Path) -> None:
    """A second run replaces the member and changes nothing."""
    first = run(bundle.path, "--compiler", compiler, "--json")
    second = run(bundle.path, "--compiler", compiler, "--json")
    assert json.loads(first.stdout)["sha256"] == json.loads(second.stdout)["sha256"]


def test_out_leaves_the_bundle_alone(bundle: Bundle, compiler: Path, tmp_path: Path) -> None:
    """And a compiler is found on the PATH or by its variable."""
    before = bundle.path.read_bytes()
    runner = CliRunner(env={"EDGE_LSTM_COMPILER": str(compiler)})
    done = runner.invoke(compile_bundle, [str(bundle.path), "--out", str(tmp_path / "tpu.elb")])
    assert done.exit_code == 0, done.output
    assert bundle.path.read_bytes() == before
    assert EDGETPU_MODEL in open_bundle(tmp_path / "tpu.elb").members


def test_the_runtime_version_reaches_the_compiler(
    bundle: Bundle, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in fails without it."""
    monkeypatch.setenv("FAKE_TPU_LEAST", "13")
    assert run(bundle.path, "--compiler", compiler).exit_code == 1
    assert run(bundle.path, "--compiler", compiler, "--min-runtime-version", "13").exit_code == 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("fails", r"the compiler failed \(exit code 1\): got Compilation failed!"),
        ("crashes", r"the compiler failed \(killed by SIGSEGV\)"),
        ("no_file", "the compiler wrote no model"),
        ("damaged", "the compiler's output cannot be read: not a TFLite model"),
        ("not_replaced", "the compiler's output is not what its log says: expected CUSTOM:edgetpu-custom-op"),
        ("renamed", "the compiler changed the model's input tensors: got .*something_else"),
        ("rescaled", "the compiler changed the model's output tensors"),
        ("other_model", "the compiler compiled another model: expected 18 operators, got 19"),
        ("no_table", "the compiler's log has no table of operators"),
        ("cut_off", "the compiler's log cannot be read: the table has"),
        ("old", r"the Edge TPU compiler is too old: expected version 16, got 15\.0\.340273435"),
        ("nobody", "this is not the Edge TPU compiler"),
        ("nothing", "nothing of the model is on the Edge TPU: got .*CPU .*More than one subgraph"),
        ("partly", "a part of the model stays on the CPU: .*an operator before it stays .*--allow-cpu"),
    ],
)
def test_a_compiler_that_goes_wrong_leaves_the_bundle_alone(
    bundle: Bundle, compiler: Path, monkeypatch: pytest.MonkeyPatch, fault: str, why: str
) -> None:
    """Whatever it does, it is one clear error and no success."""
    monkeypatch.setenv("FAKE_TPU", fault)
    before = bundle.path.read_bytes()

    with pytest.raises(CompileError, match=why):
        run_through(bundle.path, "--compiler", compiler)

    assert bundle.path.read_bytes() == before


def run_through(*args: object) -> None:
    """The command with its error raised."""
    done = run(*args)
    assert isinstance(done.exception, OperatorError), done.output
    raise done.exception


def test_a_compiler_that_hangs_is_ended_with_its_children(
    bundle: Bundle, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit is the compiler's and ours."""
    monkeypatch.setenv("FAKE_TPU", "hangs")
    with pytest.raises(CompileError, match="did not end within 1 s: got Edge TPU Compiler version 16"):
        run_through(bundle.path, "--compiler", compiler, "--timeout", 1)


def test_a_child_that_left_the_group_is_not_waited_for(tmp_path: Path) -> None:
    """It holds the output open long after the compiler was killed, until this test lets it go."""
    hold = tmp_path / "hold"
    hold.touch()
    script = f"setsid sh -c 'while [ -e {hold} ]; do sleep 0.1; done' & echo started; sleep 600"
    try:
        with pytest.raises(CompileError, match="did not end within 1 s: got started"):
            edgetpu_run.run(["/bin/sh", "-c", script], tmp_path, 1.0)
    finally:
        hold.unlink()


def test_of_a_long_log_the_end_is_kept(tmp_path: Path) -> None:
    """One MiB."""
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"
    said = edgetpu_run.run(["/bin/sh", "-c", script], tmp_path, 60.0)
    assert len(said) == 1 << 20
    assert said.endswith("x\nlast\n")


def test_a_compiled_model_without_end_is_refused(tmp_path: Path) -> None:
    """A file with a hole, one byte over the limit."""
    path = tmp_path / "model_edgetpu.tflite"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(CompileError, match=r"model_edgetpu\.tflite is too large: expected at most 64 MiB"):
        edgetpu._read(path)


def test_a_part_on_the_cpu_can_be_wanted(
    bundle: Bundle, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the manifest says how many."""
    monkeypatch.setenv("FAKE_TPU", "partly")
    assert run(bundle.path, "--compiler", compiler, "--allow-cpu").exit_code == 0
    facts = open_bundle(bundle.path).manifest.edgetpu
    assert facts is not None
    assert facts.on_cpu == 2


def test_the_table_may_stand_in_the_log_file_alone(
    bundle: Bundle, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are the compiler's own."""
    monkeypatch.setenv("FAKE_TPU", "table_in_file")
    assert run(bundle.path, "--compiler", compiler).exit_code == 0


def test_without_a_compiler_the_check_is_told_and_the_way_to_get_one(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a success: exit code and bundle say so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(bundle.path)
    assert "no documented rule is broken" in done.output
    assert isinstance(done.exception, CompileError)
    said = str(done.exception)
    assert "the Edge TPU compiler is not installed" in said
    assert "packages.cloud.google.com/apt coral-edgetpu-stable main" in said
    assert EDGETPU_MODEL not in open_bundle(bundle.path).members


def test_a_machine_that_cannot_have_the_compiler_is_told(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for x86-64 alone."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(CompileError, match="this machine is aarch64: compile on another one"):
        run_through(bundle.path)


def test_a_program_for_another_machine_cannot_be_run(bundle: Bundle, tmp_path: Path) -> None:
    """What the kernel says of it, and what it means."""
    program = tmp_path / "edgetpu_compiler"
    program.write_bytes(b"\x7fELF not for here")
    program.chmod(0o755)
    with pytest.raises(CompileError, match=r"cannot run .*a program for x86-64 Linux alone"):
        run_through(bundle.path, "--compiler", program)


def test_what_is_no_program_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """A path that does not exist, for one."""
    with pytest.raises(CompileError, match="is not a program that can be run"):
        run_through(bundle.path, "--compiler", tmp_path / "none")


def test_check_needs_no_compiler(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 for a network that keeps the rules; JSON has all of it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(bundle.path, "--check").exit_code == 0
    facts = json.loads(run(bundle.path, "--check", "--json").stdout)
    assert facts["mapped"] is True
    assert facts["findings"] == []
    assert ["SPLIT", 2, 1] in facts["operators"]


def test_a_network_that_breaks_a_rule_is_not_compiled(
    bundle: Bundle, compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the compiler is started; --check says it with exit code 1."""
    monkeypatch.setitem(cast("dict[str, int]", ACCEPTED), "TANH", 1)
    checked = run(bundle.path, "--check")
    assert checked.exit_code == 1
    assert "3 of 18 operators would stay on the CPU" in checked.output
    with pytest.raises(CompileError, match="would not be on the Edge TPU in full: got TANH v2"):
        run_through(bundle.path, "--compiler", compiler)
    assert run(bundle.path, "--compiler", compiler, "--allow-cpu").exit_code == 0


def test_a_model_of_another_network_is_refused(bundle: Bundle, compiler: Path, tmp_path: Path) -> None:
    """The manifest says what the compiled one was made from; a bundle that does not fit is not opened."""
    assert run(bundle.path, "--compiler", compiler).exit_code == 0
    compiled = open_bundle(bundle.path)
    with zipfile.ZipFile(bundle.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}
    members[MODEL] += b" "
    write_bundle(tmp_path / "other.elb", compiled.manifest, members)
    with pytest.raises(BundleError, match=r"model\.edgetpu\.tflite is not this bundle's network"):
        open_bundle(tmp_path / "other.elb")

    without = {name: raw for name, raw in members.items() if name != EDGETPU_MODEL}
    write_bundle(tmp_path / "without.elb", compiled.manifest, without)
    with pytest.raises(BundleError, match="is not this bundle's network"):
        open_bundle(tmp_path / "without.elb")


def test_a_bundle_without_a_network_has_nothing_to_compile(tmp_path: Path) -> None:
    """Said in one line."""
    whole = fake_manifest()
    scoring = type(whole.scoring)(whole.scoring.clip, whole.scoring.cap, whole.scoring.heads[2:])
    write_bundle(
        tmp_path / "m.elb", fake_manifest(inputs=(), outputs=(), input="", states=(), scoring=scoring), {}
    )
    with pytest.raises(BundleError, match="the bundle has no network"):
        run_through(tmp_path / "m.elb", "--check")
