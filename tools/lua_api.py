#!/usr/bin/env python3
"""What scripts may call, from the comments that stand where it is implemented.

  lua_api.py          writes scripts/minnow.d.lua (for editors) and docs/lua.md (for readers)
  lua_api.py --check  fails when one of them is not what it would write

A description is a block of lines that begin with --- in Lua, with //--- in C++. It is LuaCATS; its last line names
what it describes:

  //---Waits without holding up anyone else.
  //---@param seconds number  -- from 0 on
  //---function minnow.sleep(seconds)
  int Sleep(lua_State* L) {

A block with @class needs no such line. The tables that functions are in follow from their names: Model:chat is a method
of the class minnow.Model.
"""
import dataclasses
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STUBS = ROOT / "scripts/minnow.d.lua"
PAGE = ROOT / "docs/lua.md"
FUNCTION = re.compile(r"function ([\w.:]+)\((.*)\)$")
VALUE = re.compile(r"([\w.]+) = (nil|\{\})$")
CHOICE = re.compile(r"\| (\S+)(?:\s+# (.*))?$")
OVERLOAD = re.compile(r"@overload fun\((.*)\): (.*)$")
TAG = re.compile(r"@(param|field) (\S+) (.*?)(?:\s+-- (.*))?$")


@dataclasses.dataclass
class Entry:
    """A parameter, a field or a result."""
    name: str
    type: str
    what: str
    optional: bool = False


@dataclasses.dataclass
class Item:
    """A block: a function, a value or a class."""
    place: str
    lines: list  # as LuaCATS, without --- and without the last line that names it
    name: str = ""
    kind: str = ""  # function, value, table, class, alias
    arguments: str = ""
    text: list = dataclasses.field(default_factory=list)
    entries: list = dataclasses.field(default_factory=list)
    results: list = dataclasses.field(default_factory=list)
    overloads: list = dataclasses.field(default_factory=list)  # other arguments and their result
    type: str = ""

    @property
    def owner(self):
        """What it is looked up in: minnow, minnow.json, Model, or nothing."""
        return re.split(r"[.:](?=\w+$)", self.name)[0] if re.search(r"[.:]", self.name) else ""


def fail(place, message):
    sys.exit(f"{place}: {message}")


def sources():
    return [ROOT / "scripts/minnow.lua", *sorted((ROOT / "host/script").glob("*.cc")),
            *sorted((ROOT / "scripts").glob("*/**/*.lua"))]


def blocks(path):
    mark = "---" if path.suffix == ".lua" else "//---"
    block, start = [], 0
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n") + [""], 1):
        line = line.strip()
        if line.startswith(mark):
            start = start if block else number
            block.append(line[len(mark):].rstrip())
        elif block:
            yield f"{path.relative_to(ROOT)}:{start}", block
            block = []


def parse_tag(item, line):
    tag = TAG.match(line)
    if tag:
        kind, name, type_, what = tag.groups()
        if kind == "param" and item.kind != "function" or kind == "field" and item.kind != "class":
            fail(item.place, f"@{kind} in the block of a {item.kind}")
        item.entries.append(Entry(name.rstrip("?"), type_, what or "", name.endswith("?")))
    elif line.startswith("@return "):
        type_, _, what = line[len("@return "):].partition("  -- ")
        item.results.append(Entry("", type_.strip(), what))
    elif overload := OVERLOAD.match(line):
        arguments = [argument.partition(": ") for argument in overload[1].split(", ")]
        item.overloads.append(([Entry(name.rstrip("?"), type_, "", name.endswith("?"))
                                for name, _, type_ in arguments if name != "self"], overload[2]))
    elif line.startswith("@type "):
        item.type = line[len("@type "):]
    elif not line.startswith(("@class ", "@alias ", "@generic ")):
        fail(item.place, f"cannot read '{line}'")


def parse(place, lines):
    item = Item(place, lines)
    named = FUNCTION.match(lines[-1]) or VALUE.match(lines[-1])
    classes = [line for line in lines if line.startswith(("@class ", "@alias "))]
    if named:
        item.lines = lines[:-1]
        item.name = named[1]
        item.kind = "function" if named.re is FUNCTION else "value" if named[2] == "nil" else "table"
        item.arguments = named[2] if item.kind == "function" else ""
    elif len(classes) == 1:
        item.kind, item.name = classes[0].split()[0][1:], classes[0].split()[1]
    else:
        fail(place, "the block ends neither in 'function NAME(...)' nor in 'NAME = nil', and has no @class")
    for line in item.lines:
        choice = CHOICE.match(line) if item.kind == "alias" else None
        if choice:
            item.entries.append(Entry(choice[1], "", choice[2] or ""))
        elif line.startswith("@"):
            parse_tag(item, line)
        else:
            item.text.append(line)
    if item.kind == "function":
        documented = [entry.name for entry in item.entries]
        arguments = re.findall(r"[\w.]+", item.arguments)
        if documented != arguments:
            fail(place, f"{item.name} has the arguments {arguments}, described are {documented}")
    return item


def api():
    items, places = [], {}
    for path in sources():
        for place, lines in blocks(path):
            item = parse(place, lines)
            if item.name in places:
                fail(place, f"{item.name} is described at {places[item.name]} too")
            places[item.name] = place
            items.append(item)
    return items


