"""The house keeps its shape: direction of imports, public names, and what a bare install needs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PACKAGES = ("edge_lstm", "firmware_tools", "trainer")
EXTRAS = ("amqtt", "keras", "polars", "rich", "tensorflow")
MODULES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "__main__.py"
)

IMPORT_ALL = """
import importlib, pkgutil, sys
import edge_lstm
for module in pkgutil.walk_packages(edge_lstm.__path__, "edge_lstm."):
    importlib.import_module(module.name)
"""


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _extras_after(script: str) -> list[str]:
    """Packages of the extras that a fresh interpreter has imported after a script."""
    asked = f"{script}\nprint(*sorted(set({EXTRAS!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.split()


def _imports(path: Path) -> set[str]:
    """Top-level packages that a module imports anywhere, functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def _public_names(path: Path) -> list[str] | None:
    """The module's ``__all__``, or None where it has none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def _bound(tree: ast.Module) -> set[str]:
    """Every name that a module binds."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
    return found


def test_import_contracts_are_kept() -> None:
    """Every contract in pyproject.toml holds, chains of imports included."""
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


def test_device_needs_no_extra_in_any_module() -> None:
    """Importing all of edge_lstm brings in no package of an extra, by whatever way."""
    assert [] == _extras_after(IMPORT_ALL)


def test_commands_need_no_extra_to_be_listed() -> None:
    """Modules behind entry points import without the extras: help works on every board."""
    modules = sorted({entry.module for entry in entry_points(group="edge_lstm.commands")})

    assert [] == _extras_after("import importlib, sys\n" + "\n".join(f"import {name}" for name in modules))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_is_public(path: Path) -> None:
    """Each module has an ``__all__`` of names that it holds; an empty package needs none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = _public_names(path)
    is_empty = all(isinstance(node, ast.Expr | ast.ImportFrom) for node in tree.body)

    assert is_empty or names is not None
    assert set() == set(names or ()) - _bound(tree)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_interpreter_is_imported_by_backends_only(path: Path) -> None:
    """On the device only edge_lstm.backends knows an interpreter, even by ``import_module``."""
    relative = path.relative_to(ROOT)
    if relative.parts[0] != "edge_lstm" or relative.parts[1] == "backends":
        return
    strings = {
        node.value.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert set() == {"ai_edge_litert", "tflite_runtime"} & (_imports(path) | strings)


def test_wheel_ships_three_packages() -> None:
    """What is packed is what is there: three packages and no stray one."""
    packed = _project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    present = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))

    assert list(PACKAGES) == packed == present
    assert (ROOT / "edge_lstm" / "py.typed").exists()


def test_entry_points_are_click_commands_of_their_name() -> None:
    """Each verb's entry point loads, and its command calls itself by the verb."""
    declared = _project()["project"]["entry-points"]["edge_lstm.commands"]
    loaded = {entry.name: entry.load().name for entry in entry_points(group="edge_lstm.commands")}

    assert {verb: verb for verb in declared} == loaded


@pytest.mark.parametrize(
    ("system", "machine", "python", "expected"),
    [
        ("linux", "x86_64", "3.11", {"ai-edge-litert<2.4,>=1.2", "numpy<3,>=1.26"}),
        ("linux", "x86_64", "3.13", {"ai-edge-litert<2.4,>=1.2", "numpy<3,>=1.26"}),
        ("linux", "aarch64", "3.11", {"ai-edge-litert<2.4,>=1.2", "numpy<3,>=1.26"}),
        ("linux", "aarch64", "3.13", {"ai-edge-litert<2.4,>=1.2", "numpy<3,>=1.26"}),
        ("darwin", "arm64", "3.12", {"ai-edge-litert<2.4,>=2.1.6", "numpy<3,>=1.26"}),
        ("win32", "AMD64", "3.12", {"ai-edge-litert<2.4,>=2.1.6", "numpy<3,>=1.26"}),
        ("linux", "armv7l", "3.11", {"tflite-runtime==2.14.0", "numpy<2,>=1.24"}),
        ("linux", "armv7l", "3.13", {"numpy<3,>=1.26"}),
        ("linux", "riscv64", "3.12", {"numpy<3,>=1.26"}),
    ],
)
def test_interpreter_fits_the_board(system: str, machine: str, python: str, expected: set[str]) -> None:
    """Each board gets exactly the interpreter that has a wheel for it and was seen to run (ADR 0014)."""
    board = {"sys_platform": system, "platform_machine": machine, "python_version": python}
    wanted = [Requirement(text) for text in _project()["project"]["dependencies"]]
    chosen = {
        f"{wish.name}{wish.specifier}"
        for wish in wanted
        if wish.name in ("ai-edge-litert", "numpy", "tflite-runtime")
        and (wish.marker is None or wish.marker.evaluate(board))
    }

    assert expected == chosen
