"""The wasm targets of Rust: through rustup, else from Debian's compiler with a std built for them.

Either way a guest is then built by `cargo build --release --target wasm32-wasip2`; in the second case under the
RUSTC and PATH that `environment.py` sets.
"""

import os
import platform
import shutil
from pathlib import Path

from . import apt
from .catalogue import Catalogue, Place
from .environment import debian_rust_forced, rust_has_targets
from .pins import REPO
from .process import ToolError, capture, run, which

# rustup retries for minutes on a network that swallows packets; the targets themselves come in seconds.
RUSTUP_TIMEOUT_S = 180
_SEED_TIMEOUT_S = 1800

_ADVICE = "rustup target add wasm32-wasip2 wasm32-unknown-unknown"

_SEED_MANIFEST = """[package]
name = "seed"
version = "0.1.0"
edition = "2024"

[workspace]
"""


def install_rust(catalogue: Catalogue, place: Place) -> str:
    """Makes the wasm targets usable and returns how.

    Raises ToolError when neither rustup nor Debian's packages can do it.
    """
    targets = catalogue.pins["RUST_GUEST_TARGETS"].split()
    if which("cargo") is None or which("rustc") is None:
        raise ToolError("no cargo and rustc", advice="install Rust 1.95 (rustup)")
    if not debian_rust_forced():
        if rust_has_targets(targets):
            return "targets already there"
        try:
            _add_with_rustup(targets, place.log)
            return "targets added by rustup"
        except ToolError as error:
            with place.log.open("a") as log:
                log.write(f"rustup cannot add the targets: {error}\n")
    try:
        _lay_out_debian(catalogue, place, targets)
    except ToolError as error:
        error.advice = error.advice or _ADVICE
        raise
    return "Debian's compiler with a std built for the targets"


def _add_with_rustup(targets: list[str], log: Path) -> None:
    if which("rustup") is None:
        raise ToolError("no rustup")
    run(["rustup", "target", "add", *targets], cwd=REPO, log=log, timeout=RUSTUP_TIMEOUT_S)
    if not rust_has_targets(targets):
        raise ToolError("rustup reported success but the targets are not there", log=log)


def _lay_out_debian(catalogue: Catalogue, place: Place, targets: list[str]) -> None:
    if which("apt-get") is None or which("dpkg-deb") is None:
        raise ToolError("rustup cannot add the targets, and this is no Debian")
    if platform.machine() != "x86_64":
        raise ToolError(f"rustup cannot add the targets, and the other way is not known on {platform.machine()}")
    linkers = _linkers()
    log = place.log
    if apt.privilege() is not None:
        apt.update_lists(log)
    pins = catalogue.pins
    wanted = [pins["DEBIAN_RUSTC"], pins["DEBIAN_RUST_SRC"], pins["DEBIAN_WASI_LIBC"]]
    apt.download_and_unpack(_packages(wanted), place.folder, log)
    rustc = _write_wrapper(place)
    _seed_std(place, rustc, linkers, targets)
    place.write_stamp(linkers=str(linkers), rustc=capture([rustc, "--version"]).strip())


def _linkers() -> Path:
    """The folder of rust-lld and wasm-component-ld in the ordinary toolchain."""
    sysroot = Path(capture(["rustc", "--print", "sysroot"], cwd=REPO).strip())
    folder = sysroot / "lib" / "rustlib" / "x86_64-unknown-linux-gnu" / "bin"
    for linker in ("rust-lld", "wasm-component-ld", "gcc-ld/wasm-ld"):
        if not (folder / linker).exists():
            raise ToolError(f"the Rust toolchain lacks {linker} in {folder}", advice="install Rust through rustup")
    return folder


def _packages(wanted: list[str]) -> list[str]:
    """`wanted` and those of its dependencies that are neither installed nor part of the system's C compiler."""
    system = set(apt.dependency_closure(["gcc", "libc6-dev", "binutils"]))
    closure = apt.dependency_closure(wanted)
    return [name for name in closure if name in wanted or (name not in system and not apt.is_installed(name))]


def _write_wrapper(place: Place) -> Path:
    """Writes `bin/rustc`, which runs the unpacked compiler with the libraries unpacked beside it."""
    libraries = ":".join(str(place.folder / path) for path in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    place.bin.mkdir(exist_ok=True)
    rustc = place.bin / "rustc"
    rustc.write_text(
        "#!/bin/sh\n"
        f"LD_LIBRARY_PATH='{libraries}'${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} "
        f"exec '{place.folder}/usr/bin/rustc' \"$@\"\n"
    )
    rustc.chmod(0o755)
    return rustc


def _seed_environment(rustc: Path, linkers: Path) -> dict[str, str]:
    """The variables for building std: nothing of the caller's that would change how cargo or rustc work."""
    kept = ("RUSTUP_HOME", "RUSTUP_AUTO_INSTALL", "CARGO_HOME")
    environment = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(("CARGO_", "RUST"))}
    environment["RUSTC"] = str(rustc)
    # -Zbuild-std is how a std is built for a target; bitcode is kept so that guests can ask for LTO.
    environment["RUSTC_BOOTSTRAP"] = "1"
    environment["RUSTFLAGS"] = "-Cembed-bitcode=yes"
    environment["PATH"] = os.pathsep.join([str(linkers), str(linkers / "gcc-ld"), os.environ["PATH"]])
    if which("rustup") is not None:
        # The seed is not in the checkout, but its cargo is the checkout's.
        environment["RUSTUP_TOOLCHAIN"] = capture(["rustup", "show", "active-toolchain"], cwd=REPO).split()[0]
    return environment


def _seed_std(place: Place, rustc: Path, linkers: Path, targets: list[str]) -> None:
    """Builds std for `targets` from Debian's source and lays it into the compiler's own folder of libraries."""
    seed = place.folder / "seed"
    (seed / "src").mkdir(parents=True, exist_ok=True)
    (seed / "src" / "lib.rs").write_text("")
    (seed / "Cargo.toml").write_text(_SEED_MANIFEST)
    environment = _seed_environment(rustc, linkers)
    libraries = place.folder / "usr" / "lib" / "rustlib"
    # In one build, so that what one target leaves of the processors the other uses.
    run(
        ["cargo", "build", "--release", *(f"--target={target}" for target in targets), "-Zbuild-std=std,panic_abort"],
        cwd=seed,
        env=environment,
        log=place.log,
        timeout=_SEED_TIMEOUT_S,
    )
    for target in targets:
        destination = libraries / target / "lib"
        destination.mkdir(parents=True, exist_ok=True)
        for library in (seed / "target" / target / "release" / "deps").glob("*.rlib"):
            if not library.name.startswith("libseed-"):
                shutil.copy2(library, destination)
    # crt1-reactor.o and libc.a, where the wasip2 target looks for them.
    contained = libraries / "wasm32-wasip2" / "lib" / "self-contained"
    contained.unlink(missing_ok=True)
    contained.symlink_to("../../../wasm32-wasi")
    for name in ("crt1-reactor.o", "libc.a"):
        if not (contained / name).is_file():
            raise ToolError(f"Debian's wasi-libc holds no {name}", log=place.log)
    shutil.rmtree(seed)
    # Half a gigabyte that only this build of std needed.
    shutil.rmtree(place.folder / "usr" / "src", ignore_errors=True)
