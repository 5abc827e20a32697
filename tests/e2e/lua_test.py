#!/usr/bin/env python3
"""minnow test and minnow repl from outside: recorded answers, a session in a terminal.

  lua_test.py BUILD_DIR
"""
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = None
TIME_LIMIT_S = 240


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="minnow-lua-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.env = dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache"), TERM="dumb")

    def minnow(self, *arguments, stdin=""):
        return subprocess.run([BUILD / "bin/minnow", *arguments], cwd=self.folder, env=self.env, input=stdin,
                              capture_output=True, text=True, timeout=300, check=False)


class Test(Case):
    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def test_the_example_passes_without_a_model(self):
        shutil.copytree(SOURCE / "examples/triage", self.folder / "triage")
        result = self.minnow("test", "triage/triage_test.lua")
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        self.assertIn("5 passed, 0 failed", result.stdout)

    def test_recording_writes_the_answers_of_the_example(self):
        shutil.copytree(SOURCE / "examples/triage", self.folder / "triage")
        answers = self.folder / "triage/triage_test.answers.jsonl"
        recorded = answers.read_text(encoding="utf-8")
        answers.unlink()
        result = self.minnow("test", "triage/triage_test.lua")
        self.assertEqual(1, result.returncode)
        self.assertIn("minnow test --record triage/triage_test.lua", result.stdout)
        result = self.minnow("test", "--record", "--model-dir", str(SOURCE / "models"), "triage/triage_test.lua")
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)
        self.assertEqual(recorded, answers.read_text(encoding="utf-8"))

    def test_failures_are_told_with_place_and_path(self):
        self.write("x_test.lua", "describe('a', function()\n  it('b', function() assert.equal(1, 2) end)\nend)\n"
                                 "it('c', function() end)\npending 'd'\n")
        result = self.minnow("test", "x_test.lua")
        self.assertEqual(1, result.returncode)
        self.assertIn("failed  a > b\n", result.stdout)
        self.assertIn("x_test.lua:2: assert: should be equal\n    expected: 1\n    got:      2\n", result.stdout)
        self.assertIn("1 passed, 1 failed, 1 pending", result.stdout)
        lines = [json.loads(line) for line in self.minnow("test", "--json", "x_test.lua").stdout.splitlines()]
        self.assertEqual(["failed", "passed", "pending"], [line["status"] for line in lines])
        self.assertEqual(["a", "b"], lines[0]["path"])
        self.assertEqual(0, self.minnow("test", "--filter", "^c$", "x_test.lua").returncode)

    def test_wrong_use_is_a_usage_error(self):
        self.write("x_test.lua", "it('c', function() end)\n")
        self.assertEqual(2, self.minnow("test", "missing_test.lua").returncode)
        self.assertEqual(2, self.minnow("test", "--filter", "nothing", "x_test.lua").returncode)
        self.assertEqual(2, self.minnow("test").returncode)

    def test_a_file_that_cannot_be_read_fails_and_the_others_run(self):
        self.write("x_test.lua", "local = 1\n")
        self.write("y_test.lua", "it('c', function() end)\n")
        result = self.minnow("test", "x_test.lua", "y_test.lua")
        self.assertEqual(1, result.returncode)
        self.assertIn("1 passed, 1 failed", result.stdout)


class Repl(Case):
    def test_reads_lines_from_a_pipe(self):
        result = self.minnow("repl", "--model-dir", str(SOURCE / "models"), "--model", "minnow-demo",
                             stdin="1 + 1\nfor i = 1, 2 do\n  print(i)\nend\nslm.name\n#slm:tokenize 'a b' > 0\n")
        self.assertEqual((0, ""), (result.returncode, result.stderr))
        self.assertEqual('2\n1\n2\n"Minnow Demo"\ntrue\n', result.stdout)

    def test_a_line_that_fails_shows_in_the_exit_code(self):
        result = self.minnow("repl", stdin="error 'no'\n1\nf(")
        self.assertEqual(1, result.returncode)
        self.assertEqual("1\n", result.stdout)
        self.assertIn("repl:1: no", result.stderr)
        self.assertIn("<eof>", result.stderr)

    def test_a_model_that_is_not_there_ends_it(self):
        self.assertEqual(2, self.minnow("repl", "--model", "no-such", stdin="1\n").returncode)

    def test_in_a_terminal_ctrl_c_ends_the_call_and_ctrl_d_the_session(self):
        session = Terminal([str(BUILD / "bin/minnow"), "repl"], self.folder, self.env)
        self.addCleanup(session.close)
        session.expect("> ")
        session.send("x = 6 * 7\nx\n")
        session.expect("42")
        session.expect("> ")
        session.send("print 'begun' while true do end\n")
        session.expect("begun\r\n")
        session.send("\x03")
        session.expect("interrupted")
        session.expect("> ")
        session.send("print 'waits' minnow.sleep(1000)\n")
        session.expect("waits\r\n")
        session.send("\x03")
        session.expect("interrupted")
        session.expect("> ")
        session.send("this is dropped")
        session.expect("dropped")
        session.send("\x03")
        session.expect("> ")
        session.send("'Sm\u00f8rrebr\u00f8d', x + 1\n")
        session.expect('"Sm\u00f8rrebr\u00f8d"\r\n43')
        session.expect("> ")
        session.send("\x04")
        self.assertEqual(0, session.wait())
        self.assertIn("6 * 7", (self.folder / "cache/minnow/repl_history").read_text().replace("\\040", " "))


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, command, folder, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(command[0], command, env)
        self.bytes = b""
        self.status = None

    @property
    def seen(self):
        return self.bytes.decode(errors="replace")

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text):
        """Waits until `text` has been shown, after all that was expected before."""
        end = time.monotonic() + TIME_LIMIT_S
        while text not in self.seen:
            if not self.read_until(end):
                raise AssertionError(f"ended without {text!r}: {self.seen!r}")
        self.bytes = self.bytes[self.bytes.index(text.encode()) + len(text.encode()):]

    def read_until(self, end):
        """Reads some more; false when the program has ended."""
        if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            raise AssertionError(f"nothing for {TIME_LIMIT_S} s after {self.seen!r}")
        try:
            more = os.read(self.fd, 4096)
        except OSError:  # the other end is closed
            return False
        self.bytes += more
        return bool(more)

    def wait(self):
        end = time.monotonic() + TIME_LIMIT_S
        while self.read_until(end):
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
