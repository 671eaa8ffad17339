"""Tests of `new-component`: what it lays out and what it refuses. Building all of them is a test of the whole product."""

import contextlib
import io
import tempfile
import tomllib
import unittest
from pathlib import Path
from unittest import mock

from guesttools import scaffold
from guesttools.catalogue import LANGUAGES
from guesttools.component import load

MEMBERS = '[workspace]\nresolver = "3"\nmembers = ["logger", "facts"]\n'


class Scaffold(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name).resolve()
        patch = mock.patch.object(scaffold, "rust_has_targets", lambda _targets: True)
        patch.start()
        self.addCleanup(patch.stop)

    def new(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = scaffold.main([str(argument) for argument in arguments])
            except SystemExit as exit:
                code = exit.code
        return code, out.getvalue() + err.getvalue()

    def test_lays_out_a_buildable_folder_in_every_language(self):
        for language in LANGUAGES:
            folder = self.root / f"my-{language}"
            code, text = self.new(language, "acme-corp:my-greeter", "--dir", folder)
            self.assertEqual(code, 0, text)
            component = load(folder)
            self.assertEqual((component.id, component.language), ("acme-corp:my-greeter", language))
            for path in folder.rglob("*"):
                self.assertNotIn("{{", path.name)
                if path.is_file():
                    self.assertNotIn("{{", path.read_text(), path)
            self.assertIn("package acme-corp:my-greeter@0.1.0;", (folder / "wit" / "world.wit").read_text())
            self.assertTrue((folder / ".gitignore").is_file())
            self.assertEqual([path.name for path in folder.rglob("notes.md")], [])

    def test_refuses_ids_that_no_language_or_registry_would_take(self):
        for language, identity, message in [
            ("c", "greeter", "no id"),
            ("c", "Acme:greeter", "not acceptable"),
            ("c", "acme:a--b", "not acceptable"),
            ("c", "acme:1st", "not acceptable"),
            ("c", "acme:a:b", "not acceptable"),
            ("c", "acme:../x", "not acceptable"),
            ("c", "acme:" + "x" * 65, "not acceptable"),
            ("c", "wasi:greeter", "belongs to the host"),
            ("rust", "acme:match", "word of Rust"),
            ("cpp", "class:greeter", r"word of C\+\+"),
            ("cobol", "acme:greeter", "unknown language"),
        ]:
            code, text = self.new(language, identity, "--dir", self.root / "new")
            self.assertNotEqual(code, 0, identity)
            self.assertRegex(text, message)
            self.assertFalse((self.root / "new").exists())

    def test_escapes_words_of_wit_in_the_package_name(self):
        self.new("c", "acme:list", "--dir", self.root / "new")
        self.assertIn("package acme:%list@0.1.0;", (self.root / "new" / "wit" / "world.wit").read_text())

    def test_leaves_a_folder_that_is_not_empty_alone(self):
        (self.root / "kept").write_text("mine")
        code, text = self.new("go", "acme:greeter", "--dir", self.root)
        self.assertEqual(code, 1)
        self.assertIn("is there already", text)
        self.assertEqual([path.name for path in self.root.iterdir()], ["kept"])

    def test_a_rust_component_of_the_checkout_joins_the_workspace(self):
        (self.root / "Cargo.toml").write_text(MEMBERS)
        with mock.patch.object(scaffold, "COMPONENTS", self.root):
            self.assertEqual(self.new("rust", "acme:greeter")[0], 0)
        self.assertEqual(self.members(), ["logger", "facts", "greeter"])
        crate = tomllib.loads((self.root / "greeter" / "Cargo.toml").read_text())
        self.assertEqual(crate["dependencies"]["wit-bindgen"], {"workspace": True})
        self.assertEqual(load(self.root / "greeter").output, self.root / "target/wasm32-wasip2/release/greeter.wasm")

    def test_what_cannot_join_the_workspace_is_removed_again(self):
        (self.root / "Cargo.toml").write_text("[workspace]\n")
        with mock.patch.object(scaffold, "COMPONENTS", self.root):
            code, text = self.new("rust", "acme:greeter")
        self.assertEqual(code, 1)
        self.assertIn("no list of members", text)
        self.assertFalse((self.root / "greeter").exists())

    def test_adds_a_member_to_lists_of_any_shape(self):
        for listed, expected in [
            ("[]", ["new"]),
            ('["a"]', ["a", "new"]),
            ('["a", ]', ["a", "new"]),
            ('[\n    "a",\n    "b",\n]', ["a", "b", "new"]),
            ('[\n    "a",\n    "b"\n]', ["a", "b", "new"]),
            ('["*"]', ["*"]),
            ('["new"]', ["new"]),
        ]:
            (self.root / "Cargo.toml").write_text(f"[workspace]\nmembers = {listed}\n[profile.release]\nlto = true\n")
            scaffold._add_member(self.root / "Cargo.toml", "new")
            self.assertEqual(self.members(), expected, listed)

    def members(self):
        return tomllib.loads((self.root / "Cargo.toml").read_text())["workspace"]["members"]


if __name__ == "__main__":
    unittest.main()