class Api:
    """The items in the order in which both files have them: what is in minnow first, globals last."""

    def __init__(self):
        items = api()
        self.classes = {item.name: item for item in items if item.kind in ("class", "alias")}
        self.tables = {item.name: item for item in items if item.kind == "table"}
        self.owners = {}
        for item in items:
            if item.kind in ("function", "value"):
                self.owners.setdefault(item.owner, []).append(item)
        self.order = sorted(self.owners, key=lambda owner: (owner != "minnow", owner == ""))
        for owner in self.order:
            if owner and not self.described(owner):
                fail(self.owners[owner][0].place, f"there is no '{owner} = {{}}' and no class minnow.{owner}")

    def class_of(self, owner):
        return self.classes.get(owner if owner.startswith("minnow") else f"minnow.{owner}")

    def described(self, owner):
        """The class or table that these functions are in."""
        return self.class_of(owner) or self.tables.get(owner)

    def plain_classes(self):
        """Those without functions of their own: options and results."""
        owned = {self.class_of(owner).name for owner in self.order if owner and self.class_of(owner)}
        return [item for name, item in self.classes.items() if name not in owned]


# --- Stubs

HEADER = """---@meta minnow
-- What `require "minnow"` gives, for editors and language servers (LuaCATS). Nothing here is run.
-- Written by tools/lua_api.py from the comments beside the code.
"""


def stub(item):
    lines = ["---" + line for line in item.lines]
    if item.kind == "function":
        lines.append(f"function {item.name}({item.arguments}) end")
    elif item.kind == "value":
        lines.append(f"{item.name} = nil")
    elif item.kind == "table":
        lines.append(f"{item.name} = {{}}")
    return "\n".join(lines)


def write_stubs(api_):
    parts = [HEADER] + [stub(item) + "\n" for item in api_.plain_classes()]
    for owner in api_.order:
        if owner:
            described = api_.described(owner)
            parts.append(stub(described) + (f"\nlocal {owner} = {{}}\n" if described.kind == "class" else "\n"))
        parts += [stub(item) + "\n" for item in api_.owners[owner]]
    return "\n".join(parts) + "\nreturn minnow\n"


# --- The page

def anchor(title):
    return "#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def shown_type(api_, type_):
    """The type with links to the tables it names."""
    def link(match):
        name = match[0]
        if name not in api_.classes:
            return name
        return f"[{name.removeprefix('minnow.')}]({anchor(title_of_class(name))})"
    return re.sub(r"minnow\.\w+", link, type_.replace("|", " or ").replace("<", "\\<"))


def title_of_class(name):
    return name.removeprefix("minnow.")


def title_of_owner(owner):
    return owner or "In test files"


def table(api_, head, entries):
    if not any(entry.type for entry in entries):
        return "\n".join([f"| {head} | |", "|---|---|"] + [f"| `{e.name}` | {e.what} |" for e in entries]) + "\n"
    lines = [f"| {head} | type | |", "|---|---|---|"]
    for entry in entries:
        optional = "may be left out" if entry.optional else ""
        what = "; ".join(part for part in (entry.what, optional) if part)
        lines.append(f"| `{entry.name}` | {shown_type(api_, entry.type)} | {what} |")
    return "\n".join(lines) + "\n"


def function_section(api_, item):
    parts = [f"### {item.name}({item.arguments})\n" if item.kind == "function" else f"### {item.name}\n"]
    if item.text:
        parts.append("\n".join(item.text) + "\n")
    if item.entries:
        parts.append(table(api_, "argument", item.entries))
    if item.type:
        parts.append(f"A {shown_type(api_, item.type)}.\n")
    for result in item.results:
        parts.append(f"Gives {shown_type(api_, result.type)}" + (f": {result.what}" if result.what else "") + "\n")
    for entries, result in item.overloads:
        names = ", ".join(entry.name for entry in entries)
        parts.append(f"Or `{item.name}({names})`, which gives {shown_type(api_, result)}:\n")
        parts.append(table(api_, "argument", entries))
    return parts


def class_section(api_, item, level):
    parts = [f"{level} {title_of_class(item.name)}\n"]
    if item.text:
        parts.append("\n".join(item.text) + "\n")
    if item.entries:
        parts.append(table(api_, "field" if item.kind == "class" else "value", item.entries))
    return parts


def write_page(api_):
    contents, sections = [], []
    for owner in api_.order:
        title = title_of_owner(owner)
        described = api_.described(owner) if owner else None
        links = [f"[{re.split('[.:]', item.name)[-1]}]({anchor(f'{item.name}({item.arguments})' if item.kind == 'function' else item.name)})"
                 for item in api_.owners[owner]]
        contents.append(f"- [{title}]({anchor(title)}): " + ", ".join(links))
        text = described.text if described and owner != "minnow" else []
        sections.append(f"## {title}\n")
        sections += ["\n".join(text) + "\n"] if text else []
        sections += [table(api_, "field", described.entries)] if described and described.entries else []
        for item in api_.owners[owner]:
            sections += function_section(api_, item)
    plain = api_.plain_classes()
    contents.append("- [Tables](#tables): " +
                    ", ".join(f"[{title_of_class(item.name)}]({anchor(title_of_class(item.name))})" for item in plain))
    sections.append("## Tables\n")
    for item in plain:
        sections += class_section(api_, item, "###")
    head = ["# The Lua library\n", "<!-- Written by tools/lua_api.py from the comments beside the code. -->\n",
            "\n".join(api_.classes["minnow"].text) + "\n", "\n".join(contents) + "\n"]
    return "\n".join(head + sections)


def main():
    api_ = Api()
    stale = []
    for path, text in ((STUBS, write_stubs(api_)), (PAGE, write_page(api_))):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if sys.argv[1:] != ["--check"]:
            path.write_text(text, encoding="utf-8")
    if sys.argv[1:] == ["--check"] and stale:
        sys.exit(f"{' and '.join(stale)}: not what the code says; run tools/lua_api.py and commit what it writes")


if __name__ == "__main__":
    main()
