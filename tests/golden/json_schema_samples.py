#!/usr/bin/env python3
"""Documents that a model without sense writes under the schemas of the published suite obey them, says `jsonschema`.

  json_schema_samples.py BUILD_DIR [EACH]

Needs the packages python3-jsonschema and libtest-json-schema-acceptance-perl; else it exits with 77.
Numbers are read as decimals, so that no rounding decides what is a multiple of 0.01.
"""
import decimal
import json
import os
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):  # the distribution's has it
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped: no jsonschema (package python3-jsonschema)")
    sys.exit(77)

FORMATS = ("date", "ipv4", "ipv6", "uuid", "email")  # those it checks as their standards have them


def main():
    program = os.path.join(sys.argv[1], "bin", "constrain_test")
    each = sys.argv[2] if len(sys.argv) > 2 else "20"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "samples.jsonl")
        subprocess.run([program, "-g", "JsonSchemaSuite", "-n", "Samples"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "MINNOW_SAMPLES": path, "MINNOW_SAMPLES_EACH": each})
        if not os.path.exists(path):
            print("skipped: no test suite (package libtest-json-schema-acceptance-perl)")
            return 77
        with open(path, encoding="utf-8") as lines:
            groups = [json.loads(line, parse_float=decimal.Decimal) for line in lines]
    checker = jsonschema.FormatChecker(formats=FORMATS)
    wrong = documents = 0
    for group in groups:
        formats = checker if group["formats"] else None
        validator = jsonschema.Draft202012Validator(group["schema"], format_checker=formats)
        for text in group["documents"]:
            documents += 1
            document = json.loads(text, parse_float=decimal.Decimal)
            error = next(validator.iter_errors(document), None)
            if error:
                wrong += 1
                print(f"{group['group']}: {json.dumps(group['schema'], default=str)}\n  {text}\n  {error.message}")
    print(f"{len(groups)} schemas, {documents} documents, {wrong} wrong")
    return 1 if wrong or not documents else 0


if __name__ == "__main__":
    sys.exit(main())
