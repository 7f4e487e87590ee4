#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Which test is about which claim, and what became of it.

  claims.py table [RUN...]   print docs/claims.md, with the verdicts of these runs, of
                             which later ones go before earlier ones; of a case that one
                             of them had more than once, the worst.  Without runs, with
                             the verdicts that it has
  claims.py short [RUN...]   print how many claims stand how, for the README
  claims.py check            hold the tags of the tests against configs/claims.json,
                             and docs/claims.md against both

A tag is a line "Claims: C2, B01" of a comment.  In the comment on top of a test file
it is about all its cases, directly above a test or a variant about that.

Exit status: 0; 1 if "check" found something wrong; 2 usage; 3 something cannot be
read.
"""

import argparse
import functools
import json
import os
import re
import sys
from collections import Counter
from fnmatch import fnmatchcase as fnmatch
from glob import glob

from report import Run, Unreadable, note

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TABLE = os.path.join(ROOT, "docs", "claims.md")
VERDICTS = ("FAIL", "ERROR", "KNOWN", "PASS", "SKIP")      # the worst first
NAMED = 3       # tests of one file that the table names; if there are more, it counts
SECTIONS = (
    ("C", "What must hold",
     "What Linux promises since it holds no reference to the pages that the S-EPT maps."),
    ("B", "What went wrong before", "Bugs that kernels had, or have; each stands for its kind."),
    ("R", "What may race", "Calls beside one another."),
)


class Wrong(Exception):
    """Something is not as it must be; str() is the line to print."""


def read_claims():
    """Rows by id, in their order."""
    path = os.path.join(ROOT, "configs", "claims.json")
    try:
        with open(path, encoding="utf-8") as source:
            rows = json.load(source)
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise Wrong(f"{path}:{error.lineno}: {error.msg}") from error
    claims = {}
    for row in rows:
        name = row.get("id", "?")
        if not {"id", "claim"} <= set(row) <= {"id", "claim", "untested", "but"}:
            raise Wrong(f"{path}: {name}: want id, claim and perhaps untested or but")
        if name in claims or not any(name.startswith(section[0]) for section in SECTIONS):
            raise Wrong(f"{path}: {name}: is there twice, or belongs nowhere")
        claims[name] = row
    return claims


def tested_by(text, end):
    """What begins in the line behind a comment that ends there, as "variant.case"."""
    match = re.match(r"\n(\w+)\(\s*(\w+)\s*(?:,\s*(\w+))?", text[end:])
    if not match:
        return None
    macro, first, second = match.groups()
    if macro == "TEST_F":
        return f"*.{second}"
    if macro == "FIXTURE_VARIANT_ADD":
        return f"{second}.*"
    # A macro of the file's own, whose first argument is the case.
    body = re.search(rf"^#define {macro}\(\w+(?:.*\\\n)*.*", text, re.MULTILINE)
    return f"*.{first}" if body and "TEST_F(" in body.group() else None


def read_tags(path):
    """Yield (line, ids, cases or None for all of the file) for each tag of a test file."""
    with open(path, encoding="utf-8") as source:
        text = source.read()
    top = re.match(r"(?://[^\n]*\n)*/\*.*?\*/", text, re.DOTALL)
    for comment in re.finditer(r"/\*.*?\*/", text, re.DOTALL):
        words = re.sub(r"\s*\n\s*\*?\s*", " ", comment.group())
        tag = re.search(r"\bClaims:((?: [\w.-]+,?)*)", words)
        if not tag:
            continue
        line = text.count("\n", 0, comment.start()) + 1
        ids = [name for name in re.split(r"[ ,]+", tag.group(1)) if name]
        cases = None
        if not top or comment.start() > top.end():
            cases = tested_by(text, comment.end())
            if not cases:
                raise Wrong(f"{path}:{line}: this comment with claims stands above no test")
        yield line, ids, cases


def read_tests(claims):
    """(file, cases or None) of each claim, in the order of the files."""
    tests = {name: [] for name in claims}
    for path in sorted(glob(os.path.join(ROOT, "tdx_sept_tests", "*.c"))):
        file = os.path.basename(path)[:-2]
        for line, ids, cases in read_tags(path):
            for name in ids:
                if name not in claims:
                    raise Wrong(f"{path}:{line}: there is no claim {name}")
                tests[name].append((file, cases))
    return tests


def column(run):
    """Platform and kernel, with what it was built with."""
    machine = run.head["options"].get("machine", {})
    kernel = "Linux " + run.head["kernel"]
    # What is built against KSRC= is the machine's kernel, too; its release says little.
    own = re.match(r"source = (/.*)", str(run.head["linux"]))
    if machine and own and "kernel_source" not in machine:
        kernel += " of " + own[1]
    for patch in machine.get("kernel_patches", []):
        kernel += " + " + os.path.basename(str(patch)).removesuffix(".patch")
    for config in machine.get("kernel_configs", []):
        kernel += f" ({config})"
    return f'{run.head["platform"]}, {kernel}'


@functools.cache
def words_of(file):
    """Every word in the source of a test; none if there is no such test."""
    try:
        with open(os.path.join(ROOT, "tdx_sept_tests", file + ".c"), encoding="utf-8") as source:
            return set(re.findall(r"\w+", source.read()))
    except FileNotFoundError:
        return set()


def worst(run):
    """Of each case that the tests still have, the worst that became of it in a run; an
    ERROR if it was in flight when that ended."""
    found = {}
    for case in run.cases:
        # Macros make cases and variants, but each case is named in its file.
        if case.address.rpartition(".")[2] in words_of(case.address.partition(".")[0]):
            found.setdefault(case.address, []).append(case.verdict)
    return {address: min(verdicts, key=VERDICTS.index) for address, verdicts in found.items()}


def read_runs(folders):
    """By column: what became of each case in the last run that had it."""
    columns = {}
    for folder in folders:
        run = Run(folder)
        patches = run.head["options"].get("machine", {}).get("kernel_patches", [])
        if run.head["faked"]:
            note(f"{folder}: passed over, as it proves nothing about the kernel")
        elif any("tests/mutants/" in str(patch) for patch in patches):
            note(f"{folder}: passed over, as its kernel is a mutant")
        else:
            columns.setdefault(column(run), {}).update(worst(run))
    return dict(sorted(columns.items()))


def is_about(address, tests):
    name, _, rest = address.partition(".")
    if "." not in rest:
        rest = "." + rest       # there are no variants
    return any(name == file and (not cases or fnmatch(rest, cases)) for file, cases in tests)


def tests_cell(row, tests):
    if not tests:
        return f'none: {row.get("untested", "")}'
    cells = []
    for file in dict.fromkeys(file for file, _ in tests):
        globs = list(dict.fromkeys(cases for name, cases in tests if name == file))
        if None in globs:
            cells.append(f"`{file}`")
        elif len(globs) > NAMED:
            cells.append(f"`{file}` ({len(globs)} tests)")
        else:
            cells += [f"`{file}.{cases}`" for cases in globs]
    return "<br>".join(cells)


def verdict_cell(verdicts, tests):
    counts = Counter(verdict for address, verdict in verdicts.items() if is_about(address, tests))
    words = [f"{counts[name]} {name}" for name in VERDICTS if counts[name]]
    return ", ".join(words).replace("FAIL", "**FAIL**").replace("ERROR", "**ERROR**") or "–"


def verdicts_of(folders, claims, tests):
    """The names of the columns, and the cells below them by claim."""
    columns = read_runs(folders)
    return list(columns), {
        name: [verdict_cell(verdicts, tests[name]) for verdicts in columns.values()]
        for name in claims}


def verdicts_kept():
    """The same, as the table has them now."""
    columns, cells = [], {}
    with open(TABLE, encoding="utf-8") as source:
        for line in source:
            first, *row = [cell.strip() for cell in line.split("|")[1:-1]] or [None]
            if row[:2] == ["claim", "tests"]:
                columns = row[2:]
            elif first:
                cells[first] = row[2:]
    return columns, cells


def first_cells(row, tests):
    but = f'<br>But {row["but"]}.' if "but" in row else ""
    return f'| {row["id"]} | {row["claim"]}{but} | {tests_cell(row, tests)} |'


def table(folders):
    claims = read_claims()
    tests = read_tests(claims)
    columns, cells = verdicts_of(folders, claims, tests) if folders else verdicts_kept()

    print("# Claims and their tests\n\n"
          "Generated by `make claims` from the tags of the tests and `configs/claims.json`: edit\n"
          "those.  `make claims RESULTS=...` also takes the verdicts from these runs, the last of\n"
          "each platform and kernel.  `file` stands for all cases of that file, a glob for those\n"
          "that it matches.  Counted are cases; what KNOWN means is in\n"
          "[results.md](results.md#the-errata-table).")
    for letter, title, words in SECTIONS:
        rows = [row for row in claims.values() if row["id"].startswith(letter)]
        if not rows:
            continue
        print(f"\n## {title}\n\n{words}\n")
        print("| | claim | tests |" + "".join(f" {name} |" for name in columns))
        print("|---|---|---|" + "---|" * len(columns))
        for row in rows:
            mine = cells.get(row["id"], ["–"] * len(columns))
            print(first_cells(row, tests[row["id"]]) + "".join(f" {cell} |" for cell in mine))
    return 0


def standing(verdicts, tests):
    """What the verdicts of all its cases make of a claim."""
    mine = {verdict for address, verdict in verdicts.items() if is_about(address, tests)}
    return next((name for name in VERDICTS if name in mine), None)


def short(folders):
    """The same in a few lines, for the README."""
    claims = read_claims()
    tests = read_tests(claims)

    for name, verdicts in read_runs(folders).items():
        print(f"| on {name} | all | green | KNOWN | red | skipped | not run | without a test |\n"
              "|---|---|---|---|---|---|---|---|")
        for letter, title, _ in SECTIONS:
            rows = [name for name in claims if name.startswith(letter)]
            found = Counter(standing(verdicts, tests[name]) for name in rows if tests[name])
            print(f"| [{title.lower()}](docs/claims.md) | {len(rows)} | {found['PASS']} | "
                  f"{found['KNOWN']} | {found['FAIL'] + found['ERROR']} | {found['SKIP']} | "
                  f"{found[None]} | {sum(not tests[name] for name in rows)} |")
        print()
    return 0


def check():
    claims = read_claims()
    tests = read_tests(claims)
    wrong, stale = [], []

    with open(TABLE, encoding="utf-8") as source:
        lines = source.read().splitlines()
    for name, row in claims.items():
        if not tests[name] and not row.get("untested"):
            wrong.append(f"{name} has neither a test nor a reason why there is none")
        elif tests[name] and "untested" in row:
            wrong.append(f"{name} has a test, and a reason why there is none")
        elif not any(line.startswith(first_cells(row, tests[name])) for line in lines):
            stale.append(name)
    if stale:
        wrong.append(f'{TABLE} tells something else of {", ".join(stale)}: run make claims')
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table").add_argument("runs", nargs="*")
    commands.add_parser("short").add_argument("runs", nargs="*")
    commands.add_parser("check")
    args = parser.parse_args()
    try:
        if args.command == "check":
            return check()
        return (table if args.command == "table" else short)(args.runs)
    except Wrong as error:
        print(error)
        return 1
    except (Unreadable, OSError) as error:
        print(f"claims.py: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
