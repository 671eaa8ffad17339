"""How a Go component is built: stock Go with `GOOS=wasip1` and wit-bindgen's bindings, as one module in `build/go`."""

import shutil
from pathlib import Path

from .catalogue import Catalogue
from .process import ToolError

_NOT_SOURCES = {"build", "wit", "testdata", "node_modules"}


def build(build) -> None:
    """Builds the component from the packages in the current folder.

    The developer writes one package `export_<namespace>_<package>_<interface>` for each exported interface; the
    bindings of the world are the module `wit_component` around them.
    """
    if build.sources:
        raise ToolError("Go takes the packages of the folder: name no sources")
    module = build.fresh_folder("go")
    core = module / "core.wasm"
    typed = module / "typed.wasm"
    build.run("wit-bindgen", "go", build.wit.path, "--world", build.world, "--out-dir", module)
    _copy_packages(module)
    package = Catalogue()["go-wit-package"].folder / "pkg"
    build.run("go", "mod", "edit", f"-replace=go.bytecodealliance.org/pkg={package}", cwd=module)
    build.run(
        *("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-checklinkname=0 -s -w", "-o", "core.wasm", "."),
        cwd=module,
        GOOS="wasip1",
        GOARCH="wasm",
    )
    build.run("wasm-tools", "component", "embed", build.wit.path, "--world", build.world, core, "-o", typed)
    build.componentize(typed)


def _copy_packages(module: Path) -> None:
    """Copies the folder's Go files into the module; fails where they would hide a binding."""
    found = False
    for source in sorted(Path(".").rglob("*.go")):
        top = source.parts[0]
        if top in _NOT_SOURCES or top.startswith("."):
            continue
        destination = module / source
        if destination.exists():
            raise ToolError(f"{source} has the name of a generated binding")
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, destination)
        found = True
    if not found:
        raise ToolError("no Go source here (export_<namespace>_<package>_<interface>/*.go)")
