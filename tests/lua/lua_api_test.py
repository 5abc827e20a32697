#!/usr/bin/env python3
"""The descriptions of the Lua library (tools/lua_api.py) are up to date and true.

  lua_api_test.py BUILD_DIR
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tools"))
import lua_api  # noqa: E402

BUILD = None


def described():
    """What api_test.lua compares with what is there."""
    api = lua_api.Api()
    functions, members, options = [], {}, []
    for owner, items in api.owners.items():
        for item in items:
            short = re.split("[.:]", item.name)[-1]
            functions.append({"name": item.name, "owner": owner, "short": short})
            last = api.classes.get(item.entries[-1].type) if item.kind == "function" and item.entries else None
            if last and last.name.endswith(("Options", "Spec")):
                options.append({"name": item.name, "owner": owner, "short": short, "is_method": ":" in item.name,
                                "before": [entry.type for entry in item.entries[:-1]],
                                "fields": [entry.name for entry in last.entries]})
        if owner not in ("", "Assert", "TestedPipeline"):
            names = [re.split("[.:]", item.name)[-1] for item in items]
            tables = [name.split(".")[1] for name in api.tables if name.split(".")[0] == owner]
            fields = [entry.name for entry in getattr(api.class_of(owner), "entries", [])]
            members[owner] = names + tables + fields
    return {"functions": functions, "members": members, "options": options}


class LuaApi(unittest.TestCase):
    def test_the_written_files_are_what_the_code_says(self):
        result = subprocess.run([sys.executable, SOURCE / "tools/lua_api.py", "--check"], capture_output=True, text=True,
                                check=False)
        self.assertEqual(0, result.returncode, result.stderr)

    def test_what_is_described_is_there_and_what_is_there_is_described(self):
        api = described()
        self.assertGreater(len(api["options"]), 5)
        with tempfile.TemporaryDirectory(prefix="minnow-api-") as folder:
            shutil.copy(SOURCE / "tests/lua/api_test.lua", folder)
            pathlib.Path(folder, "api.lua").write_text(f"return [==[{json.dumps(api)}]==]\n", encoding="utf-8")
            result = subprocess.run(
                [BUILD / "bin/minnow", "test", "--record", "--model-dir", SOURCE / "models", "api_test.lua"],
                cwd=folder, env=dict(os.environ, XDG_CACHE_HOME=folder), capture_output=True, text=True, timeout=300,
                check=False)
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)

    def test_mistakes_in_a_description_are_told_with_their_place(self):
        for text, message in ((["Text.", "no end"], "no @class"),
                              (["@param a string", "function minnow.f(b)"], "described are ['a']"),
                              (["@retrun string", "function minnow.f()"], "cannot read '@retrun string'"),
                              (["@field a string", "function minnow.f()"], "@field in the block of a function")):
            with self.assertRaises(SystemExit) as raised:
                lua_api.parse("x.cc:1", text)
            self.assertIn(message, str(raised.exception))
            self.assertIn("x.cc:1: ", str(raised.exception))


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
