#!/bin/sh
# Builds Minnow and sorts the shipped documents with the model in the box: examples/triage.
#
#   ./demo.sh           a table on the terminal, and the records in out/triage.jsonl
set -eu
cd "$(dirname "$0")"
. tools/setup.sh
minnow_setup
echo "Building (a few minutes the first time) ..." >&2
cmake --preset release >/dev/null
cmake --build --preset release
mkdir -p out
build/release/bin/minnow batch examples/triage/triage.lua --model-dir models \
  --input examples/triage/documents --output out/triage.jsonl --overwrite
examples/triage/report.py out/triage.jsonl examples/triage/expected.jsonl
