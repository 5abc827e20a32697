#!/usr/bin/env python3
"""luacheck finds nothing in scripts/, in examples/ and in the Lua blocks of the pages for people.

Exits with 77 where there is no luacheck (package lua-check).
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import blocks

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def write_blocks(folder):
    """Each block in a file of its own, whose name and line numbers are those of its page."""
    pages = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md")), *sorted((SOURCE / "examples").rglob("*.md"))]
    count = 0
    for page in pages:
        for block in blocks.blocks(page):
            if block.language != "lua":
                continue
            kind = "files" if block.file else "snippets"
            suffix = "_test.lua" if (block.file or "").endswith("_test.lua") else ".lua"
            path = folder / kind / page.relative_to(SOURCE).with_suffix("") / f"block{count}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
            count += 1
    return count


def luacheck(folder, *arguments):
    command = ["luacheck", "--config", str(SOURCE / ".luacheckrc"), "--no-color", "--quiet", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def main():
    if not shutil.which("luacheck"):
        print("skipped: there is no luacheck here (package lua-check)")
        return 77
    with tempfile.TemporaryDirectory(prefix="minnow-luacheck-") as name:
        folder = pathlib.Path(name)
        for part in ("scripts", "examples"):
            shutil.copytree(SOURCE / part, folder / part)
        if write_blocks(folder) == 0:
            print("no page has a Lua block")
            return 1
        (folder / "wrong.lua").write_text("local x = io.open('x')\n", encoding="utf-8")
        if "'io'" not in luacheck(folder, "wrong.lua").stdout:
            print("luacheck lets a script use io, which the sandbox does not have: is .luacheckrc read?")
            return 1
        (folder / "wrong.lua").unlink()
        result = luacheck(folder, "--codes", ".")
        print(result.stdout + result.stderr)
        return result.returncode


if __name__ == "__main__":
    sys.exit(main())
