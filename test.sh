#!/bin/sh
# Builds Minnow with all its tests and runs them, on a fresh Debian 12 or Ubuntu 24.04.
#
#   ./test.sh           what CI runs
#   ./test.sh asan      the same under the address and undefined-behaviour sanitizers
#   ./test.sh tsan      the same under the thread sanitizer
set -eu
cd "$(dirname "$0")"
. tools/setup.sh
minnow_setup tests
preset="${1:-dev}"
case "$preset" in dev | asan | tsan) ;; *)
  echo "usage: $0 [dev|asan|tsan]" >&2
  exit 2
  ;;
esac
tools/check_includes.py
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset"
