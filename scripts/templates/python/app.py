"""Greets people: the exports of the world in wit/world.wit."""

from componentize_py_types import Err
from wit_world import exports


class Greeter(exports.Greeter):
    """The interface `{{id}}/greeter`."""

    def greet(self, name: str) -> str:
        if not name:
            raise Err("nobody to greet")
        return f"Hello, {name}!"
