#!/usr/bin/env python3
"""Speed of Minnow beside llama.cpp, in turns on the same machine.

  compare_peer.py --minnow PATH --llama-bench PATH [-t 2] [-p 512] [-n 64] [--rounds 5] MODEL.gguf...

Each round runs both on each model, the one that was second before going first, so that a machine whose speed drifts
or that others use treats both alike. Prints a Markdown page: medians over the rounds, their range, and Minnow's median
and best over the peer's (on a busy machine the best says more). Python's standard library only.
"""
import argparse
import datetime
import json
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys


def answer(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def minnow_command(args, model):
    return [args.minnow, "bench", "-m", str(model), "-t", str(args.threads), "-p", str(args.prompt),
            "-n", str(args.generate), "-r", "1", "--json"]


def peer_command(args, model):
    return [args.llama_bench, "-m", str(model), "-t", str(args.threads), "-p", str(args.prompt),
            "-n", str(args.generate), "-r", "1", "-o", "json"]


def minnow_speeds(command):
    return {row["test"]: row["tokens_per_second"]["median"] for row in answer(command)}


def peer_speeds(command):
    rows = answer(command)
    return {f"pp{row['n_prompt']}" if row["n_prompt"] else f"tg{row['n_gen']}": row["avg_ts"] for row in rows}


def cpu():
    names = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")] if pathlib.Path("/proc/cpuinfo").exists() else [platform.processor()]
    return f"{names[0]}, {len(names)} CPUs"


def figure(samples):
    return f"{statistics.median(samples):.1f} ({min(samples):.1f}–{max(samples):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minnow", required=True)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--generate", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    args = parser.parse_args()

    sides = [("minnow", minnow_command, minnow_speeds), ("peer", peer_command, peer_speeds)]
    tests = [f"pp{args.prompt}", f"tg{args.generate}"]
    samples = {(model, test, side[0]): [] for model in args.models for test in tests for side in sides}
    for number in range(args.rounds):
        for model in args.models:
            for side, command, speeds in sides if number % 2 else sides[::-1]:
                found = speeds(command(args, model))
                for test in tests:
                    samples[model, test, side].append(found[test])
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)

    print(f"{cpu()}; {args.threads} threads; {datetime.date.today()}; tokens per second, median (range) "
          f"of {args.rounds} alternating runs.\n")
    print("| model | test | Minnow | llama.cpp | ratio of medians | of bests |\n|---|---|---|---|---|---|")
    for model in args.models:
        for test in tests:
            ours, theirs = samples[model, test, "minnow"], samples[model, test, "peer"]
            print(f"| {model.stem} | {test} | {figure(ours)} | {figure(theirs)} | "
                  f"{statistics.median(ours) / statistics.median(theirs):.2f} | {max(ours) / max(theirs):.2f} |")
    print("\nCommands, for each model:\n")
    for _, command, _ in sides:
        print(f"    {shlex.join(command(args, 'MODEL'))}")


if __name__ == "__main__":
    main()
