"""The pinned versions and the folders that everything here works with."""

import os
import re
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]
REPO = SCRIPTS.parent
VERSIONS_FILE = SCRIPTS / "versions.env"

# A language that cannot be built is an error where one of these is set to a true value.
REQUIRE_ALL_VARIABLES = ("CI", "RUNTIME_REQUIRE_ALL_LANGUAGES")

_LINE = re.compile(r'^([A-Z][A-Z0-9_]*)=(?:"([^"]*)"|([^\s"]*))$')


class PinsError(Exception):
    """`versions.env` has a line that is not a pin."""


def read_pins(path: Path = VERSIONS_FILE) -> dict[str, str]:
    """Reads the pins by name.

    Raises PinsError on any line that is neither blank, comment nor `NAME=value`.
    """
    pins: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise PinsError(f"{path}:{number}: not a NAME=value line: {line}")
        pins[match[1]] = match[2] if match[2] is not None else match[3]
    return pins


def cache_root() -> Path:
    """Returns the folder outside git where the tools are installed.

    `RUNTIME_TOOLCHAINS`, else `runtime-toolchains` under `XDG_CACHE_HOME`, else under `~/.cache`.
    """
    explicit = os.environ.get("RUNTIME_TOOLCHAINS")
    if explicit:
        return Path(explicit).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser().absolute() / "runtime-toolchains"


def all_languages_required() -> bool:
    """Whether a missing language is an error: in CI, or when asked for."""
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes") for name in REQUIRE_ALL_VARIABLES)
