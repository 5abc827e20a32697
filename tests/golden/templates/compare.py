#!/usr/bin/env python3
"""Compares `minnow template` with jinja2 over every template of a folder and every conversation.

  compare.py MINNOW_BINARY TEMPLATES_DIR

The command line knows no special tokens and no template variables, so those of conversations.json are
left out here; the unit tests cover them. Prints each mismatch; the exit status is 1 if there was one.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import jinja2

import oracle

CONVERSATIONS = pathlib.Path(__file__).with_name("conversations.json")


def run_minnow(binary, template, case, folder):
    command = [binary, "template", "--template", str(template)]
    for option in ("messages", "tools"):
        if case.get(option) is not None:
            path = folder / f"{option}.json"
            path.write_text(json.dumps(case[option]))
            command += [f"--{option}", str(path)]
    if not case["add_generation_prompt"]:
        command.append("--no-generation-prompt")
    return subprocess.run(command, capture_output=True)


def describe_mismatch(expected, run):
    """None if the run is what jinja2 gives. The binary may end its output with a newline."""
    stdout, stderr = run.stdout.decode(), run.stderr.decode()
    if isinstance(expected, Exception):
        if run.returncode == 0:
            return f"jinja2 raises {expected!r}, minnow renders"
        refused = type(expected) is jinja2.exceptions.TemplateError  # by raise_exception
        if refused and str(expected) not in stderr:
            return f"jinja2 says {str(expected)!r}, minnow {stderr!r}"
        return None
    if run.returncode != 0:
        return f"jinja2 renders, minnow fails: {stderr.strip()}"
    if stdout in (expected, expected + "\n"):
        return None
    at = next((i for i, (a, b) in enumerate(zip(expected, stdout)) if a != b), len(expected))
    window = slice(max(0, at - 30), at + 40)
    return f"at character {at}: jinja2 {expected[window]!r}, minnow {stdout[window]!r}"


def main(binary, templates):
    mismatches = runs = 0
    with tempfile.TemporaryDirectory() as folder:
        for template in sorted(pathlib.Path(templates).glob("*.jinja")):
            source = template.read_bytes().decode()
            for case in json.loads(CONVERSATIONS.read_text()):
                for generation_prompt in (True, False):
                    plain = {k: case[k] for k in ("messages", "tools") if k in case}
                    plain["add_generation_prompt"] = generation_prompt
                    expected = oracle.render(source, plain, fixed_now=False)
                    run = run_minnow(binary, template, plain, pathlib.Path(folder))
                    problem = describe_mismatch(expected, run)
                    runs += 1
                    if problem:
                        mismatches += 1
                        print(f"{template.name}, {case['name']}: {problem}")
    print(f"{runs} renderings, {mismatches} mismatches")
    return 1 if mismatches or not runs else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
