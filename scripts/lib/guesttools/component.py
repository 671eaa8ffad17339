"""A component's folder as the build sees it: its `component.toml`, its sources, and whether its output is up to date."""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .catalogue import language_named
from .pins import REPO, SCRIPTS, VERSIONS_FILE
from .process import ToolError

MANIFEST = "component.toml"
COMPONENTS = REPO / "components"

# Folders that hold what a build makes, or an editor leaves behind.
_NOT_INPUTS = {"build", "target", "node_modules", "__pycache__", ".git", ".zig-cache"}

# Under scripts/lib: the code that decides how a component comes out.
_RECIPES = (
    "guest-types.mjs",
    "guesttools/builders.py",
    "guesttools/environment.py",
    "guesttools/go_guest.py",
    "guesttools/python_guest.py",
    "guesttools/wit.py",
)


@dataclass(frozen=True)
class Component:
    """One folder with a `component.toml` that says how it is built."""

    id: str
    folder: Path
    language: str
    command: str
    output: Path

    @property
    def is_cargo(self) -> bool:
        """Whether cargo builds it; all such components of one workspace share a target folder and its lock."""
        return self.language == "rust"


def load(folder: Path) -> Component:
    """Reads a component's folder; raises ToolError naming the file and the key that is wrong."""
    manifest = folder / MANIFEST
    try:
        document = tomllib.loads(manifest.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ToolError(f"{manifest}: {error}") from error
    build = document.get("build")
    if not isinstance(build, dict):
        raise ToolError(f"{manifest}: no [build] table, so nothing says how it is built")
    for key in ("command", "output"):
        if not isinstance(build.get(key), str) or not build[key]:
            raise ToolError(f"{manifest}: [build] {key} is missing or no text")
    identity = document.get("id", f"local:{folder.name}")
    return Component(
        id=identity if isinstance(identity, str) else f"local:{folder.name}",
        folder=folder,
        language=_language(document, build["command"]),
        command=build["command"],
        output=(folder / build["output"]).resolve(),
    )


def _language(document: dict, command: str) -> str:
    """The language: `[metadata] language`, else what the build command shows, else empty."""
    metadata = document.get("metadata")
    named = metadata.get("language") if isinstance(metadata, dict) else None
    if isinstance(named, str) and language_named(named):
        return language_named(named) or ""
    words = command.split()
    for program, argument in zip(words, words[1:]):
        if Path(program).name == "guest":
            return language_named(argument) or ""
    return "rust" if words and words[0] == "cargo" else ""


def discover(folder: Path = COMPONENTS) -> list[Path]:
    """Returns the component folders directly under `folder`, by name."""
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))


def input_digest(component: Component, shared: str) -> str:
    """Returns the digest of all that the component is built from; `shared` stands for what all have in common."""
    digest = hashlib.sha256(shared.encode())
    digest.update(f"{component.command}\0{component.output}\0".encode())
    _add_tree(digest, component.folder)
    parent = component.folder.parent
    for name in ("Cargo.toml", "Cargo.lock", ".cargo/config.toml") if component.is_cargo else ():
        _add_file(digest, parent / name)
    _add_tree(digest, parent / "wit")
    return digest.hexdigest()


def shared_digest() -> str:
    """Returns the digest of what every component is built with: the recipes, the versions, the host's WIT."""
    digest = hashlib.sha256()
    _add_file(digest, VERSIONS_FILE)
    for name in _RECIPES:
        _add_file(digest, SCRIPTS / "lib" / name)
    _add_tree(digest, REPO / "wit")
    return digest.hexdigest()


def _add_tree(digest, folder: Path) -> None:
    """Adds the names and contents of all files under `folder`, symbolic links to folders followed."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name in _NOT_INPUTS or path.suffix == ".wasm":
            continue
        if path.is_dir():
            digest.update(f"{path.name}/\0".encode())
            _add_tree(digest, path)
        else:
            _add_file(digest, path)


def _add_file(digest, path: Path) -> None:
    if path.is_file():
        data = path.read_bytes()
        digest.update(f"{path.name}\0{len(data)}\0".encode())
        digest.update(data)


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BuildRecord:
    """What the last successful build of a component was made from and made, kept beside the components."""

    def __init__(self, component: Component):
        state = component.folder.parent / ".build"
        # Components outside the checkout may lie anywhere: their state stays in their own build folder.
        if component.folder.parent != COMPONENTS:
            state = component.folder / "build"
        self._file = state / f"{component.folder.name}.json"
        self.log = state / f"{component.folder.name}.log"
        try:
            self._record = json.loads(self._file.read_text())
        except (OSError, ValueError):
            self._record = {}

    @property
    def seconds(self) -> float:
        """How long the last build took; 0 if there was none."""
        return float(self._record.get("seconds", 0.0))

    def is_current(self, inputs: str, output: Path) -> bool:
        """Whether the output is there, unchanged, and made from these inputs."""
        return (
            self._record.get("inputs") == inputs
            and output.is_file()
            and self._record.get("output") == file_digest(output)
        )

    def forget(self) -> None:
        """Makes the next build happen whatever the inputs are: said before a build begins. The time is kept."""
        if self._record:
            self._record["inputs"] = ""
            self._store()

    def write(self, inputs: str, output: Path, seconds: float) -> None:
        """Keeps what was built."""
        self._record = {"inputs": inputs, "output": file_digest(output), "seconds": round(seconds, 3)}
        self._store()

    def _store(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".json.new")
        temporary.write_text(json.dumps(self._record) + "\n")
        temporary.replace(self._file)
