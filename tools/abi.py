#!/usr/bin/env python3
"""The layout of the plugin contract as a table, and what may become of it.

  abi.py dump      print the table of the headers as they are: sizes, offsets, types, values, signatures
  abi.py check     the headers are those of tests/abi/<major>.<minor>.txt; from 1.0 on, each table of a major version
                   keeps what the one before it had, and CHANGELOG-abi.md has a section for the version
  abi.py record    write the table of the headers' version; from 1.0 on never over one that is there

From 1.0 on a version changes nothing and appends only: fields behind the end of a struct that may grow, values, ops,
types, typedefs. A new field never lies in what was padding: an older writer's `size` would cover it.
Options: --headers FOLDER, --tables FOLDER, --changelog FILE. Needs a C compiler (CC, default cc).
"""
import argparse
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Not part of the table: its name, what tells headers how to read the .def files, and how symbols are shown.
SKIPPED_MACROS = {"MNW_ABI_MAJOR", "MNW_ABI_MINOR", "MNW_OP", "MNW_TYPE", "MNW_EXPORT"}
VALUE_OF_MAX_INPUTS = 3  # in an op's row: id, class, min inputs, max inputs, outputs, params


def squeeze(text):
    return re.sub(r"\s*([*,()\[\]])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()


def without_names(arguments):
    """'uint32_t device,mnw_error* e' -> 'uint32_t,mnw_error*': a parameter's name promises nothing."""
    return ",".join(re.sub(r"(?<=[\s*])\w+$", "", a).strip() for a in squeeze(arguments).split(","))


class Headers:
    """What the headers declare, by reading the preprocessor's output; the compiler adds sizes and values."""

    def __init__(self, folder):
        self.folder = folder
        self.include = folder.parent.parent
        names = sorted(p.name for p in folder.glob("*.h"))
        self.source = "".join(f"#include <minnow/abi/{n}>\n" for n in names)
        text = self._preprocess()
        self.structs = {}  # name: [(field, type)]
        self.enumerators = []  # (enum, name)
        for name, body in re.findall(r"struct\s+(\w+)\s*\{([^{}]*)\}", text):
            self.structs[name] = list(self._fields(body))
        for name, body in re.findall(r"enum\s*(\w*)\s*\{([^{}]*)\}", text):
            self.enumerators += [(name or "-", e) for e in re.findall(r"(\w+)\s*=", body)]
        rest = re.sub(r"\{[^{}]*\}", "", text)
        self.typedefs = [self._typedef(t) for t in re.findall(r"typedef\s+([^;]*);", rest)]
        self.typedefs = [t for t in self.typedefs if not re.match(r"(struct|enum)\b", t[1])]

    def _preprocess(self):
        """The lines of these headers alone, with macros expanded."""
        lines, ours = [], False
        for line in self._cc("-E", "-").stdout.splitlines():
            marker = re.match(r'#\s*\d+\s+"([^"]*)"', line)
            if marker:
                ours = pathlib.Path(marker.group(1)).parent == self.folder
            elif ours:
                lines.append(line)
        return "\n".join(lines)

    def _cc(self, *arguments, source=None):
        command = [os.environ.get("CC", "cc"), "-std=c11", "-I", str(self.include), "-x", "c", *arguments]
        result = subprocess.run(command, input=source or self.source, text=True, capture_output=True, check=False)
        if result.returncode != 0:
            sys.exit(f"abi: the headers do not compile\n{result.stderr}")
        return result

    @staticmethod
    def _fields(body):
        for declaration in filter(None, map(squeeze, body.split(";"))):
            function = re.fullmatch(r"(.+?)\(\*(\w+)\)\((.*)\)", declaration)
            if function:
                yield function.group(2), f"{function.group(1).strip()}(*)({without_names(function.group(3))})"
                continue
            first, *more = declaration.split(",")
            kind, name, extent = re.fullmatch(r"(.*[\s*])(\w+)((?:\[.*\])?)", first).groups()
            for name, extent in [(name, extent)] + [re.fullmatch(r"(\w+)((?:\[.*\])?)", m).groups() for m in more]:
                yield name, kind.strip() + extent

    @staticmethod
    def _typedef(declaration):
        declaration = squeeze(declaration)
        function = re.fullmatch(r"(.+?)\(\*(\w+)\)\((.*)\)", declaration)
        if function:
            return function.group(2), f"{function.group(1).strip()}(*)({without_names(function.group(3))})"
        kind, name = re.fullmatch(r"(.*[\s*])(\w+)", declaration).groups()
        return name, kind.strip()

    def version(self):
        text = (self.folder / "base.h").read_text(encoding="utf-8")
        return tuple(int(re.search(rf"#define MNW_ABI_{part} (\d+)u", text).group(1)) for part in ("MAJOR", "MINOR"))

    def _macros(self):
        for path in sorted(self.folder.glob("*.h")):
            text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
            for name, arguments, value in re.findall(r"^#define (\w+)(\([^)]*\))?[ \t]+(\S.*)$", text, re.M):
                if name not in SKIPPED_MACROS:
                    yield f"macro {name} {squeeze(arguments + ' ' + value)}"

    def _rows(self):
        for name, kind in (("ops.def", "op"), ("types.def", "tensor_type")):
            text = (self.folder / name).read_text(encoding="utf-8")
            for row in re.findall(r"^MNW_\w+\(([^)]*)\)", text, re.M):
                first, *rest = [c.strip() for c in row.split(",")]
                yield f"{kind} {first} {' '.join(rest)}"

    def table(self):
        lines = [f'printf("enum {e} {n} %lld\\n", (long long){n});' for e, n in self.enumerators]
        for struct, fields in self.structs.items():
            growth = "grows" if fields[0] == ("size", "uint32_t") or struct.endswith("_params") else "frozen"
            lines.append(f'printf("struct {struct} {growth} %zu\\n", sizeof(struct {struct}));')
            for field, kind in fields:
                member = f"((struct {struct}*)0)->{field}"
                lines.append(f'printf("field {struct} {field} %zu %zu {kind}\\n", offsetof(struct {struct}, {field}), '
                             f"sizeof({member}));")
        program = f"{self.source}#include <stdio.h>\nint main(void) {{\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
        with tempfile.TemporaryDirectory() as folder:
            binary = pathlib.Path(folder) / "dump"
            self._cc("-o", str(binary), "-", source=program)
            measured = subprocess.run([binary], text=True, capture_output=True, check=True).stdout.splitlines()
        typedefs = [f"typedef {name} {kind}" for name, kind in self.typedefs]
        return [*self._macros(), *typedefs, *self._rows(), *measured]


def entries(table):
    """(kind, name) -> the rest, as words; a field's name is that of its struct and its own."""
    result = {}
    for line in table:
        kind, *words = line.split(" ")
        n = 2 if kind in ("field", "enum") else 1
        result[kind, *words[:n]] = words[n:]
    return result


def breaks(old_table, new_table):
    """What the new table takes from those who were built with the old one."""
    old, new = entries(old_table), entries(new_table)
    for key, was in old.items():
        name, now = " ".join(key), new.get(key)
        if now is None:
            yield f"{name} is gone"
        elif key[0] == "op" and was[:VALUE_OF_MAX_INPUTS] == now[:VALUE_OF_MAX_INPUTS]:
            if int(now[3]) < int(was[3]) or now[4:] != was[4:]:
                yield f"{name}: was {' '.join(was)}, is {' '.join(now)}"
        elif key[0] == "struct" and was[0] == now[0] == "grows":
            if int(now[1]) < int(was[1]):
                yield f"{name}: was {was[1]} bytes, is {now[1]}"
        elif now != was:
            yield f"{name}: was {' '.join(was)}, is {' '.join(now)}"
    for key, now in new.items():
        struct = old.get(("struct", key[1]))
        if key[0] != "field" or key in old or struct is None:
            continue
        if struct[0] == "frozen":
            yield f"{' '.join(key)} is new, and {key[1]} is frozen"
        elif int(now[0]) < int(struct[1]):
            yield f"{' '.join(key)} is new at offset {now[0]}, within the {struct[1]} bytes that {key[1]} had"


def read_table(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def check(headers, tables, changelog):
    """What is wrong, as lines."""
    major, minor = headers.version()
    recorded = tables / f"{major}.{minor}.txt"
    if not recorded.is_file():
        yield f"ABI {major}.{minor} has no table: tools/abi.py record"
        return
    if not re.search(rf"^## {major}\.{minor}\b", changelog.read_text(encoding="utf-8"), re.M):
        yield f"{changelog.name} has no section '## {major}.{minor}'"
    old, new = read_table(recorded), headers.table()
    if old != new:
        yield f"the headers are not what {recorded.name} records:"
        yield from difflib.unified_diff(old, new, recorded.name, "headers", lineterm="", n=1)
        if major == 0:
            yield "if that is meant: tools/abi.py record, and a line in CHANGELOG-abi.md"
        else:
            yield "a change must append, raise MNW_ABI_MINOR, and be recorded under the new version"
    if major == 0:
        return  # free to change
    for version in range(minor):
        before, after = tables / f"{major}.{version}.txt", tables / f"{major}.{version + 1}.txt"
        if not before.is_file():
            yield f"the table of {major}.{version} is missing"
            return
        now = read_table(after) if version + 1 < minor else new
        yield from (f"{major}.{version + 1} breaks {major}.{version}: {what}"
                    for what in breaks(read_table(before), now))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("dump", "check", "record"))
    parser.add_argument("--headers", type=pathlib.Path, default=ROOT / "host/include/minnow/abi")
    parser.add_argument("--tables", type=pathlib.Path, default=ROOT / "tests/abi")
    parser.add_argument("--changelog", type=pathlib.Path, default=ROOT / "CHANGELOG-abi.md")
    arguments = parser.parse_args()
    headers = Headers(arguments.headers.resolve())
    major, minor = headers.version()
    if arguments.command == "check":
        wrong = list(check(headers, arguments.tables, arguments.changelog))
        print("\n".join(wrong) or f"ABI {major}.{minor} is as recorded")
        return 1 if wrong else 0
    text = f"# ABI {major}.{minor}, written by tools/abi.py\n" + "\n".join(headers.table()) + "\n"
    if arguments.command == "dump":
        print(text, end="")
        return 0
    path = arguments.tables / f"{major}.{minor}.txt"
    if major > 0 and path.is_file():
        sys.exit(f"abi: {path.name} is recorded and stays; append to the headers and raise MNW_ABI_MINOR")
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
