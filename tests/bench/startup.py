#!/usr/bin/env python3
"""Start-up time of minnow with a warm cache of verdicts, beside the cold one.

  tests/bench/startup.py [BUILD_DIR] [-r REPEATS] [--plugins N]

Starts `minnow plugins --json`, which examines every plugin, opens the usable ones and asks for their
devices. --plugins adds a folder with that many copies of a plugin that does nothing. Exits with 1 if the
warm median is above the limit of 60 ms.
"""
import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

LIMIT_MS = 60


def copies(build: pathlib.Path, folder: pathlib.Path, n: int) -> None:
    """n libraries of one id: all but the first are refused, after the same examination."""
    library = (build / "tests/bad_plugins/good_backend.so").read_bytes()
    example = json.loads((build / "plugins/minnow_backend_cpu.minnow.json").read_text())
    manifest = dict(example, id="test", cpu_features=[], sha256=hashlib.sha256(library).hexdigest())
    for i in range(n):
        (folder / f"p{i}.so").write_bytes(library)
        (folder / f"p{i}.minnow.json").write_text(json.dumps(manifest))
        for name in (f"p{i}.so", f"p{i}.minnow.json"):
            (folder / name).chmod(0o644)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build", nargs="?", default="build/release", type=pathlib.Path)
    parser.add_argument("-r", "--repeats", type=int, default=30)
    parser.add_argument("--plugins", type=int, default=0)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp, "plugins")
        folder.mkdir(mode=0o755)
        copies(options.build, folder, options.plugins)
        env = dict(os.environ, XDG_CACHE_HOME=temp + "/cache", MINNOW_PLUGIN_PATH=str(folder))

        def start() -> float:
            begin = time.perf_counter()
            subprocess.run([options.build / "bin/minnow", "plugins", "--json"], env=env, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return (time.perf_counter() - begin) * 1e3

        cold = start()
        warm = [start() for _ in range(options.repeats)]
    median = statistics.median(warm)
    print(json.dumps({"plugins": options.plugins, "cold_ms": round(cold, 1),
                      "warm_ms": {"median": round(median, 1), "min": round(min(warm), 1),
                                  "max": round(max(warm), 1)}}))
    return 0 if median <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
