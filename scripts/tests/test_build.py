"""Tests of `build-components`, with build commands of a line of shell."""

import contextlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from guesttools import build

COMPONENT = r"printf '\0asm\r\0\1\0' > out.wasm"
CORE_MODULE = r"printf '\0asm\1\0\0\0' > out.wasm"


class Build(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name).resolve()
        # No tools at all, whatever this machine has.
        patch = mock.patch.dict(os.environ, {"RUNTIME_TOOLCHAINS": str(self.root / "tools")})
        patch.start()
        self.addCleanup(patch.stop)
        for name in ("CI", "RUNTIME_REQUIRE_ALL_LANGUAGES"):
            os.environ.pop(name, None)

    def component(self, name, command, language=""):
        folder = self.root / name
        folder.mkdir()
        metadata = f'[metadata]\nlanguage = "{language}"\n' if language else ""
        (folder / "component.toml").write_text(
            f"id = \"acme:{name}\"\n{metadata}[build]\ncommand = '''{command}'''\noutput = \"out.wasm\"\n"
        )
        return folder

    def run_build(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = build.main([str(argument) for argument in arguments])
        return code, out.getvalue(), err.getvalue()

    def states(self, table):
        return [line.split()[-1] for line in table.splitlines() if line.startswith("acme:")]

    def test_builds_once_and_then_only_what_changed(self):
        one, two = self.component("one", COMPONENT), self.component("two", COMPONENT)
        self.assertEqual(self.run_build(one, two)[0], 0)
        code, table, _ = self.run_build(one, two)
        self.assertEqual((code, self.states(table)), (0, ["cached", "cached"]))
        (one / "source").write_text("new")
        self.assertEqual(self.states(self.run_build(one, two)[1]), ["built", "cached"])
        self.assertEqual(self.states(self.run_build("--force", one, two)[1]), ["built", "built"])

    def test_a_failure_shows_its_log_and_leaves_the_others_alone(self):
        bad = self.component("bad", "echo the reason >&2; exit 3")
        good = self.component("good", COMPONENT)
        code, table, errors = self.run_build(bad, good)
        self.assertEqual((code, self.states(table)), (1, ["failed", "built"]))
        self.assertRegex(errors, "built +acme:good")
        self.assertIn("acme:bad: the build command failed with exit code 3", errors)
        self.assertIn("    the reason", errors)
        self.assertEqual(self.states(self.run_build(bad, good)[1]), ["failed", "cached"])

    def test_refuses_an_output_that_is_no_component(self):
        for name, command, message in [
            ("nothing", "true", "left no .*out.wasm"),
            ("core", CORE_MODULE, "is a core module, no component"),
            ("text", "echo hello > out.wasm", "is no WebAssembly"),
        ]:
            code, _, errors = self.run_build(self.component(name, command))
            self.assertEqual(code, 1)
            self.assertRegex(errors, message)

    def test_leaves_out_a_language_without_tools_and_says_what_to_do(self):
        with mock.patch.object(build, "discover", lambda: [self.component("guest", COMPONENT, "zig")]):
            code, table, errors = self.run_build()
            self.assertEqual((code, self.states(table)), (0, ["skipped"]))
            self.assertIn("just setup zig", errors)
        with mock.patch.object(build, "discover", lambda: [self.root / "guest"]):
            with mock.patch.dict(os.environ, {"CI": "true"}):
                self.assertEqual(self.run_build()[0], 1)
        self.assertEqual(self.run_build(self.root / "guest")[0], 1, "named, so required")

    def test_an_unknown_name_is_a_usage_error_that_lists_the_known(self):
        with mock.patch.object(build, "discover", lambda: [self.component("guest", COMPONENT)]):
            code, _, errors = self.run_build("gust")
        self.assertEqual(code, 2)
        self.assertIn("acme:guest", errors)

    def test_cargo_components_are_built_one_after_the_other_and_the_longest_first(self):
        def item(name, language):
            component = build.load(self.component(name, COMPONENT, language))
            return component, "inputs", build.BuildRecord(component)

        groups = build._groups([item("js", "javascript"), item("one", "rust"), item("go", "go"), item("two", "rust")])
        names = [[component.folder.name for component, _, _ in group] for group in groups]
        self.assertEqual(names, [["one", "two"], ["go"], ["js"]])


if __name__ == "__main__":
    unittest.main()
