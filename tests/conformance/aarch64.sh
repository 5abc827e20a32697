#!/bin/sh
# The CPU backend for 64-bit ARM: cross-builds it with what tests it, and runs that under QEMU, on a
# processor with everything and on one without the dot product. No part of test.sh, whose time it
# would double.
set -eu
cd "$(dirname "$0")/../.."
tools/aarch64_sysroot.sh
cmake --preset aarch64 >/dev/null
cmake --build --preset aarch64
ctest --preset aarch64
QEMU_CPU=cortex-a53 ctest --preset aarch64 -R '^(backend_cpu|check_neon)$'
