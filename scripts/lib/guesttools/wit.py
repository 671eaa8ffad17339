"""What the WIT of a component says, as far as building it needs: its worlds and what they import."""

import json
from pathlib import Path

from .process import ToolError, capture


class Wit:
    """A WIT folder (root package and `deps/`) and the world in it that is built."""

    def __init__(self, path: Path, world: str | None, preferred: str, environment: dict[str, str]):
        """Reads the folder. Without `world`, it is the only world of the root package, else the one named `preferred`.

        Raises ToolError if the WIT does not parse, or if there is no such world or no way to tell which.
        """
        if not path.exists():
            raise ToolError(f"no WIT at {path}", advice="name it with --wit")
        self.path = path
        self._document = json.loads(capture(["wasm-tools", "component", "wit", path, "--json"], env=environment))
        root = self._document["packages"][-1]
        worlds = list(root["worlds"])
        if world is None:
            world = worlds[0] if len(worlds) == 1 else preferred
            if world not in worlds:
                raise ToolError(f"package {root['name']} has the worlds {', '.join(worlds) or '(none)'}", advice="name one with --world")
        elif world not in worlds:
            raise ToolError(f"package {root['name']} has no world {world}; it has {', '.join(worlds) or 'none'}")
        self.world = world
        self._world = self._document["worlds"][root["worlds"][world]]

    def import_namespaces(self) -> list[str]:
        """Returns the namespaces of the interfaces that the world imports or exports, such as `demo` and `wasi`."""
        namespaces = {package["name"].split(":")[0] for package in self._document["packages"]}
        return sorted(namespaces)
