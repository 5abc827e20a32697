#!/usr/bin/env python3
"""Every block of docs/*.md that is marked ```sh and begins with minnow runs, and ends with 0.

  docs_test.py BUILD_DIR

Runs in a copy of what the pages name (examples, models), page by page, so that a page is a session.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = None
FENCE = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)


class Docs(unittest.TestCase):
    pass


def page_test(page):
    def test(self):
        blocks = [b for b in FENCE.findall(page.read_text(encoding="utf-8")) if b.lstrip().startswith("minnow ")]
        self.assertTrue(blocks, f"{page} shows no command")
        with tempfile.TemporaryDirectory(prefix="minnow-docs-") as folder:
            for name in ("examples", "models", "scripts"):
                shutil.copytree(SOURCE / name, pathlib.Path(folder, name))
            env = dict(os.environ, PATH=f"{BUILD / 'bin'}:{os.environ['PATH']}", XDG_CACHE_HOME=folder + "/cache")
            for block in blocks:
                result = subprocess.run(["sh", "-e", "-c", block], cwd=folder, env=env, capture_output=True, text=True,
                                        timeout=300, check=False)
                self.assertEqual(0, result.returncode, f"{page.name}:\n{block}\n{result.stdout}{result.stderr}")
    return test


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    for path in sorted((SOURCE / "docs").glob("*.md")):
        setattr(Docs, f"test_{path.stem}", page_test(path))
    unittest.main()
