"""Unpacks Debian packages of another architecture into a folder; needs no rights and installs nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.boards.machines import CPUINFO, ROOTS, System
from tests.boards.paths import CACHE, run

__all__ = ["cpuinfo", "root_of"]

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MIRROR = "http://deb.debian.org/debian"
_MSGSPEC = "0.22.0"


def root_of(name: str) -> Path:
    """The root of a system, made on first use."""
    system, folder = ROOTS[name], CACHE / "roots" / name
    if (folder / ".complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for archive in _download(name, system):
        run(["dpkg", "-x", archive, folder])
    if not (folder / "lib").exists():  # base-files makes these links in a real system
        (folder / "lib").symlink_to("usr/lib")
    for folder_of, library in (("blas", "libblas.so.3"), ("lapack", "liblapack.so.3")):  # update-alternatives
        for found in folder.glob(f"usr/lib/*/{folder_of}/{library}"):
            (found.parents[1] / library).symlink_to(f"{folder_of}/{library}")
    if system.architecture == "armhf":
        _cross_compile_msgspec(folder, system)
    (folder / ".complete").touch()
    return folder


def _download(name: str, system: System) -> list[Path]:
    """Archives of the packages and of all that they need, by an apt of our own."""
    apt = CACHE / "apt" / name
    for part in ("lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_MIRROR} {system.release} main\n")
    settings = {
        "APT::Architecture": system.architecture,
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "Dir::Etc": apt / "etc",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Install-Recommends": "false",
        "Debug::NoLocking": "true",
        "Acquire::Languages": "none",
    }
    lines = [f'{key} "{value}";' for key, value in settings.items()]
    lines.append(f'APT::Architectures {{ "{system.architecture}"; }};')
    (apt / "apt.conf").write_text("\n".join(lines) + "\n")
    environ = {"APT_CONFIG": str(apt / "apt.conf")}
    run(["apt-get", "update", "-qq"], environ=environ)
    run(["apt-get", "install", "-y", "-qq", "--download-only", *system.packages], environ=environ)
    shutil.rmtree(apt / "lists")
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def _cross_compile_msgspec(root: Path, system: System) -> None:
    """Put msgspec among the system's packages: one C file, compiled as piwheels.org would have done."""
    work = CACHE / "sdist"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    source = work / f"msgspec-{_MSGSPEC}"
    if not source.exists():
        run([*pip, "--dest", work, f"msgspec=={_MSGSPEC}"])
        run(["tar", "-C", work, "-xf", work / f"msgspec-{_MSGSPEC}.tar.gz"])
    place = root / "usr/lib/python3/dist-packages"
    shutil.copytree(source / "src/msgspec", place / "msgspec")
    facts = place / f"msgspec-{_MSGSPEC}.dist-info"
    facts.mkdir()
    shutil.copy(source / "PKG-INFO", facts / "METADATA")
    tag = f"cpython-{system.python.replace('.', '')}-arm-linux-gnueabihf"
    headers = [
        f"-I{root}/usr/include/{part}" for part in (f"python{system.python}", "", "arm-linux-gnueabihf")
    ]
    options = ["-shared", "-fPIC", "-O2", "-g0", "-DNDEBUG", *headers]
    target = place / "msgspec" / f"_core.{tag}.so"
    run(["arm-linux-gnueabihf-gcc", *options, source / "src/msgspec/_core.c", "-o", target, "-lm"])


def cpuinfo(root: Path, cpu: str) -> None:
    """Give the root the /proc/cpuinfo of a processor, in place of the host's."""
    part, features = CPUINFO[cpu]
    lines = [
        f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n"
        for core in range(4)
    ]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text("\n".join(lines), encoding="utf-8")
