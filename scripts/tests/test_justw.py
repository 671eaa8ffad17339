"""Tests of `justw`: what it does itself, before there is any `just`."""

import subprocess
import unittest
from pathlib import Path

JUSTW = Path(__file__).resolve().parents[2] / "justw"


class Help(unittest.TestCase):
    def test_scripts_say_themselves_what_they_take(self):
        for arguments in (["new-component", "--help"], ["new-component", "rust", "-h"], ["build-components", "--help"]):
            with self.subTest(arguments=arguments):
                ran = subprocess.run([JUSTW, *arguments], capture_output=True, text=True, check=False)
                self.assertEqual((ran.returncode, ran.stderr), (0, ""))
                self.assertTrue(ran.stdout.startswith(f"usage: {arguments[0]} "), ran.stdout)


if __name__ == "__main__":
    unittest.main()
