"""Tests of reading a component's folder and telling whether it has changed."""

import tempfile
import unittest
from pathlib import Path

from guesttools import component
from guesttools.component import BuildRecord, input_digest, load
from guesttools.pins import SCRIPTS
from guesttools.process import ToolError

MANIFEST = """
id = "acme:greeter"
[metadata]
language = "c"
[build]
command = "make"
output = "build/greeter.wasm"
"""


class InFolder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name).resolve() / "greeter"
        self.folder.mkdir()

    def write(self, manifest):
        (self.folder / "component.toml").write_text(manifest)


class Load(InFolder):
    def test_reads_id_language_command_and_output(self):
        self.write(MANIFEST)
        read = load(self.folder)
        self.assertEqual((read.id, read.language, read.command), ("acme:greeter", "c", "make"))
        self.assertEqual(read.output, self.folder / "build" / "greeter.wasm")

    def test_takes_the_language_from_the_command_where_metadata_has_none(self):
        for command, language in [
            ("../../scripts/guest ts main.ts", "typescript"),
            ("/a/with-guests /a/guest go", "go"),
            ("cargo build --release", "rust"),
            ("make", ""),
        ]:
            self.write(f'[build]\ncommand = "{command}"\noutput = "x.wasm"\n')
            self.assertEqual(load(self.folder).language, language, command)

    def test_names_the_file_and_the_key_that_is_wrong(self):
        for manifest, message in [
            ("id = ", "component.toml: "),
            ('id = "acme:greeter"', r"no \[build\] table"),
            ('build = "make"', r"no \[build\] table"),
            ('[build]\noutput = "x.wasm"', r"\[build\] command is missing"),
            ('[build]\ncommand = "make"\noutput = 1', r"\[build\] output is missing or no text"),
        ]:
            self.write(manifest)
            with self.assertRaisesRegex(ToolError, message):
                load(self.folder)


class Inputs(InFolder):
    def setUp(self):
        super().setUp()
        self.write(MANIFEST)
        (self.folder / "greeter.c").write_text("int x;")

    def digest(self, shared="tools"):
        return input_digest(load(self.folder), shared)

    def test_a_change_of_source_manifest_wit_or_tools_counts(self):
        seen = {self.digest()}
        (self.folder / "greeter.c").write_text("int y;")
        seen.add(self.digest())
        (self.folder / "more.c").write_text("")
        seen.add(self.digest())
        self.write(MANIFEST.replace("make", "make all"))
        seen.add(self.digest())
        (self.folder.parent / "wit").mkdir()
        (self.folder.parent / "wit" / "world.wit").write_text("package a:b;")
        seen.add(self.digest())
        seen.add(self.digest("newer tools"))
        self.assertEqual(len(seen), 6)

    def test_what_a_build_leaves_does_not_count(self):
        before = self.digest()
        for name in ("build/x.c", "target/y", "__pycache__/z.pyc", "node_modules/m/index.js"):
            path = self.folder / name
            path.parent.mkdir(parents=True)
            path.write_text("made")
        (self.folder / "left.wasm").write_bytes(b"\0asm")
        self.assertEqual(self.digest(), before)

    def test_the_recipes_that_count_are_there(self):
        for name in component._RECIPES:
            self.assertTrue((SCRIPTS / "lib" / name).is_file(), name)

    def test_moving_text_from_one_file_to_another_counts(self):
        (self.folder / "a").write_text("12")
        (self.folder / "b").write_text("3")
        before = self.digest()
        (self.folder / "a").write_text("1")
        (self.folder / "b").write_text("23")
        self.assertNotEqual(self.digest(), before)


class Record(InFolder):
    def setUp(self):
        super().setUp()
        self.write(MANIFEST)
        self.component = load(self.folder)
        self.component.output.parent.mkdir()
        self.component.output.write_bytes(b"component")
        BuildRecord(self.component).write("inputs", self.component.output, 1.5)

    def is_current(self, inputs="inputs"):
        return BuildRecord(self.component).is_current(inputs, self.component.output)

    def test_is_current_only_with_the_same_inputs_and_an_untouched_output(self):
        self.assertTrue(self.is_current())
        self.assertFalse(self.is_current("other inputs"))
        self.component.output.write_bytes(b"tampered!")
        self.assertFalse(self.is_current())
        self.component.output.unlink()
        self.assertFalse(self.is_current())

    def test_a_build_that_began_and_did_not_end_is_not_current_but_keeps_its_time(self):
        BuildRecord(self.component).forget()
        self.assertFalse(self.is_current())
        self.assertEqual(BuildRecord(self.component).seconds, 1.5)


if __name__ == "__main__":
    unittest.main()
