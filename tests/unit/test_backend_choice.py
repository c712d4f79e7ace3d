"""Which backend runs a network, where one is chosen, where none is, and where an interpreter is absent."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from edge_lstm.backends import BACKENDS, load_backend, select_backend, step_us
from edge_lstm.bundle import MODEL, Bundle, open_bundle
from edge_lstm.contracts.config import BackendChoice
from edge_lstm.testing import fake_manifest

pytestmark = [pytest.mark.train]

HERE = ("litert", "reference")
"""What runs on every machine that runs these tests."""

_EVERY_MODULE = """
import importlib, pkgutil, sys
import edge_lstm
for module in pkgutil.walk_packages(edge_lstm.__path__, "edge_lstm."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not {"ai_edge_litert", "tflite_runtime"} & set(sys.modules)
print(len(sys.modules))
"""


@pytest.fixture(scope="module")
def without_interpreter(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no interpreter can be imported, as on a board that has none."""
    folder = tmp_path_factory.mktemp("blocked")
    for name in ("ai_edge_litert", "tflite_runtime"):
        (folder / f"{name}.py").write_text('raise ImportError("no wheel for this board")\n', "utf-8")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}


def edge_lstm(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The program, as a user runs it."""
    command = [sys.executable, "-m", "edge_lstm", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env)


def test_every_choice_has_a_backend() -> None:
    """The configuration's words are the table's."""
    assert ("auto", *BACKENDS) == get_args(BackendChoice)


def test_auto_is_litert_where_it_runs(tiny_bundle: Path) -> None:
    """Without a word about it."""
    selected = select_backend(open_bundle(tiny_bundle))

    assert ("litert", "the fastest that runs here", False) == (
        selected.backend.name,
        selected.reason,
        selected.fallback,
    )


def test_a_backend_that_is_named_is_taken(tiny_bundle: Path) -> None:
    """The reference kernel on a board that has LiteRT too; a step of it takes some time."""
    bundle = open_bundle(tiny_bundle)
    selected = select_backend(bundle, "reference")

    assert ("reference", "as chosen") == (selected.backend.name, selected.reason)
    assert step_us(bundle, selected.backend, steps=5) > 0


def test_without_a_network_there_is_nothing_to_choose() -> None:
    """Whatever is asked for."""
    fake = fake_manifest()
    scoring = type(fake.scoring)(fake.scoring.clip, fake.scoring.cap, fake.scoring.heads[2:])
    manifest = fake_manifest(inputs=(), outputs=(), input="", states=(), scoring=scoring)
    bundle = Bundle(Path("memory"), "", manifest, {})

    for choice in get_args(BackendChoice):
        assert ("numpy", "the bundle has no network") == (
            load_backend(bundle, choice).name,
            select_backend(bundle, choice).reason,
        )


def test_a_model_that_the_interpreter_refuses_runs_on_the_reference_kernel(tiny_bundle: Path) -> None:
    """An operator version from the future, as an old runtime sees a newer converter's."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    whole = open_bundle(tiny_bundle)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(whole.read(MODEL), 0))
    for code in model.operatorCodes:
        code.version = 99
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    members = {**whole.members, MODEL: bytes(builder.Output())}
    selected = select_backend(Bundle(whole.path, whole.sha256, whole.manifest, members))

    assert ("reference", True) == (selected.backend.name, selected.fallback)
    assert "litert refuses the model" in selected.reason


def test_everything_imports_without_an_interpreter(without_interpreter: dict[str, str]) -> None:
    """Every module of the device; none asks for an interpreter before it is needed."""
    done = subprocess.run(
        [sys.executable, "-c", _EVERY_MODULE],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=without_interpreter,
    )
    assert 0 == done.returncode, done.stderr


def test_auto_falls_back_loudly(tiny_bundle: Path, without_interpreter: dict[str, str]) -> None:
    """The result names the kernel, standard error says why."""
    done = edge_lstm("selftest", tiny_bundle, env=without_interpreter)

    assert 0 == done.returncode
    assert "256 steps on reference" in done.stdout
    assert "note: no TFLite interpreter on this board (litert: no wheel for this board" in done.stderr
    assert done.stderr.rstrip().endswith("using the reference kernel")


def test_a_named_backend_that_is_absent_is_an_error(
    tiny_bundle: Path, without_interpreter: dict[str, str]
) -> None:
    """With what to do; nothing is chosen behind the operator's back."""
    done = edge_lstm("selftest", tiny_bundle, "--backend", "litert", env=without_interpreter)

    assert (1, "") == (done.returncode, done.stdout)
    assert "no TFLite interpreter on this board" in done.stderr
    assert "choose the backend reference" in done.stderr


def test_all_backends_say_how_they_do(tiny_bundle: Path, without_interpreter: dict[str, str]) -> None:
    """A line each; one that is not there is named with the reason and does not count."""
    both = edge_lstm("selftest", tiny_bundle, "--backend", "all")
    one = edge_lstm("selftest", tiny_bundle, "--backend", "all", env=without_interpreter)
    facts = json.loads(edge_lstm("selftest", tiny_bundle, "--backend", "all", "--json").stdout)

    assert 0 == both.returncode == one.returncode
    litert, reference, *others = both.stdout.splitlines()
    assert litert.startswith("pass: 256 steps on litert, greatest difference 0")
    assert reference.startswith("pass: 256 steps on reference, ")
    assert len(BACKENDS) - 2 == len(others)
    absent, present, *_ = one.stdout.splitlines()
    assert absent.startswith("n/a:  litert: no TFLite interpreter on this board")
    assert reference == present
    assert list(BACKENDS) == [fact["backend"] for fact in facts]
    assert [(True, True)] * 2 == [(fact["available"], fact["passed"]) for fact in facts[:2]]


def test_replay_and_evaluate_run_on_a_named_backend(
    tiny_bundle: Path, tiny_history: Path, tmp_path: Path
) -> None:
    """The option stands over the environment and over `auto`; the verdicts are the same."""
    found = {}
    for name in HERE:
        out = tmp_path / f"{name}.csv"
        options = ("--bundle", tiny_bundle, "--scores", out, "--backend", name)
        done = edge_lstm("replay", tiny_history, *options)
        assert 0 == done.returncode, done.stderr
        with out.open(encoding="utf-8") as file:
            found[name] = [row["state"] for row in csv.DictReader(file)]
    assert found["litert"] == found["reference"]
    assert len(found["litert"]) == 1500

    evaluated = edge_lstm("evaluate", tiny_bundle, tiny_history, "--backend", "reference", "--json")
    assert 0 == evaluated.returncode, evaluated.stderr
