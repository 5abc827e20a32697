#!/usr/bin/env python3
"""The commands and snippets of docs/*.md run, and end with 0.

  docs_test.py BUILD_DIR

Of a page, every block that is marked ```sh and begins with one of COMMANDS, and every block that is marked ```python:
one after the other, in one shell, so that a page is a session; in a copy of what the pages name (examples, models,
protos). Blocks that need gRPC's Python run where that is; grpcurl.py stands in for grpcurl.
"""
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = None
COMMANDS = ("minnow ", "grpcurl ", "curl ", "mkdir ", "head ", "kill ", "python3 ", "until ")
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```", re.M | re.S)
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
    """(language, text) of the blocks that are to run."""
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python" or text.lstrip().startswith(COMMANDS):
            yield language, text


def session(blocks, folder):
    """One script of all blocks, each announced, so that a failure tells where it was."""
    lines = ["set -e"]
    for i, (language, text) in enumerate(blocks):
        lines.append(f"printf '%s\\n' {shlex.quote(f'--- {text}')}")
        if language == "sh":
            lines.append(text)
        else:
            file = pathlib.Path(folder, f"block{i}.py")
            file.write_text(text, encoding="utf-8")
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
        blocks = list(blocks_of(page))
        self.assertTrue(blocks, f"{page} shows no command")
        python = python_with_grpc()
        if python is None and any("grpc" in text for _, text in blocks):
            self.skipTest(f"{page.name} needs python3-grpcio and python3-protobuf")
        with tempfile.TemporaryDirectory(prefix="minnow-docs-") as name:
            folder = pathlib.Path(name)
            for part in ("examples", "models", "scripts", "proto"):
                shutil.copytree(SOURCE / part, folder / part, ignore=shutil.ignore_patterns("*_pb2*.py"))
            if python:
                add_clients(folder, python)
            env = dict(os.environ, PATH=f"{BUILD / 'bin'}:{folder / 'bin'}:{os.environ['PATH']}",
                       XDG_CACHE_HOME=f"{folder}/cache")
            script = session(blocks, folder)
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
    for path in sorted((SOURCE / "docs").glob("*.md")):
        setattr(Docs, f"test_{path.stem}", page_test(path))
    unittest.main()
