"""How a Python component is built: componentize-py, and the sockets of its standard library closed off."""

import re
from pathlib import Path

from .process import ToolError, capture

_SOCKETS = re.compile(r"^\s*import (wasi:sockets/[a-z0-9-]+@[0-9.]+);$", re.MULTILINE)
_STUB_WORLD = "without-sockets"


def build(build) -> None:
    """Builds the component from one module, which imports the others."""
    if len(build.sources) != 1:
        raise ToolError("Python takes one module, which imports the others", advice="name it")
    module = build.sources[0]
    whole = build.fresh_folder("sockets") / "with-sockets.wasm"
    build.run(
        *("componentize-py", "--wit-path", build.wit.path, "--world", build.world),
        *("componentize", "--python-path", module.parent, module.stem, "--output", whole),
    )
    _close_sockets(build, whole)


def _close_sockets(build, whole: Path) -> None:
    """Composes the component with one that exports its socket imports as traps.

    CPython's standard library imports all of wasi:sockets, used or not, and a component that imports it needs a grant
    for the network. componentize-py's own `--stub-wasi` is no help: it puts traps in the place of clocks, stdio,
    logging and configuration too.
    """
    new = build.output.with_name(build.output.name + ".new")
    described = whole.parent / "described"
    capture(["wasm-tools", "component", "wit", whole, "--out-dir", described], env=build.environment)
    (root,) = described.glob("*.wit")
    text = root.read_text()
    imports = _SOCKETS.findall(text)
    if not imports:
        whole.replace(new)
        build.finish(new)
        return
    exports = "\n".join(f"  export {name};" for name in imports)
    root.write_text(f"{text}\nworld {_STUB_WORLD} {{\n{exports}\n}}\n")
    dummy = described / "core.wasm"
    stub = described / "stub.wasm"
    build.run("wasm-tools", "component", "embed", described, "--world", _STUB_WORLD, "--dummy", "-o", dummy)
    build.run("wasm-tools", "component", "new", dummy, "-o", stub)
    build.run("wasm-tools", "compose", whole, "--definitions", stub, "-o", new)
    left = _SOCKETS.findall(capture(["wasm-tools", "component", "wit", new], env=build.environment))
    if left:
        raise ToolError(f"composing left the imports {', '.join(left)}")
    build.finish(new)
    whole.unlink()
