"""Debian's packages: installing commands that are absent, and unpacking packages without installing them."""

import os
import re
import shutil
import threading
from pathlib import Path

from .process import ToolError, capture, run, which

# Commands that recipes need from the system, and the Debian packages that bring them.
COMMANDS = {
    "cc": ("gcc", "libc6-dev"),
}

_APT_TIMEOUT_S = 900
_DEPENDS = re.compile(r"^\s*\|?(?:Pre)?Depends: ([^\s<>]+)$")
_updated = threading.Lock()
_was_updated = False


def privilege() -> list[str] | None:
    """Returns what to put before a command to run it as root: nothing, `sudo -n`, or None if that is impossible."""
    if os.geteuid() == 0:
        return []
    if which("sudo") is None:
        return None
    try:
        capture(["sudo", "-n", "true"])
    except ToolError:
        return None
    return ["sudo", "-n"]


def install_packages(packages: list[str], log: Path) -> None:
    """Installs Debian packages; raises ToolError naming them when that is not possible here."""
    advice = f"as root: apt-get install {' '.join(packages)}"
    root = privilege()
    if which("apt-get") is None or root is None:
        raise ToolError("needs system packages and may not install them", advice=advice)
    update_lists(log, advice)
    run(
        [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", *packages],
        log=log,
        timeout=_APT_TIMEOUT_S,
        advice=advice,
    )


def update_lists(log: Path, advice: str = "") -> None:
    """Brings the package lists up to date, once in this process."""
    global _was_updated
    with _updated:
        if _was_updated:
            return
        root = privilege()
        if root is None:
            raise ToolError("may not update the package lists", advice=advice)
        run([*root, "apt-get", "update"], log=log, timeout=_APT_TIMEOUT_S, advice=advice)
        _was_updated = True


def missing_packages(commands: list[str]) -> list[str]:
    """Returns the Debian packages that would bring those of `commands` that are absent."""
    return [package for command in commands if which(command) is None for package in COMMANDS[command]]


def dependency_closure(packages: list[str]) -> list[str]:
    """Returns `packages` and all that they depend on, by the package lists as they are."""
    text = capture(
        ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]
        + ["--no-replaces", "--no-enhances", *packages]
    )
    return [line.strip() for line in text.splitlines() if line and line[0] not in " <|"]


def direct_dependencies(package: str) -> list[str]:
    """Returns the names of what `package` (the version that would be installed) depends on."""
    lines = capture(["apt-cache", "depends", "--important", package]).splitlines()
    return [match[1] for line in lines if (match := _DEPENDS.match(line))]


def is_installed(package: str) -> bool:
    """Whether dpkg has `package` installed."""
    try:
        return "install ok installed" in capture(["dpkg-query", "-W", "-f=${Status}", package])
    except ToolError:
        return False


def download_and_unpack(packages: list[str], folder: Path, log: Path) -> None:
    """Lays the files of `packages` out under `folder` without installing anything."""
    archives = folder / "archives"
    shutil.rmtree(archives, ignore_errors=True)
    archives.mkdir(parents=True)
    run(["apt-get", "download", *packages], cwd=archives, log=log, timeout=_APT_TIMEOUT_S)
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg-deb", "-x", archive, folder], log=log, timeout=_APT_TIMEOUT_S)
    shutil.rmtree(archives)
