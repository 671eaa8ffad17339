"""`just new-component`: lays out a small working component in any of the languages."""

import argparse
import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

from .catalogue import ALIASES, LANGUAGES, TITLES, language_named
from .component import COMPONENTS
from .environment import rust_has_targets
from .pins import REPO, SCRIPTS, read_pins
from .process import ToolError

TEMPLATES = SCRIPTS / "templates"

_WORD = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
_SEGMENT_MAX = 64
_PLACEHOLDER = re.compile(r"\{\{([a-z_]+)\}\}")
_MEMBERS = re.compile(r"^members\s*=\s*\[(.*?)\]", re.MULTILINE | re.DOTALL)

# Namespaces that the host answers itself.
_HOST_NAMESPACES = {"wasi", "registry"}

# A name of one word becomes a module or namespace as it is, so it may not be a word of the language.
_WIT_WORDS = set(
    "as async bool borrow char constructor enum export f32 f64 flags from func future import include interface list map "
    "option own package record resource result s16 s32 s64 s8 static stream string tuple type u16 u32 u64 u8 use "
    "variant with world".split()
)
_LANGUAGE_WORDS = {
    "rust": set(
        "abstract alloc as async await become box break const continue core crate do dyn else enum extern false final fn "
        "for gen if impl in let loop macro match mod move mut override priv pub ref return self static std struct super "
        "test trait true try type typeof union unsafe unsized use virtual where while yield".split()
    ),
    "cpp": set(
        "alignas alignof and asm auto bool break case catch char class compl concept const continue default delete do "
        "double else enum explicit export extern false float for friend goto if inline int long mutable namespace new "
        "noexcept not nullptr operator or private protected public register requires return short signed sizeof static "
        "std struct switch template this throw true try typedef typeid typename union unsigned using virtual void "
        "volatile wchar while wit xor".split()
    ),
}

# By language: the build command (after the path of scripts/guest) and what it leaves.
_GUEST_ARGUMENTS = {
    "c": "c",
    "cpp": "cpp",
    "zig": "zig greeter.zig",
    "javascript": "javascript greeter.js",
    "typescript": "typescript greeter.ts",
    "python": "python app.py",
    "go": "go",
}


def main(arguments: list[str]) -> int:
    """Runs `new-component` and returns its exit code: 0, 1 when it cannot be laid out, 2 for usage."""
    parser = argparse.ArgumentParser(
        prog="new-component", description="Lays out a small working component.", epilog="Example: new-component go acme:greeter"
    )
    parser.add_argument("language", help=f"{', '.join(LANGUAGES)} (and {', '.join(ALIASES)})")
    parser.add_argument("id", metavar="NAMESPACE:NAME", help="its id, which is also the WIT package of its interface")
    parser.add_argument("--dir", type=Path, help="the folder to make, anywhere (default: components/NAME of the checkout)")
    options = parser.parse_args(arguments)
    language = language_named(options.language)
    if language is None:
        parser.error(f"unknown language {options.language}; known are {', '.join(LANGUAGES)}")
    namespace, colon, name = options.id.partition(":")
    if not colon:
        parser.error(f"{options.id} is no id: it takes the form namespace:name")
    try:
        _check_segment("namespace", namespace, language)
        _check_segment("name", name, language)
        folder = _lay_out(language, namespace, name, options.dir)
    except (ToolError, OSError) as error:
        print(f"new-component: {error}", file=sys.stderr)
        return 1
    _print_next_steps(folder, options.id, language)
    return 0


def _check_segment(what: str, word: str, language: str) -> None:
    if not _WORD.fullmatch(word) or len(word) > _SEGMENT_MAX:
        raise ToolError(
            f"the {what} {word!r} is not acceptable: words of a-z and 0-9 that begin with a letter, joined by single "
            f"hyphens, at most {_SEGMENT_MAX} characters"
        )
    if what == "namespace" and word in _HOST_NAMESPACES:
        raise ToolError(f"the namespace {word} belongs to the host")
    if word in _LANGUAGE_WORDS.get(language, ()):
        raise ToolError(f"the {what} {word} is a word of {TITLES[language]}; choose another")


