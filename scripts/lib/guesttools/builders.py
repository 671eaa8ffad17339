"""`scripts/guest LANGUAGE`: builds the component in the current folder, one recipe a language.

Each recipe is a few commands of that language's own tools, printed as they run, so that they can be read and copied.
Rust has none: there it is `cargo build --release --target wasm32-wasip2` and nothing else.
Bindings and whatever lies between go to `build/`; the sources stay alone.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from . import go_guest, python_guest
from .catalogue import ALIASES, TITLES, Catalogue, language_named
from .environment import guest_environment, missing_tools
from .pins import SCRIPTS
from .process import ToolError
from .wit import Wit

_WASM_TARGET = ["-target", "wasm32-wasi", "-mexec-model=reactor"]
# A stack as large as Rust gives its guests. Zig's default of 16 MiB would count against every instance's memory.
_STACK_BYTES = 1 << 20
_C_STACK = f"-Wl,-z,stack-size={_STACK_BYTES}"

_PATTERNS = {
    "c": ("*.c",),
    "cpp": ("*.cpp", "*.cc", "*.cxx"),
    "zig": ("*.zig",),
    "javascript": ("*.js", "*.mjs"),
    "typescript": ("*.ts",),
    "python": ("*.py",),
}


class Build:
    """One component being built: where its parts are, and how its commands are run."""

    def __init__(self, wit: Wit, sources: list[Path], output: Path, environment: dict[str, str]):
        self.wit = wit
        self.world = wit.world
        self.sources = sources
        self.output = output
        self.environment = environment
        self.folder = Path("build")
        # What wit-bindgen names C and C++ files after.
        self.stem = wit.world.replace("-", "_")

    def run(self, *command, cwd: Path | None = None, **variables: str) -> None:
        """Prints and runs one command; raises ToolError when it fails."""
        words = [str(part) for part in command]
        shown = " ".join([*(f"{name}={shlex.quote(value)}" for name, value in variables.items()), shlex.join(words)])
        print(f"+ {shown}" if cwd is None else f"+ (cd {cwd} && {shown})", flush=True)
        environment = {**self.environment, **variables}
        if subprocess.run(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL).returncode != 0:
            raise ToolError(f"{words[0]} failed")

    def fresh_folder(self, name: str) -> Path:
        """Returns the empty folder `build/<name>`."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def componentize(self, core: Path) -> None:
        """Makes the component of a core module that carries its type; WASI preview 1, if used, goes to preview 2."""
        new = self.output.with_name(self.output.name + ".new")
        adapter = f"wasi_snapshot_preview1={self.environment['WASI_ADAPTER']}"
        self.run("wasm-tools", "component", "new", core, "--adapt", adapter, "-o", new)
        self.finish(new)

    def finish(self, new: Path) -> None:
        """Checks the component and puts it in its place, so that a failed build leaves the old one alone."""
        self.run("wasm-tools", "validate", new)
        new.replace(self.output)


def _build_c(build: Build) -> None:
    bindings = build.fresh_folder("bindings")
    core = bindings / "core.wasm"
    build.run("wit-bindgen", "c", build.wit.path, "--world", build.world, "--out-dir", bindings)
    build.run(
        *("zig", "cc", *_WASM_TARGET, _C_STACK, "-std=c23", "-Os", "-g0", "-Wall", "-Wextra", "-I", bindings),
        *(*build.sources, bindings / f"{build.stem}.c", bindings / f"{build.stem}_component_type.o", "-o", core),
    )
    build.componentize(core)


def _build_cpp(build: Build) -> None:
    bindings = build.fresh_folder("bindings")
    core = bindings / "core.wasm"
    build.run("wit-bindgen", "cpp", build.wit.path, "--world", build.world, "--out-dir", bindings)
    build.run(
        *("zig", "c++", *_WASM_TARGET, _C_STACK, "-std=c++23", "-fno-exceptions", "-fno-rtti", "-Os", "-g0", "-Wall"),
        *("-I", bindings),
        *(*build.sources, bindings / f"{build.stem}.cpp", bindings / f"{build.stem}_component_type.o", "-o", core),
    )
    build.componentize(core)


def _build_zig(build: Build) -> None:
    """Zig over wit-bindgen's C: the header is translated to a Zig module that the sources import as `bindings`."""
    if len(build.sources) != 1:
        raise ToolError("Zig takes one root source, which imports the others", advice="name it")
    bindings = build.fresh_folder("bindings")
    core = bindings / "core.wasm"
    module = bindings / "bindings.zig"
    build.run("wit-bindgen", "c", build.wit.path, "--world", build.world, "--out-dir", bindings)
    translate = ["zig", "translate-c", "-target", "wasm32-wasi", "-lc", bindings / f"{build.stem}.h"]
    print(f"+ {shlex.join(map(str, translate))} > {module}", flush=True)
    with module.open("w") as out:
        if subprocess.run(translate, env=build.environment, stdin=subprocess.DEVNULL, stdout=out).returncode != 0:
            raise ToolError("zig translate-c failed")
    build.run(
        *("zig", "build-exe", *_WASM_TARGET, "-rdynamic", "-O", "ReleaseSmall", "-fstrip", "-lc", f"-femit-bin={core}"),
        *("--stack", str(_STACK_BYTES), "--cache-dir", build.folder / "zig-cache"),
        *(bindings / f"{build.stem}.c", bindings / f"{build.stem}_component_type.o"),
        *("--dep", "bindings", f"-Mroot={build.sources[0]}", *_WASM_TARGET[:2], "-lc", f"-Mbindings={module}"),
    )
    build.componentize(core)


