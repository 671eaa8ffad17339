"""Tests of reading the pinned versions."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from guesttools.pins import VERSIONS_FILE, PinsError, read_pins


class Pins(unittest.TestCase):
    def test_reads_what_a_shell_reads(self):
        pins = read_pins()
        self.assertIn("ZIGLANG_VERSION", pins)
        for name, value in pins.items():
            shown = subprocess.run(
                ["sh", "-c", f'. "$0"; printf %s "${name}"', str(VERSIONS_FILE)], capture_output=True, text=True, check=True
            )
            self.assertEqual(shown.stdout, value, name)

    def test_refuses_a_line_that_is_no_pin_and_names_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "versions.env")
            path.write_text("# a comment\n\nA_VERSION=1\nA_VERSION = 2\n")
            with self.assertRaisesRegex(PinsError, "versions.env:4: .*A_VERSION = 2"):
                read_pins(path)

    def test_new_rust_components_use_the_wit_bindgen_of_the_examples(self):
        manifest = (VERSIONS_FILE.parents[1] / "components" / "Cargo.toml").read_text()
        self.assertIn(f'wit-bindgen = {{ version = "{read_pins()["WIT_BINDGEN_VERSION"]}"', manifest)


if __name__ == "__main__":
    unittest.main()
