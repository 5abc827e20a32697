#!/usr/bin/env python3
"""Batches of several workers over a PostgreSQL server that this test starts for itself.

  postgres_test.py BUILD_DIR

Skips, saying so, where no server is installed (Debian and Ubuntu: apt-get install postgresql).
"""
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import batch_test

N_DOCUMENTS = 600


def server_programs():
    """The folder of initdb and pg_ctl, which distributions keep off PATH."""
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: -float(p.parent.name))
    on_path = shutil.which("pg_ctl")
    return next((f for f in folders if (f / "pg_ctl").exists()), pathlib.Path(on_path).parent if on_path else None)


class Server:
    """On a socket in a folder of its own; a server refuses to run as root."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="minnow-pg-"))
        self.programs = server_programs()
        self.user = None
        if os.geteuid() == 0:
            self.user = next((u for u in ("postgres", "nobody") if self._exists(u)), None)
            shutil.chown(self.dir, self.user)
        self._run("initdb", "-D", self.dir / "data", "-A", "trust", "-U", "minnow", "--no-sync")
        self.start()

    @staticmethod
    def _exists(user):
        try:
            return bool(pwd.getpwnam(user))
        except KeyError:
            return False

    def _run(self, program, *arguments):
        subprocess.run([self.programs / program, *arguments], check=True, stdout=subprocess.DEVNULL, user=self.user,
                       extra_groups=[] if self.user else None, cwd=self.dir)

    def start(self):
        self._run("pg_ctl", "-D", self.dir / "data", "-w", "-l", self.dir / "log", "-o",
                  f"-k {self.dir} -c listen_addresses= -c fsync=off", "start")

    def stop(self, mode="fast"):
        self._run("pg_ctl", "-D", self.dir / "data", "-w", "-m", mode, "stop")

    def close(self):
        self.stop("immediate")
        shutil.rmtree(self.dir)

    @property
    def url(self):
        return f"postgresql:///postgres?host={self.dir}&user=minnow"


@unittest.skipUnless(server_programs(), "no PostgreSQL server is installed (apt-get install postgresql)")
class Postgres(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="minnow-batch-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.input = self.dir / "in.jsonl"
        batch_test.Batch.write_input(self, N_DOCUMENTS)
        self.pipeline = self.dir / "p.lua"
        self.pipeline.write_text(batch_test.PIPELINE)
        self.out = self.dir / "out.jsonl"
        self.run_name = self.id()

    def command(self, *more, worker=False):
        role = ["--worker"] if worker else ["--input", self.input, "--output", self.out]
        return [batch_test.BUILD / "bin/minnow", "batch", self.pipeline, *role, "--queue", self.server.url, "--run",
                self.run_name, "--jobs", "8", "--lease", "2", *more]

    def start(self, *more, worker=False, crash=None):
        env = dict(os.environ, XDG_CACHE_HOME=str(self.dir / "cache"))
        if crash:
            env["MINNOW_CRASH_AT"] = crash
        return subprocess.Popen(self.command(*more, worker=worker), env=env, stderr=subprocess.PIPE, text=True)

    def finish(self, process, code):
        errors = process.communicate(timeout=120)[1]
        self.assertEqual(code, process.returncode, errors)
        return errors

    def reference(self):
        out = self.dir / "ref.jsonl"
        subprocess.run([batch_test.BUILD / "bin/minnow", "batch", self.pipeline, "--input", self.input, "--output", out],
                       stderr=subprocess.DEVNULL, check=False)
        return out.read_bytes()

    def wait_for_records(self, n):
        deadline = time.time() + 60
        while not self.out.exists() or self.out.read_bytes().count(b"\n") < n:
            self.assertLess(time.time(), deadline)
            time.sleep(0.02)

    def test_gives_the_bytes_of_a_run_without_a_server(self):
        self.finish(self.start(), 1)
        self.assertEqual(self.reference(), self.out.read_bytes())
        self.finish(self.start(), 1)  # again: nothing to do
        self.assertEqual(self.reference(), self.out.read_bytes())

    def test_two_workers_share_a_run(self):
        main = self.start()
        self.wait_for_records(1)
        helper = self.start(worker=True)
        self.finish(main, 1)
        helped = helper.communicate(timeout=60)[1]
        self.assertRegex(helped, r"[1-9]\d* documents")
        self.assertEqual(self.reference(), self.out.read_bytes())

    def test_a_worker_that_slept_beyond_its_lease_doubles_nothing(self):
        # The helper holds documents when it is stopped; it wakes when they are long done by another.
        main = self.start("--max-crashes", "0")
        self.wait_for_records(1)
        helper = self.start("--max-crashes", "0", worker=True)
        time.sleep(0.4)
        helper.send_signal(signal.SIGSTOP)
        self.finish(main, 1)
        want = self.out.read_bytes()
        helper.send_signal(signal.SIGCONT)
        helper.communicate(timeout=60)
        self.assertEqual(self.reference(), want)
        self.assertEqual(want, self.out.read_bytes())

    def test_killed_workers_lose_nothing(self):
        for round_ in range(8):
            process = self.start("--max-crashes", "0")
            time.sleep(0.15 + 0.08 * round_)
            process.kill()
            process.communicate()
        self.finish(self.start(), 1)
        self.assertEqual(self.reference(), self.out.read_bytes())

    def test_killed_at_each_named_point(self):
        want = self.reference()
        for point in ("batch.fed", "batch.claimed", "batch.completed", "batch.written", "batch.synced", "batch.settled"):
            self.run_name = point
            self.out = self.dir / f"{point}.jsonl"
            self.start("--max-crashes", "0", crash=f"{point}:2").communicate()
            self.finish(self.start(), 1)
            self.assertEqual(want, self.out.read_bytes(), point)

    def test_a_server_that_restarts_is_waited_for(self):
        process = self.start()
        self.wait_for_records(20)
        self.server.stop()
        time.sleep(0.5)
        self.server.start()
        errors = self.finish(process, 1)
        self.assertIn("trying again", errors)
        self.assertEqual(self.reference(), self.out.read_bytes())

    def test_runs_are_not_mixed(self):
        self.finish(self.start("--limit", "20"), 1)
        self.assertIn("the selection is", self.finish(self.start("--limit", "30"), 3))
        self.pipeline.write_text(batch_test.PIPELINE + "-- changed")
        self.assertIn("pipeline is", self.finish(self.start("--limit", "20"), 3))

    def test_one_process_writes(self):
        main = self.start()
        self.wait_for_records(1)
        self.assertIn("--worker", self.finish(self.start(), 3))
        self.finish(main, 1)

    def test_bad_commands_are_told(self):
        self.assertIn("no run", self.finish(self.start(worker=True), 2))
        command = self.command()
        command[command.index("--queue") + 1] = "postgresql://nobody@/x?host=/nowhere&password=secret"
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertIn("/nowhere", result.stderr)
        self.assertNotIn("secret", result.stderr)


if __name__ == "__main__":
    batch_test.BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
