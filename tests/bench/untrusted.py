#!/usr/bin/env python3
"""What it costs to run Lua in a process of its own (--untrusted), beside running it in this one.

  tests/bench/untrusted.py [BUILD_DIR] [-r REPEATS]

Differences of whole runs of `minnow run` and `minnow batch` on the model in the box: the start of a process, a call that
the host answers at once (count), and a document whose pipeline does nothing. Medians.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLS, DOCUMENTS = 20000, 5000

SCRIPT = """
local m = require "minnow".model "minnow-demo"
for i = 1, %d do m:count("a word") end
"""
PIPELINE = """
return require "minnow".pipeline { name = "nothing", run = function(doc) return #doc.text end }
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build", nargs="?", default="build/release", type=pathlib.Path)
    parser.add_argument("-r", "--repeats", type=int, default=7)
    options = parser.parse_args()
    minnow = options.build / "bin/minnow"

    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp)
        env = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"))
        (folder / "none.lua").write_text(SCRIPT % 0)
        (folder / "calls.lua").write_text(SCRIPT % CALLS)
        (folder / "empty.lua").write_text("")
        (folder / "pipeline.lua").write_text(PIPELINE)
        for n in (1, DOCUMENTS):
            lines = (json.dumps({"id": str(i), "text": "x" * 500}) for i in range(n))
            (folder / f"{n}.jsonl").write_text("\n".join(lines) + "\n")

        def seconds(*command) -> float:
            begin = time.perf_counter()
            subprocess.run([minnow, *command], env=env, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - begin

        def medians(*command) -> tuple:
            seconds(*command)
            rounds = [(seconds(*command), seconds(command[0], "--untrusted", *command[1:])) for _ in range(options.repeats)]
            return tuple(statistics.median(side) for side in zip(*rounds))

        def run(file):
            return medians("run", "--model-dir", ROOT / "models", folder / file)

        def batch(n):
            return medians("batch", folder / "pipeline.lua", "--input", folder / f"{n}.jsonl", "--output", "/dev/null",
                           "--overwrite", "--max-crashes", "0")

        empty, none, calls, one, many = run("empty.lua"), run("none.lua"), run("calls.lua"), batch(1), batch(DOCUMENTS)
    print(json.dumps({
        "start_ms": round((empty[1] - empty[0]) * 1e3, 1),
        "call_us": {"here": round((calls[0] - none[0]) / CALLS * 1e6, 1),
                    "untrusted": round((calls[1] - none[1]) / CALLS * 1e6, 1)},
        "document_us": {"here": round((many[0] - one[0]) / (DOCUMENTS - 1) * 1e6, 1),
                        "untrusted": round((many[1] - one[1]) / (DOCUMENTS - 1) * 1e6, 1)}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
