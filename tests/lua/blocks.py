"""The blocks of the documentation that programs read: ```sh, ```python and ```lua.

A Lua block whose first line is a comment that names a Lua file, such as "-- hello.lua", is that file. Any other is a
snippet: it stands inside the run(doc) of a pipeline, where `minnow`, `slm` (the model in the box) and `doc` are there.
"""
import dataclasses
import pathlib
import re

FENCE = re.compile(r"^```(sh|lua|python)\n(.*?)^```", re.M | re.S)
FILE = re.compile(r"-- ([\w/-]+\.lua)\n")
SNIPPET = ('local minnow = require "minnow" local slm = minnow.model "minnow-demo" '
           'return minnow.pipeline { name = "snippet", run = function(doc) ', " end }\n")


@dataclasses.dataclass
class Block:
    page: pathlib.Path
    line: int  # of the page, where its text begins
    language: str
    text: str

    @property
    def file(self):
        """The name of the file that it is, or None."""
        found = self.language == "lua" and FILE.match(self.text)
        return found.group(1) if found else None

    @property
    def pipeline(self):
        """A snippet as a pipeline file, whose lines are those of the page."""
        return "\n" * (self.line - 2) + SNIPPET[0] + "\n" + self.text + SNIPPET[1]


def blocks(page):
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start(2)) + 1, found.group(1), found.group(2))