def _lay_out(language: str, namespace: str, name: str, where: Path | None) -> Path:
    """Makes the folder and returns it; what was made is removed again when it cannot be finished."""
    folder = COMPONENTS / name if where is None else where.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ToolError(f"{folder} is there already")
    is_member = language == "rust" and folder.parent == COMPONENTS
    existed = folder.exists()
    values = _values(language, namespace, name, folder, is_member)
    try:
        _copy(TEMPLATES / "common", folder, values)
        _copy(TEMPLATES / language, folder, values)
        _arrange(language, folder, is_member)
        if is_member:
            _add_member(COMPONENTS / "Cargo.toml", folder.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if existed:
            folder.mkdir()
        raise
    return folder


def _values(language: str, namespace: str, name: str, folder: Path, is_member: bool) -> dict[str, str]:
    """What stands for each placeholder of the templates."""
    command, output = _build(language, name, folder, is_member)
    escaped = ":".join(f"%{word}" if word in _WIT_WORDS else word for word in (namespace, name))
    inside = folder.parent == COMPONENTS
    notes = (TEMPLATES / language / "notes.md").read_text().strip()
    return {
        "id": f"{namespace}:{name}",
        "wit_package": escaped,
        "name": name,
        "namespace_snake": namespace.replace("-", "_"),
        "name_snake": name.replace("-", "_"),
        "language": language,
        "title": TITLES[language],
        "command": json.dumps(command, ensure_ascii=False),
        "output": output,
        "build": f"just build-components {folder.name}" if inside else _command_to_build(),
        "folder": f"components/{folder.name}" if inside else ".",
        "notes": f"{notes}\n",
        "wit_bindgen": read_pins()["WIT_BINDGEN_VERSION"],
    }


def _command_to_build() -> str:
    return f"{shlex.quote(str(SCRIPTS / 'build-components'))} ."


def _build(language: str, name: str, folder: Path, is_member: bool) -> tuple[str, str]:
    """The build command and where it leaves the component, both as seen from the folder."""
    # Inside the checkout the path of the scripts is relative, so that the checkout can move.
    scripts = SCRIPTS if not folder.is_relative_to(REPO) else Path(os.path.relpath(SCRIPTS, folder))
    if language != "rust":
        return f"{shlex.quote(str(scripts / 'guest'))} {_GUEST_ARGUMENTS[language]}", f"build/{folder.name}.wasm"
    command = "cargo build --release --target wasm32-wasip2"
    if not is_member and not rust_has_targets(["wasm32-wasip2"]):
        command = f"{shlex.quote(str(scripts / 'with-guests'))} {command}"
    target = "../target" if is_member else "target"
    return command, f"{target}/wasm32-wasip2/release/{name.replace('-', '_')}.wasm"


def _copy(source: Path, folder: Path, values: dict[str, str]) -> None:
    """Copies a tree of templates, with the placeholders in paths and texts replaced."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ToolError(f"{source}: no value for the placeholder {match[0]}")
        return values[match[1]]

    for path in sorted(source.rglob("*")):
        if path.is_dir():
            continue
        destination = folder / _PLACEHOLDER.sub(value, str(path.relative_to(source)))
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_text(_PLACEHOLDER.sub(value, path.read_text()))


def _arrange(language: str, folder: Path, is_member: bool) -> None:
    """Puts the files that have another name among the templates in their places."""
    (folder / "notes.md").unlink()
    if language == "rust":
        chosen, other = ("member", "alone") if is_member else ("alone", "member")
        (folder / f"Cargo.{chosen}.toml").rename(folder / "Cargo.toml")
        (folder / f"Cargo.{other}.toml").unlink()
    if folder.parent == COMPONENTS:
        (folder / "gitignore").unlink()
    else:
        (folder / "gitignore").rename(folder / ".gitignore")


def _add_member(manifest: Path, name: str) -> None:
    """Adds a crate to the workspace of the components, unless a pattern there already takes it in."""
    text = manifest.read_text()
    members = tomllib.loads(text)["workspace"].get("members", [])
    if name in members or "*" in members:
        return
    match = _MEMBERS.search(text)
    if match is None:
        raise ToolError(f"{manifest} has no list of members to add {name} to")
    listed = match[1].rstrip()
    separator = "" if not listed or listed.endswith(",") else ","
    between = "\n    " if "\n" in match[1] else " " if listed else ""
    closing = ",\n" if "\n" in match[1] else ""
    start, end = match.span(1)
    changed = text[:start] + listed + separator + between + f'"{name}"' + closing + text[end:]
    if tomllib.loads(changed)["workspace"]["members"] != [*members, name]:
        raise ToolError(f"cannot add {name} to the members in {manifest}: add it by hand")
    manifest.write_text(changed)


def _print_next_steps(folder: Path, identity: str, language: str) -> None:
    shown = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
    inside = folder.parent == COMPONENTS
    just = "just" if shutil.which("just") else "./justw"
    script = shlex.quote(str(SCRIPTS / "build-components"))
    build = f"{just} build-components {folder.name}" if inside else f"{script} {shlex.quote(shown)}"
    print(f"{shown}: {identity}, a component in {TITLES[language]}. Next:")
    print(f"  {build}")
    print(f"  runtime register {shlex.quote(shown)} --activate")
    print(f"  runtime call {identity} 'greet(\"Ada\")'")
    if shutil.which("runtime") is None:
        print(f"(`{just} build` makes target/release/runtime)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
