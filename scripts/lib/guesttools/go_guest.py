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
    package = _support_package(module)
    build.run("go", "mod", "edit", f"-replace=go.bytecodealliance.org/pkg=./{package}", cwd=module)
    build.run(
        *("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-checklinkname=0 -s -w", "-o", "core.wasm", "."),
        cwd=module,
        GOOS="wasip1",
        GOARCH="wasm",
    )
    build.run("wasm-tools", "component", "embed", build.wit.path, "--world", build.world, core, "-o", typed)
    build.componentize(typed)


# While the host lowers a list into the guest, the guest must not call the host. A collection that starts in that moment would: it asks
# for the wall clock, which the adapter's pause of the monotonic clock does not cover. A pinned goroutine starts none.
_ALLOCATION = "pointer := Allocate(&pinner, newSize, align)"
_PINNED = f"procPin()\n\t\t{_ALLOCATION}\n\t\tprocUnpin()"
_DECLARED = "//go:linkname sbrk runtime.sbrk"
_PIN_DECLARED = (
    "//go:linkname procPin runtime.procPin\nfunc procPin() int\n\n"
    "//go:linkname procUnpin runtime.procUnpin\nfunc procUnpin()\n\n"
)


def _support_package(module: Path) -> str:
    """Lays the bindings' support package into the module, with the collector held off where it may not run."""
    name = "wit_support"
    shutil.copytree(Catalogue()["go-wit-package"].folder / "pkg", module / name)
    runtime = module / name / "wit" / "runtime" / "runtime.go"
    text = runtime.read_text()
    for line in (_ALLOCATION, _DECLARED):
        if text.count(line) != 1:
            raise ToolError(f"{runtime} is not the version this build knows: `{line}` is not in it once")
    text = text.replace(_ALLOCATION, _PINNED).replace(_DECLARED, _PIN_DECLARED + _DECLARED)
    runtime.chmod(0o644)
    runtime.write_text(text)
    return name


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
