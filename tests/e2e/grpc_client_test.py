#!/usr/bin/env python3
"""examples/grpc_client/extract_client.py against a served model: what it says of records and refusals.

  grpc_client_test.py BUILD_DIR

Skips, saying so, where Python has no gRPC or protoc no plugin for it. That the others end well is docs_test.py's.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from docs_test import free_ports, python_with_grpc

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = SOURCE / "examples/triage/documents/001.txt"
BUILD = None


class GrpcClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.python, plugin = python_with_grpc(), shutil.which("grpc_python_plugin")
        if not cls.python or not plugin:
            raise unittest.SkipTest("needs python3-grpcio, python3-protobuf and protobuf-compiler-grpc")
        cls.folder = tempfile.TemporaryDirectory(prefix="minnow-clients-")
        cls.clients = pathlib.Path(cls.folder.name) / "clients"
        shutil.copytree(SOURCE / "examples/grpc_client", cls.clients)
        protos = [*(SOURCE / "proto/minnow/v1").glob("*.proto"), *(SOURCE / "proto/google/rpc").glob("*.proto")]
        subprocess.run(["protoc", "-I", SOURCE / "proto", f"--python_out={cls.clients}", f"--grpc_out={cls.clients}",
                        f"--plugin=protoc-gen-grpc={plugin}", *protos], check=True)
        cls.port = free_ports(1)[0]
        cls.log = open(pathlib.Path(cls.folder.name) / "log", "w+", encoding="utf-8")
        environment = dict(os.environ, XDG_CACHE_HOME=f"{cls.folder.name}/cache")
        cls.server = subprocess.Popen(
            [BUILD / "bin/minnow", "serve", "--model", f"demo={SOURCE}/models/minnow-demo.Q8_0.gguf", "--listen",
             f"127.0.0.1:{cls.port}"], stdout=cls.log, stderr=cls.log, env=environment)
        for _ in range(1200):  # a loaded machine
            cls.log.seek(0)
            if "ready" in cls.log.read():
                return
            if cls.server.poll() is not None:
                break
            time.sleep(0.1)
        cls.log.seek(0)
        raise AssertionError(f"the server does not serve: {cls.log.read()}")

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.wait(timeout=60)
        cls.log.close()
        cls.folder.cleanup()

    def run_client(self, name, *arguments):
        return subprocess.run([self.python, self.clients / name, "--to", f"127.0.0.1:{self.port}", *arguments],
                              capture_output=True, text=True, check=False, timeout=300)

    def test_a_record_has_its_fields_and_where_they_stand(self):
        result = self.run_client("extract_client.py", DOCUMENT)
        self.assertEqual(0, result.returncode, result.stderr)
        first, *fields = result.stdout.splitlines()
        record = json.loads(first)
        self.assertEqual(["company", "date", "total"], list(record))
        text = DOCUMENT.read_text(encoding="utf-8")
        lines = text.splitlines()
        self.assertEqual(3, len(fields))
        for (name, value), field in zip(record.items(), fields):
            pointer, confidence, rest = field.split(maxsplit=2)
            self.assertEqual(f"/{name}", pointer)
            self.assertTrue(0 <= float(confidence) <= 1, field)
            self.assertIn(value, text)
            line = int(rest.removeprefix("line ").split(",")[0].split()[0])
            self.assertIn(value.splitlines()[0], lines[line - 1])

    def test_a_schema_that_is_refused_is_told_by_its_place(self):
        schema = pathlib.Path(self.folder.name) / "s.json"
        schema.write_text('{"type": "object", "properties": {"a": {"type": "strange"}}}', encoding="utf-8")
        result = self.run_client("extract_client.py", "--schema", schema, DOCUMENT)
        self.assertEqual(1, result.returncode)
        self.assertIn("schema: ", result.stderr)
        self.assertIn("/properties/a/type", result.stderr)
        self.assertIn("INVALID_ARGUMENT", result.stderr)

    def test_another_schema_may_be_given(self):
        schema = pathlib.Path(self.folder.name) / "kind.json"
        schema.write_text('{"enum": ["receipt", "letter"]}', encoding="utf-8")
        result = self.run_client("extract_client.py", "--schema", schema, DOCUMENT)
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertIn(json.loads(result.stdout.splitlines()[0]), ["receipt", "letter"])


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