def _build_javascript(build: Build) -> None:
    if len(build.sources) != 1:
        raise ToolError("JavaScript takes one source, which imports the others", advice="name it")
    bundle = build.folder / f"{build.world}.js"
    new = build.output.with_name(build.output.name + ".new")
    # Interfaces of the world are imported as `ns:pkg/iface@version`: they are not files.
    external = [f"--external:{namespace}:*" for namespace in build.wit.import_namespaces()]
    build.run(
        *("esbuild", build.sources[0], "--bundle", "--format=esm", "--platform=neutral", "--log-level=warning"),
        *(*external, f"--outfile={bundle}"),
    )
    # --sync: a plain component, not the component model's async ABI. Not --stub-wasi: that would also put traps in the
    # place of wasi:logging and wasi:config.
    build.run(
        *("componentize-qjs", "--wit", build.wit.path, "--world", build.world, "--js", bundle, "--sync", "--opt-size"),
        *("--output", new),
    )
    build.finish(new)


def _build_typescript(build: Build) -> None:
    types = build.fresh_folder("types")
    build.run("node", SCRIPTS / "lib" / "guest-types.mjs", build.wit.path, build.world, types)
    if Path("tsconfig.json").is_file():
        build.run("tsc", "--project", ".", "--noEmit")
    else:
        declarations = sorted(types.rglob("*.d.ts"))
        build.run(
            *("tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "esnext"),
            *("--moduleResolution", "bundler", "--lib", "es2022", *build.sources, *declarations),
        )
    _build_javascript(build)


_RECIPES = {
    "c": _build_c,
    "cpp": _build_cpp,
    "zig": _build_zig,
    "javascript": _build_javascript,
    "typescript": _build_typescript,
    "python": python_guest.build,
    "go": go_guest.build,
}


def _find_sources(language: str) -> list[Path]:
    """The sources in the current folder (or in its `src/`), where none are named."""
    if language == "go":
        return []
    for folder in (Path("."), Path("src")):
        found = sorted(path for pattern in _PATTERNS[language] for path in folder.glob(pattern))
        found = [path for path in found if not path.name.endswith(".d.ts")]
        if found:
            return found
    raise ToolError(f"no {TITLES[language]} source here ({', '.join(_PATTERNS[language])})", advice="name the sources")


def main(arguments: list[str]) -> int:
    """Runs `guest` and returns its exit code: 0, 1 when the build fails, 2 for usage."""
    parser = argparse.ArgumentParser(prog="guest", description="Builds the component in the current folder.")
    known = [name for name in TITLES if name in _RECIPES]
    parser.add_argument("language", help=f"{', '.join(known)} (and {', '.join(ALIASES)})")
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE", help="default: those in the folder, or in src/")
    parser.add_argument("--wit", type=Path, default=Path("wit"), help="folder of the WIT (default: wit)")
    parser.add_argument("--world", help="default: the only world, or the one named like the folder")
    parser.add_argument("-o", "--output", type=Path, help="default: build/<folder>.wasm")
    options = parser.parse_intermixed_args(arguments)
    language = language_named(options.language)
    if language == "rust":
        parser.error("Rust components are built by: cargo build --release --target wasm32-wasip2")
    if language is None:
        parser.error(f"unknown language {options.language}; known are {', '.join(known)}")
    try:
        _build(language, options)
    except ToolError as error:
        print(f"guest: {error}" + (f"; {error.advice}" if error.advice else ""), file=sys.stderr)
        return 1
    return 0


def _build(language: str, options: argparse.Namespace) -> None:
    catalogue = Catalogue()
    missing = missing_tools(language, catalogue)
    if missing:
        raise ToolError(f"no tools for {TITLES[language]} ({', '.join(missing)})", advice=f"run `just setup {language}`")
    environment = {**os.environ, **guest_environment(catalogue)}
    name = Path.cwd().name
    output = options.output or Path("build") / f"{name}.wasm"
    output.parent.mkdir(parents=True, exist_ok=True)
    Path("build").mkdir(exist_ok=True)
    sources = options.sources or _find_sources(language)
    for source in sources:
        if not source.is_file():
            raise ToolError(f"no source {source}")
    wit = Wit(options.wit, options.world, name, environment)
    _RECIPES[language](Build(wit, sources, output, environment))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
