#!/usr/bin/env python3
"""Writes what the unit tests of chat templates expect, as jinja2 within `transformers` has it.

  make_golden.py                 cases.json: small templates for each feature of the language
  make_golden.py TEMPLATES_DIR   also expected_sha256.json: the renderings of real templates over the
                                 inputs of conversations.json, in their order, as the first 16 digits of
                                 their hashes, since the templates are not ours
"""
import hashlib
import json
import pathlib
import sys

import jinja2

import feature_cases
import oracle

HERE = pathlib.Path(__file__).parent


def feature_golden():
    cases = []
    for template in feature_cases.all_templates():
        result = oracle.render(template, feature_cases.DATA)
        if isinstance(result, jinja2.exceptions.TemplateError) and "raise_exception" in template:
            cases.append({"template": template, "error": str(result)})
        elif isinstance(result, Exception):
            cases.append({"template": template, "error": ""})
        else:
            cases.append({"template": template, "expected": result})
    return {"input": feature_cases.DATA, "cases": cases}


def template_golden(folder):
    conversations = json.loads((HERE / "conversations.json").read_text())
    golden = {}
    for path in sorted(pathlib.Path(folder).glob("*.jinja")):
        template = path.read_bytes().decode()
        results = [oracle.render(template, case) for case in conversations]
        golden[path.name] = " ".join(
            "error" if isinstance(r, Exception) else hashlib.sha256(r.encode()).hexdigest()[:16]
            for r in results
        )
    return golden


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    write("cases.json", feature_golden())
    if len(sys.argv) > 1:
        write("expected_sha256.json", template_golden(sys.argv[1]))
