"""Tests of `setup`: what is installed, and what happens when something cannot be had. Nothing is downloaded."""

import contextlib
import io
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from guesttools import setup
from guesttools.catalogue import Catalogue
from guesttools.environment import guest_environment
from guesttools.process import ToolError, end_group, run


class Setup(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name).resolve()
        patches = [
            mock.patch.dict(os.environ, {"RUNTIME_TOOLCHAINS": str(self.root)}),
            mock.patch.object(setup, "install", self.install),
            mock.patch.object(setup, "system_packages_for", lambda _names: []),
        ]
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)
        for name in ("CI", "RUNTIME_REQUIRE_ALL_LANGUAGES", "RUNTIME_RUST_GUESTS"):
            os.environ.pop(name, None)
        self.installed = []
        self.broken = {}

    def install(self, catalogue, name):
        if name in self.broken:
            raise self.broken[name]
        self.installed.append(name)
        place = catalogue[name]
        place.bin.mkdir(parents=True)
        place.write_stamp()
        return "installed"

    def run_setup(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = setup.main(list(arguments))
        return code, out.getvalue() + err.getvalue()

    def test_installs_only_what_the_language_needs_and_only_once(self):
        self.assertEqual(self.run_setup("zig")[0], 0)
        self.assertEqual(sorted(self.installed), ["wasi-adapter", "wasm-tools", "wit-bindgen", "zig"])
        self.run_setup("zig")
        self.assertEqual(len(self.installed), 4)
        self.run_setup("c++", "go")
        self.assertEqual(sorted(self.installed[4:]), ["go", "go-wit-package"])

    def test_installs_again_what_was_interrupted(self):
        place = Catalogue()["zig"]
        place.bin.mkdir(parents=True)
        with mock.patch.object(setup, "install", lambda *_: "nothing"):
            self.run_setup("zig")
        self.assertFalse(place.ready)

    def test_goes_on_without_what_cannot_be_had_and_says_what_it_means(self):
        self.broken["go"] = ToolError("pip failed with exit code 1", advice="look at the network")
        with mock.patch.object(setup, "LANGUAGES", ("zig", "go")):
            code, text = self.run_setup()
            self.assertEqual(code, 0)
            self.assertIn("wit-bindgen", self.installed)
            self.assertIn("go is missing: pip failed with exit code 1", text)
            self.assertIn("look at the network", text)
            self.assertIn("components in Go stay unbuilt", text)
            self.assertIn("1 of 2 languages ready (Zig)", text)
            for name in ("CI", "RUNTIME_REQUIRE_ALL_LANGUAGES"):
                with mock.patch.dict(os.environ, {name: "1"}):
                    self.assertEqual(self.run_setup()[0], 1, name)

    def test_a_language_that_is_named_is_required(self):
        self.broken["zig"] = ToolError("no such wheel")
        self.assertEqual(self.run_setup("zig")[0], 1)

    def test_puts_only_what_is_installed_into_the_environment(self):
        self.run_setup("zig")
        variables = guest_environment(Catalogue())
        self.assertIn(str(Catalogue()["zig"].bin), variables["PATH"].split(os.pathsep))
        self.assertIn("WASI_ADAPTER", variables)
        self.assertNotIn("GOROOT", variables)
        self.assertNotIn(str(Catalogue()["go"].bin), variables["PATH"])


class Run(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.log = Path(temporary.name, "logs", "x.log")

    def test_keeps_command_and_output_in_the_log_of_a_failure(self):
        with self.assertRaisesRegex(ToolError, "sh failed with exit code 7") as caught:
            run(["sh", "-c", "echo out; echo err >&2; exit 7"], log=self.log, advice="try again")
        self.assertEqual((caught.exception.log, caught.exception.advice), (self.log, "try again"))
        self.assertEqual(self.log.read_text().splitlines()[1:], ["out", "err"])

    def test_gives_up_on_what_takes_too_long(self):
        with self.assertRaisesRegex(ToolError, "sleep took longer than 0 s"):
            run(["sleep", "600"], log=self.log, timeout=0.1)

    def test_ends_a_program_with_all_that_it_has_started(self):
        child = subprocess.Popen(
            ["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        with child:
            grandchild = int(child.stdout.readline())
            end_group(child)
            # The pipe closes when the last process that holds it is gone.
            self.assertEqual(child.stdout.read(), "")
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            self.assertIn(" Z ", Path(f"/proc/{grandchild}/stat").read_text())

    def test_names_a_program_that_is_not_there(self):
        with self.assertRaisesRegex(ToolError, "cannot start no-such-program"):
            run(["no-such-program"], log=self.log)


if __name__ == "__main__":
    unittest.main()
