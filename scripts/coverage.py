#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Print what gcov says of the three files that this suite is about.

Usage: coverage.py DIR    with what tests/coverage.sh has left there
"""
import pathlib
import re
import sys

FILES = ("tdx.c", "tdp_mmu.c", "guest_memfd.c")


def read(path):
    """Lines executed and not, branches taken and not, functions called and not."""
    seen = dict(lines=[0, 0], branches=[0, 0], functions=[0, 0])
    uncalled = []
    for line in path.read_text(errors="replace").splitlines():
        if m := re.match(r"function (\S+) called (\d+)", line):
            seen["functions"][0] += m[2] != "0"
            seen["functions"][1] += 1
            if m[2] == "0":
                uncalled.append(m[1])
        elif m := re.match(r"branch +\d+ (never executed|taken (\d+)%)", line):
            seen["branches"][0] += m[2] not in (None, "0")
            seen["branches"][1] += 1
        elif m := re.match(r" *(#####|=====|\d+\*?): *[1-9]\d*:", line):
            seen["lines"][0] += m[1][0].isdigit()
            seen["lines"][1] += 1
    return seen, uncalled


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1])
    print("| file | lines | branches | functions |\n|---|---|---|---|")
    rest = []
    for name in FILES:
        path = out / (name + ".gcov")
        if not path.exists():
            sys.exit(f"coverage.py: gcov has written no {path}")
        seen, uncalled = read(path)
        cells = (f"{a} of {b} ({100 * a / b:.1f} %)" if b else "none" for a, b in seen.values())
        print(f"| {name} | {' | '.join(cells)} |")
        rest.append((name, uncalled))
    for name, uncalled in rest:
        print(f"\nNever called in {name}: {', '.join(uncalled) or 'none'}")


main()
