#!/bin/sh
# `minnow check` of the CPU backend on a processor that this machine is not.
#
#   emulated.sh [--all] MINNOW-CHECK BACKEND.so EMULATOR...
#   emulated.sh build/dev/bin/minnow-check build/dev/plugins/minnow_backend_cpu.so qemu-x86_64 -cpu max
#
# (QEMU has AVX2, and no AVX-512, on any machine.) An emulator computes tens of times slower, so only a choice of cases
# runs; --all runs all but those of adapters: QEMU 7.2 reads what the mask of vmaskmovps hides, beyond the memory that is
# there. Ends with 77, which ctest counts as skipped, where the emulator is not installed.
set -euf # no globbing: the patterns are minnow-check's

all=
if [ "${1-}" = --all ]; then
  all=1
  shift
fi
if [ $# -lt 3 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
check=$1 backend=$2
shift 2
if ! command -v "$1" >/dev/null; then
  echo "skipped: there is no $1 on this machine (Debian: apt-get install qemu-user)"
  exit 77
fi
if [ -n "$all" ]; then
  cases=$("$@" "$check" "$backend" --list | grep -v /adapters)
else
  cases="op/linear/*/35x256/7 repeat/linear/q4_k/35x256/7 op/qkv/q8_0* op/glu_ffn/q8_0* op/attention/f16 op/scan/*
    repeat/attention/q8_0 op/seq_attention/* op/softmax/* op/rms_norm/* op/rope/* op/get_rows/* op/silu/* model/values/q8_0
    model/repeat/q8_0 memory/leaks/add/* parallel/add/* device/*"
fi
set -- "$@" "$check" "$backend" --threads 1 --time-limit 300
for pattern in $cases; do set -- "$@" --case "$pattern"; done
exec "$@"
