"""The documents say what the program does, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|home|tmp|work|Users)/\w")
COMMANDS = sorted(entry.name for entry in entry_points(group="edge_lstm.commands"))


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get on the usual Git hosts."""
    headings = HEADING.findall(FENCE.sub("", _text(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_documented(name: str) -> None:
    """Every command has its section in the command reference."""
    assert f"\n## edge-lstm {name}\n" in _text(ROOT / "docs" / "cli-edge-lstm.md")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_explains_itself(name: str) -> None:
    """Every command has help that ends with an example, and every option has help."""
    (entry,) = entry_points(group="edge_lstm.commands", name=name)
    command: click.Command = entry.load()
    silent = [o.name for o in command.params if isinstance(o, click.Option) and not (o.help or o.hidden)]

    assert [] == silent
    assert command.help
    assert f"edge-lstm {name}" in (command.epilog or "")
    assert (command.epilog or "").lstrip("\b\n ").startswith("Example")


def test_generated_documents_are_current() -> None:
    """What docs/generate.py would write is what is checked in."""
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_page_links_lead_somewhere(page: Path) -> None:
    """Every relative link points to a file of the repository, and every anchor to a heading."""
    broken = []
    for target in (a or b for a, b in LINK.findall(FENCE.sub("", _text(page)))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)

    assert [] == broken


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_page_names_no_path_of_one_machine(page: Path) -> None:
    """No page speaks of a folder that exists on its author's machine only."""
    assert [] == MACHINE_PATH.findall(_text(page))


def test_pages_are_reachable() -> None:
    """Every page of docs is linked from its index."""
    linked = {a or b for a, b in LINK.findall(_text(ROOT / "docs" / "index.md"))}
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}

    assert set() == pages - linked - {"index.md"}


EVENT = re.compile(r"""event\(\s*f?"([a-z_]+(?:\.[a-z_{][a-z_.{}]*)?)\"""")


def test_every_event_of_the_log_is_explained() -> None:
    """Who looks a line of the daemon's log up finds it, with what to do."""
    found = {
        name
        for path in (ROOT / "edge_lstm").rglob("*.py")
        for name in EVENT.findall(_text(path))
        if "{" not in name and ">>>" not in name
    }
    page = _text(ROOT / "docs" / "troubleshooting.md")

    assert len(found) > 30
    assert set() == {name for name in found if f"`{name}`" not in page}


@pytest.mark.parametrize("command", re.findall(r"^make (\w+)", _text(ROOT / "README.md"), re.MULTILINE))
def test_readme_make_target_exists(command: str) -> None:
    """The targets that the README names are in the Makefile."""
    assert re.search(rf"^{command}:", _text(ROOT / "Makefile"), re.MULTILINE)
