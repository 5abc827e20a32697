#!/usr/bin/env python3
"""Batches that are killed, starved and misled: nothing is lost, doubled or different afterwards.

  batch_test.py BUILD_DIR [--kills N]

Documents and pipelines need no model. The oracle is the output of a run that nobody disturbed: after whatever happened,
the same command again must give the same bytes.
"""
import argparse
import csv
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = None
not_sanitized = unittest.skipIf(os.environ.get("MINNOW_SANITIZED"),
                                "a sanitizer takes memory, and asks the system for more than a confined process may have")
SOURCE = pathlib.Path(__file__).resolve().parents[2]
KILLS = 40
N_DOCUMENTS = 400

# Slow enough to be killed in the middle, with results and failures that follow from the text alone.
PIPELINE = """
local minnow = require "minnow"
return minnow.pipeline {
  name = "test",
  run = function(doc)
    minnow.sleep((#doc.text % 7) / 1000)
    if doc.text:find("bad", 1, true) then error("a bad one") end
    return { length = #doc.text, head = doc.text:sub(1, 5) }
  end,
}
"""
# For strangers' pipelines: answers of the model in the box, failures, and lines for people.
ASKING = """
local minnow = require "minnow"
local m = minnow.model "minnow-demo"
return minnow.pipeline {
  name = "asking",
  run = function(doc)
    minnow.log.warn("seen")
    if doc.text:find("bad", 1, true) then error("a bad one") end
    return {
      kind = m:classify(doc, "Is it long?", { "yes", "no" }),
      answer = m:ask(doc, "What is it?", { max_tokens = 6, temperature = 0.7, seed = 3, logprobs = 2 }),
      score = m:score(doc.text, { "x", "xx" }),
      third = 1 / 3,
    }
  end,
}
"""
CRASH_POINTS = ["batch.claimed", "batch.completed", "batch.written", "batch.synced", "batch.settling", "batch.settled"]


