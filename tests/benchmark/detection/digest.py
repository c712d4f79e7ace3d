"""What a result depends on, as one number: code, data and library versions.

Code counts by its syntax trees, so that comments and layout do not throw results away.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

__all__ = ["VERSIONS", "code_digest", "data_digest", "modules_behind"]

ROOT = Path(__file__).parents[3]
OURS = ("edge_lstm", "trainer", "tests")
VERSIONS = {
    "Python": ".".join(str(part) for part in sys.version_info[:3]),
    **{name: version(name) for name in ("tensorflow", "keras", "ai-edge-litert", "numpy")},
}


@cache
def code_digest(module: str) -> str:
    """Digest of a module, of all of ours that it imports, and of the versions it runs with."""
    text = repr((sorted(modules_behind(module).items()), sorted(VERSIONS.items())))
    return hashlib.sha256(text.encode()).hexdigest()


def modules_behind(module: str) -> dict[str, str]:
    """A module and all of ours that it imports, directly or not: name to syntax tree."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in found or path is None:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[name] = ast.dump(tree)
        waiting += [one for one in _imports(tree) if one.startswith(OURS)]
    return found


def _path(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    return next((one for one in (base.with_suffix(".py"), base / "__init__.py") if one.is_file()), None)


def _imports(tree: ast.Module) -> list[str]:
    """Names that are imported; ``from a import b`` may mean a module a.b."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


@cache
def data_digest(folder: Path) -> str:
    """Digest of all files of a folder, with their names."""
    digest = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
