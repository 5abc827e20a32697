#!/usr/bin/env python3
"""Shows the records of a batch as a table, with the accuracy where the answers are known.

  report.py OUT.jsonl [EXPECTED.jsonl]
"""
import json
import sys


def read(path):
    with open(path, encoding="utf-8") as lines:
        return {record["id"]: record for record in map(json.loads, lines)}


def text_of(fields):
    return ", ".join(f"{name}: {value}" for name, value in fields.items())


def clip(text, width):
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def main():
    records = read(sys.argv[1])
    expected = read(sys.argv[2]) if len(sys.argv) > 2 else {}
    kinds = fields = right_kinds = right_fields = 0
    print(f"{'document':10} {'kind':9} {'prob.':>5}    fields")
    for name, record in records.items():
        if "error" in record:
            print(f"{name:10} failed: {record['error']['message']}")
            continue
        result = record["result"]
        truth = expected.get(name)
        mark = " "
        if truth:
            same = result["kind"] == truth["kind"]
            kinds, right_kinds = kinds + 1, right_kinds + same
            found = result.get("fields", {})
            for field, value in truth["fields"].items():
                fields += 1
                right_fields += same and found.get(field) == value
            mark = "+" if same else "-"
        print(f"{name:10} {result['kind']:9} {result['probability']:5.2f}  {mark} {clip(text_of(result.get('fields', {})), 96)}")
    failed = sum("error" in record for record in records.values())
    print(f"\n{len(records)} documents, {failed} failed", end="")
    if kinds:
        print(f"; kind right for {right_kinds} of {kinds}, field values right for {right_fields} of {fields}", end="")
    print()


if __name__ == "__main__":
    main()
