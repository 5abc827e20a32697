#!/usr/bin/env python3
"""The commands and snippets of docs/*.md, and the Lua of README.md, run and end with 0.

  docs_test.py BUILD_DIR

Of a page, every block that is marked ```sh and begins with one of COMMANDS, and every block that is marked ```python
or ```lua (tests/lua/blocks.py): one after the other, in one shell, so that a page is a session; in a copy of what the pages name (examples, models,
protos). Blocks that need gRPC's Python run where that is; grpcurl.py stands in for grpcurl.
"""
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/lua"))
from blocks import blocks  # noqa: E402

BUILD = None
COMMANDS = ("minnow ", "grpcurl ", "curl ", "mkdir ", "head ", "kill ", "python3 ", "until ")
PORTS = ("50051", "9090")  # the pages' own, which may be taken here


def python_with_grpc():
    for python in (sys.executable, "/usr/bin/python3"):
        if shutil.which(python) and subprocess.run([python, "-c", "import grpc, google.protobuf"], check=False,
                                                   capture_output=True).returncode == 0:
            return python
    return None


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [str(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Docs(unittest.TestCase):
    pass


def blocks_of(page):
    """The blocks that are to run."""
    for block in blocks(page):
        if os.environ.get("MINNOW_SANITIZED") and "--untrusted" in block.text:
            continue  # a sanitizer asks the system for more than a confined process may have
        if block.language == "lua" or page.name != "README.md" and (
                block.language == "python" or block.text.lstrip().startswith(COMMANDS)):
            yield block


def lua_command(block, folder):
    """What runs a Lua block, whose file is then there, as what it is: a pipeline, tests, a script."""
    name = block.file or f"snippet{block.line}.lua"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text if block.file else block.pipeline, encoding="utf-8")
    if name.endswith("_test.lua"):
        return f"minnow test --record --model-dir models {name}"
    if "minnow.pipeline {" in path.read_text(encoding="utf-8"):
        return f"minnow batch {name} --model-dir models --input examples/triage/documents --limit 1 --output -"
    return f"minnow run --model-dir models {name}"


def session(page_blocks, folder):
    """One script of all blocks, each announced, so that a failure tells where it was."""
    lines = ["set -e"]
    for i, block in enumerate(page_blocks):
        lines.append(f"printf '%s\\n' {shlex.quote(f'--- line {block.line}: {block.text}')}")
        if block.language == "sh":
            lines.append(block.text)
        elif block.language == "lua":
            lines.append(lua_command(block, folder))
        else:
            file = folder / f"block{i}.py"
            file.write_text(block.text, encoding="utf-8")
            lines.append(f"python3 {file}")
    return "\n".join(lines)


def add_clients(folder, python):
    """grpcurl, and a python3 that has gRPC, in folder/bin."""
    protos = folder / "reflection.bin"
    subprocess.run(["protoc", "-I", SOURCE / "proto", f"--descriptor_set_out={protos}", "--include_imports",
                    "grpc/reflection/v1/reflection.proto"], check=True)
    commands = {"python3": python, "grpcurl": f"env REFLECTION={protos} {python} {SOURCE}/tests/e2e/grpcurl.py"}
    (folder / "bin").mkdir()
    for name, command in commands.items():
        file = folder / "bin" / name
        file.write_text(f"#!/bin/sh\nexec {command} \"$@\"\n")
        file.chmod(0o755)


def page_test(page):
    def test(self):
        page_blocks = list(blocks_of(page))
        self.assertTrue(page_blocks, f"{page} shows nothing that runs")
        python = python_with_grpc()
        if python is None and any("grpc" in block.text for block in page_blocks):
            self.skipTest(f"{page.name} needs python3-grpcio and python3-protobuf")
        with tempfile.TemporaryDirectory(prefix="minnow-docs-") as name:
            folder = pathlib.Path(name)
            for part in ("examples", "models", "scripts", "proto"):
                shutil.copytree(SOURCE / part, folder / part, ignore=shutil.ignore_patterns("*_pb2*.py"))
            if python:
                add_clients(folder, python)
            env = dict(os.environ, PATH=f"{BUILD / 'bin'}:{folder / 'bin'}:{os.environ['PATH']}",
                       XDG_CACHE_HOME=f"{folder}/cache")
            script = session(page_blocks, folder)
            for theirs, ours in zip(PORTS, free_ports(len(PORTS))):
                script = script.replace(f"127.0.0.1:{theirs}", f"127.0.0.1:{ours}")
                for file in folder.glob("block*.py"):
                    file.write_text(file.read_text().replace(f"127.0.0.1:{theirs}", f"127.0.0.1:{ours}"))
            with open(folder / "log", "w+", encoding="utf-8") as log:
                shell = subprocess.Popen(["sh", "-c", script], cwd=folder, env=env, stdout=log, stderr=log,
                                         start_new_session=True)
                try:
                    code = shell.wait(timeout=300)
                finally:
                    try:  # what the page left running
                        os.killpg(shell.pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                log.seek(0)
                self.assertEqual(0, code, f"{page.name}:\n{log.read()}")
    return test


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    for path in [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]:
        if any(blocks(path)):
            setattr(Docs, f"test_{path.stem}", page_test(path))
    unittest.main()
