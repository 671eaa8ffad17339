"""The environment in which guests are built: the PATH with all tools, and the variables that they read."""

import os
import shlex
import shutil
from pathlib import Path

from .catalogue import NEEDS, Catalogue
from .pins import REPO
from .process import ToolError, capture

# Never set for the project's own (host) crates: RUSTC may be another compiler than theirs.
_GO = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOWORK": "off"}


def rust_target_folder(target: str) -> Path | None:
    """Returns the folder of the std for `target` in the ordinary Rust toolchain, or None if it is not there."""
    try:
        folder = Path(capture(["rustc", "--print", "target-libdir", "--target", target], cwd=REPO).strip())
    except ToolError:
        return None
    return folder if any(folder.glob("libstd-*.rlib")) else None


def rust_has_targets(targets: list[str]) -> bool:
    """Whether the ordinary Rust toolchain can build for all `targets`."""
    return all(rust_target_folder(target) is not None for target in targets)


def debian_rust_forced() -> bool:
    """Whether RUNTIME_RUST_GUESTS=debian asks for Debian's compiler even where rustup has the targets."""
    return os.environ.get("RUNTIME_RUST_GUESTS", "") == "debian"


def missing_tools(language: str, catalogue: Catalogue) -> list[str]:
    """Returns the names of the tools that `language` needs and that are not installed."""
    return [name for name in NEEDS[language] if not is_there(catalogue, name)]


def is_there(catalogue: Catalogue, name: str) -> bool:
    """Whether a tool can be used: installed by `setup`, or, for some, found on the system."""
    if name == "rust":
        return rust_is_ready(catalogue)
    if name == "node":
        return catalogue[name].ready or system_node_is_usable(catalogue.pins)
    return catalogue[name].ready


def system_node_is_usable(pins: dict[str, str]) -> bool:
    """Whether the system has npm and a Node.js that is new enough."""
    if shutil.which("npm") is None:
        return False
    try:
        major = capture(["node", "--version"]).strip().removeprefix("v").partition(".")[0]
    except ToolError:
        return False
    return major.isdigit() and int(major) >= int(pins["NODE_MAJOR_MIN"])


def rust_is_ready(catalogue: Catalogue) -> bool:
    """Whether Rust guests can be built, by the ordinary toolchain or by Debian's compiler."""
    if debian_rust_is_ready(catalogue):
        return True
    return not debian_rust_forced() and rust_has_targets(catalogue.pins["RUST_GUEST_TARGETS"].split())


def debian_rust_is_ready(catalogue: Catalogue) -> bool:
    """Whether Debian's compiler is laid out, and the ordinary toolchain whose linkers it uses still there."""
    place = catalogue["rust"]
    return place.ready and Path(place.note("linkers"), "wasm-component-ld").is_file()


def guest_environment(catalogue: Catalogue) -> dict[str, str]:
    """Returns the variables to set for building guests; tools that are not installed are left out."""
    variables: dict[str, str] = {}
    folders = [
        str(place.bin)
        for place in catalogue.places.values()
        if place.name not in ("rust", "cargo-deny") and place.ready and place.bin.is_dir()
    ]
    if catalogue["javascript-tools"].ready:
        folders.append(str(catalogue["javascript-tools"].folder / "node_modules" / ".bin"))
        variables["GUEST_JAVASCRIPT_TOOLS"] = str(catalogue["javascript-tools"].folder)
    targets = catalogue.pins["RUST_GUEST_TARGETS"].split()
    if debian_rust_is_ready(catalogue) and (debian_rust_forced() or not rust_has_targets(targets)):
        variables["RUSTC"] = str(catalogue["rust"].bin / "rustc")
        folders.append(catalogue["rust"].note("linkers"))
        folders.append(str(Path(catalogue["rust"].note("linkers")) / "gcc-ld"))
    if catalogue["wasi-adapter"].ready:
        variables["WASI_ADAPTER"] = str(catalogue["wasi-adapter"].folder / "wasi_snapshot_preview1.reactor.wasm")
    if catalogue["zig"].ready:
        # libc and libc++ are compiled once for all components of all checkouts.
        variables["ZIG_GLOBAL_CACHE_DIR"] = str(catalogue.root / f"zig-cache-{catalogue['zig'].version}")
    if catalogue["go"].ready:
        variables.update(_GO)
        variables["GOCACHE"] = str(catalogue.root / f"go-cache-{catalogue['go'].version}")
        variables["GOROOT"] = catalogue["go"].note("goroot")
        variables["GOPATH"] = str(catalogue.root / "gopath")
    variables["PATH"] = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    return variables


if __name__ == "__main__":
    for name, value in guest_environment(Catalogue()).items():
        print(f"export {name}={shlex.quote(value)}")
