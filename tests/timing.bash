#!/bin/bash
# Sourced by the benchmarks: clock, median, messages.

say() { printf '%s\n' "$*" >&2; }

# now_ms: milliseconds, for whole processes; within one use tests/bench.c.
now_ms() { printf '%d\n' $(($(date +%s%N) / 1000000)); }

# median NUMBER...
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