class Batch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="minnow-batch-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.input = self.dir / "in.jsonl"
        self.write_input(N_DOCUMENTS)
        self.pipeline = self.dir / "p.lua"
        self.pipeline.write_text(PIPELINE)

    def write_input(self, n):
        rng = random.Random(7)
        with open(self.input, "w", encoding="utf-8") as out:
            for i in range(n):
                text = "bad" if i % 37 == 5 else "x" * rng.randrange(1, 400)
                out.write(json.dumps({"id": f"d{i}", "text": text}) + "\n")

    def command(self, out, *more):
        return [BUILD / "bin/minnow", "batch", self.pipeline, "--input", self.input, "--output", out,
                *([] if "--jobs" in more else ["--jobs", "8"]), *more]

    def run_batch(self, out, *more, crash=None, code=None, **options):
        env = dict(os.environ, XDG_CACHE_HOME=str(self.dir / "cache"))
        if crash:
            env["MINNOW_CRASH_AT"] = crash
        result = subprocess.run(self.command(out, *more), env=env, capture_output=True, text=True, timeout=120,
                                check=False, **options)
        if code is not None:
            self.assertEqual(code, result.returncode, result.stderr)
        return result

    def reference(self, name="ref.jsonl"):
        out = self.dir / name
        self.run_batch(out, code=1)
        return out.read_bytes()

    def test_a_finished_run_is_not_run_again(self):
        want = self.reference()
        records = [json.loads(line) for line in want.decode().splitlines()]
        self.assertEqual([f"d{i}" for i in range(N_DOCUMENTS)], [r["id"] for r in records])
        again = self.run_batch(self.dir / "ref.jsonl", code=1)
        self.assertIn(f"{N_DOCUMENTS}/", again.stderr.replace(" documents", "/"))
        self.assertEqual(want, (self.dir / "ref.jsonl").read_bytes())

    def test_killed_at_random_moments(self):
        for name in ("out.jsonl", "out.jsonl.zst"):
            want = self.reference("ref-" + name)
            rng = random.Random(11)
            kills = rounds = 0
            while kills < KILLS // 2:
                out = self.dir / f"{rounds}-{name}"
                rounds += 1
                while True:
                    process = subprocess.Popen(self.command(out), stderr=subprocess.DEVNULL,
                                               env=dict(os.environ, XDG_CACHE_HOME=str(self.dir / "cache")))
                    try:
                        process.wait(rng.uniform(0.02, 0.6))
                        self.assertEqual(1, process.returncode)
                        break
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                        kills += 1
                self.assertEqual(want, out.read_bytes())

    def test_killed_at_each_named_point(self):
        want = self.reference()
        for point in CRASH_POINTS:
            for passage in (1, 2, 40):
                out = self.dir / f"{point}-{passage}.jsonl"
                self.run_batch(out, "--max-crashes", "0", crash=f"{point}:{passage}")
                # And once more while it recovers.
                self.run_batch(out, "--max-crashes", "0", crash="batch.truncated")
                self.run_batch(out, "--max-crashes", "0", crash=f"{point}:1")
                self.run_batch(out, code=1)
                self.assertEqual(want, out.read_bytes(), f"{point}:{passage}")

    def test_a_document_that_kills_the_process_costs_itself_alone(self):
        want = self.reference().decode().splitlines()
        out = self.dir / "out.jsonl"
        result = self.run_batch(out, crash="batch.document.d100", code=1)
        self.assertIn("died of SIGKILL", result.stderr)
        got = out.read_text().splitlines()
        self.assertEqual(want[:100] + want[101:], got[:100] + got[101:])
        self.assertIn("died 3 times", json.loads(got[100])["error"]["message"])

    def test_a_lost_device_is_begun_again_where_it_was(self):
        self.pipeline.write_text("""
            local minnow = require "minnow"
            local slm = minnow.model "minnow-demo"
            return minnow.pipeline { name = "kinds", run = function(doc)
              return slm:classify(doc, "What kind of document is this?", { "receipt", "invoice", "letter" }) end }""")
        self.input = SOURCE / "examples" / "triage" / "documents"
        device = ["--plugin-dir", BUILD / "tests" / "plugins", "--device", "losing", "--device", "cpu",
                  "--model-dir", SOURCE / "models", "--jobs", "1"]
        self.run_batch(self.dir / "ref.jsonl", *device, code=0)
        os.environ["MINNOW_TEST_LOSE_AT"] = "20"
        self.addCleanup(os.environ.pop, "MINNOW_TEST_LOSE_AT")
        lost = self.run_batch(self.dir / "out.jsonl", *device, code=0)
        self.assertIn("the batch ended with code 75; it is begun again where it was", lost.stderr)
        self.assertEqual((self.dir / "ref.jsonl").read_bytes(), (self.dir / "out.jsonl").read_bytes())

    def test_an_interrupt_keeps_what_is_complete(self):
        want = self.reference()
        out = self.dir / "out.jsonl"
        for sent, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            written = out.stat().st_size if out.exists() else 0
            process = subprocess.Popen(self.command(out), stderr=subprocess.DEVNULL)
            while process.poll() is None and (not out.exists() or out.stat().st_size <= written):
                time.sleep(0.02)
            process.send_signal(sent)
            self.assertIn(process.wait(30), (code, 1))
        self.run_batch(out, code=1)
        self.assertEqual(want, out.read_bytes())

    def test_a_full_disk_ends_it_and_loses_nothing(self):
        want = self.reference()
        out = self.dir / "out.jsonl"

        def small():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))

        result = self.run_batch(out, preexec_fn=small, code=3)
        self.assertRegex(result.stderr, "cannot write the output|database .* (full|disk I/O error)")
        self.run_batch(out, code=1)
        self.assertEqual(want, out.read_bytes())

    @not_sanitized
    def test_an_untrusted_pipeline_gives_the_same_bytes(self):
        self.write_input(60)
        self.pipeline.write_text(ASKING)
        models = pathlib.Path(__file__).resolve().parents[2] / "models"
        trusted, untrusted = self.dir / "trusted.jsonl", self.dir / "untrusted.jsonl"
        for out, more in ((trusted, []), (untrusted, ["--untrusted"])):
            result = self.run_batch(out, "--model-dir", models, *more, code=1)
            self.assertIn("d1: seen", result.stderr)
        self.assertEqual(trusted.read_bytes(), untrusted.read_bytes())
        self.assertEqual(60, len(trusted.read_text().splitlines()))

    @not_sanitized
    def test_an_untrusted_pipeline_runs_in_a_confined_process_that_ends_with_the_batch(self):
        self.pipeline.write_text(PIPELINE.replace("(#doc.text % 7) / 1000", "600"))
        # Without a supervisor, whose child the batch would be.
        command = [*self.command(self.dir / "out.jsonl"), "--untrusted", "--max-crashes", "0"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as batch:
            try:
                script = pathlib.Path("/proc", self.child_of(batch.pid))
                self.wait_until(lambda: "\nSeccomp:\t2\n" in (script / "status").read_text())
                self.assertIn("\nNoNewPrivs:\t1\n", (script / "status").read_text())
            finally:
                batch.kill()
        # Whoever adopts it may leave it unburied.
        self.wait_until(lambda: not script.exists() or ") Z " in (script / "stat").read_text())

    def child_of(self, pid):
        found = []

        def look():
            for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if pathlib.Path("/proc", child, "comm").read_text() == "minnow-script\n":
                    found.append(child)
            return found

        self.wait_until(look)
        return found[0]

    def wait_until(self, holds):
        deadline = time.monotonic() + 60
        while not holds():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    @not_sanitized
    def test_an_untrusted_pipeline_opens_no_paths(self):
        model = pathlib.Path(__file__).resolve().parents[2] / "models/minnow-demo.Q8_0.gguf"
        self.pipeline.write_text(f'require "minnow".model "{model}"')
        result = self.run_batch(self.dir / "out.jsonl", "--untrusted", code=2)
        self.assertIn("an untrusted script opens what is in the model folders", result.stderr)

    def test_a_closed_pipe_ends_it_by_name(self):
        process = subprocess.Popen(self.command("-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        process.stderr.close()
        self.assertEqual(3, process.wait(60), errors)
        self.assertIn("cannot write the output: Broken pipe", errors)

    def test_runs_are_not_mixed(self):
        out = self.dir / "out.jsonl"
        self.run_batch(out, "--limit", "50", code=1)
        done = out.read_bytes()
        for options, what in ((["--limit", "60"], "the selection is"), (["--limit", "50", "--kv-type", "f32"], "cache")):
            self.assertIn(what, self.run_batch(out, *options, code=3).stderr)
        self.pipeline.write_text(PIPELINE.replace("#doc.text,", "1,"))
        self.assertIn("pipeline is", self.run_batch(out, "--limit", "50", code=3).stderr)
        self.assertEqual(done, out.read_bytes())
        self.run_batch(out, "--limit", "50", "--overwrite", code=1)
        self.assertEqual(1, json.loads(out.read_text().splitlines()[0])["result"]["length"])

    def test_a_module_that_changed_is_seen_though_it_is_required_late(self):
        self.pipeline.write_text(PIPELINE.replace("minnow.sleep", "require 'late'; minnow.sleep"))
        (self.dir / "late.lua").write_text("return 1")
        out = self.dir / "out.jsonl"
        self.run_batch(out, "--max-crashes", "0", crash="batch.completed:50")
        (self.dir / "late.lua").write_text("return 2")
        self.assertIn("module late is", self.run_batch(out, code=3).stderr)

    def test_changed_input_is_named(self):
        out = self.dir / "out.jsonl"
        want = self.reference()
        shutil.copy(self.dir / "ref.jsonl", out)
        shutil.copy(self.dir / "ref.jsonl.journal", self.dir / "out.jsonl.journal")
        lines = self.input.read_text().splitlines()
        self.input.write_text("\n".join(lines[:-1]) + "\n")
        self.assertIn(f"has {N_DOCUMENTS - 1} documents", self.run_batch(out, code=3).stderr)
        self.input.write_text("\n".join(lines[:9] + [lines[9].replace("x", "y", 1)] + lines[10:]) + "\n")
        self.assertIn("document 'd9' (number 10)", self.run_batch(out, code=3).stderr)
        self.assertEqual(want, out.read_bytes())
        self.input.write_text("\n".join(lines + ['{"id": "new", "text": "abc"}']) + "\n")
        self.run_batch(out, code=1)
        self.assertEqual(want, out.read_bytes()[:len(want)])
        self.assertEqual("new", json.loads(out.read_bytes()[len(want):])["id"])

    def test_an_output_that_is_not_ours_is_left_alone(self):
        out = self.dir / "out.jsonl"
        out.write_text("precious\n")
        self.assertIn("--overwrite", self.run_batch(out, code=2).stderr)
        self.assertEqual("precious\n", out.read_text())
        self.reference()
        (self.dir / "ref.jsonl").write_text("cut\n")
        self.assertIn("is not what this run wrote", self.run_batch(self.dir / "ref.jsonl", code=3).stderr)

    def test_shards_are_the_whole(self):
        want = self.reference().decode().splitlines()
        got = {}
        for i in (1, 2, 3):
            out = self.dir / f"{i}.jsonl"
            self.run_batch(out, "--shard", f"{i}/3")
            got[i] = [json.loads(line) for line in out.read_text().splitlines()]
        merged = [got[i % 3 + 1][i // 3] for i in range(N_DOCUMENTS)]
        for a, b in zip((json.loads(line) for line in want), merged):
            self.assertEqual(a, b)
        self.assertIn("--shard", self.run_batch(self.dir / "x", "--shard", "4/3", code=2).stderr)

    def test_a_sample_is_the_same_each_time(self):
        for name in ("a", "b"):
            self.run_batch(self.dir / name, "--sample", "0.2")
        self.assertEqual((self.dir / "a").read_bytes(), (self.dir / "b").read_bytes())
        self.assertTrue(40 <= len((self.dir / "a").read_text().splitlines()) <= 120)

    def test_too_many_errors_stop_it_and_it_can_go_on(self):
        want = self.reference()
        out = self.dir / "out.jsonl"
        self.assertIn("--max-errors", self.run_batch(out, "--max-errors", "3", code=3).stderr)
        self.run_batch(out, code=1)
        self.assertEqual(want, out.read_bytes())

    def test_csv_gives_what_jsonl_gives(self):
        want = self.reference()
        rows = [json.loads(line) for line in self.input.read_text().splitlines()]
        self.input = self.dir / "in.csv"
        with open(self.input, "w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, ["id", "text"])
            writer.writeheader()
            writer.writerows(rows)
        out = self.dir / "csv.jsonl"
        self.run_batch(out, code=1)
        for a, b in zip(want.decode().splitlines(), out.read_text().splitlines()):
            self.assertEqual(json.loads(a).get("result"), json.loads(b).get("result"))
        self.input.write_text('id,text\n1,"a ""quoted"", line\nand more"\n2,a "b"\n3\n')
        self.run_batch(self.dir / "odd.jsonl", code=1)
        odd = [json.loads(line) for line in (self.dir / "odd.jsonl").read_text().splitlines()]
        self.assertEqual(len('a "quoted", line\nand more'), odd[0]["result"]["length"])
        self.assertIn("row 2: a quote stands inside a field", odd[1]["error"]["message"])
        self.assertIn("1 fields for 2 columns", odd[2]["error"]["message"])

    def test_a_report_counts_what_the_output_holds(self):
        report = self.dir / "report.html"
        self.run_batch(self.dir / "out.jsonl.zst", "--report", report, code=1)
        page = report.read_text()
        failed = sum(1 for i in range(N_DOCUMENTS) if i % 37 == 5)
        self.assertIn(f"<tr><th>documents</th><td>{N_DOCUMENTS}</td></tr>", page)
        self.assertIn(f"<tr><th>failed</th><td>{failed}</td></tr>", page)
        self.assertIn("a bad one", page)

    def test_summary_and_report_tell_what_each_call_of_a_model_found_in_the_cache(self):
        triage = SOURCE / "examples/triage"
        report = self.dir / "report.html"
        result = subprocess.run(
            [BUILD / "bin/minnow", "batch", triage / "triage.lua", "--model-dir", SOURCE / "models", "--input",
             triage / "documents", "--limit", "4", "--output", self.dir / "triage.jsonl", "--report", report],
            capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(0, result.returncode, result.stderr)
        line = re.compile(r"triage\.lua:\d+ (\w+): (\d+) calls read (\d+) tokens, (\d+) % of them from the cache")
        found = {name: (int(calls), int(cached)) for name, calls, _, cached in line.findall(result.stderr)}
        self.assertEqual(4, found["classify"][0])
        self.assertGreater(found["ask"][1], 50)  # the document was read to classify it
        self.assertRegex(report.read_text(), r"triage\.lua:\d+ classify</th><td>4 calls read")

    def test_a_dry_run_writes_nothing(self):
        out = self.dir / "out.jsonl"
        result = self.run_batch(out, "--dry-run")
        self.assertIn(f"all {N_DOCUMENTS} would take about", result.stdout)
        self.assertFalse(out.exists() or (self.dir / "out.jsonl.journal").exists())

    @not_sanitized
    def test_memory_does_not_grow_with_the_documents(self):
        self.pipeline.write_text(PIPELINE.replace("minnow.sleep", "local _ ="))
        peak = {}
        for n in (1000, 20000):
            self.write_input(n)
            with subprocess.Popen(self.command(self.dir / f"{n}.jsonl"), stderr=subprocess.DEVNULL) as process:
                _, _, usage = os.wait4(process.pid, 0)
                process.returncode = 1
            peak[n] = usage.ru_maxrss
        self.assertLess(peak[20000], peak[1000] + 30_000, peak)  # KiB


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=KILLS)
    parsed, rest = parser.parse_known_args()
    BUILD, KILLS = parsed.build.resolve(), parsed.kills
    unittest.main(argv=[sys.argv[0], *rest])
