#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Read the results of a run, also of one that was killed.

  report.py summary DIR         what became of each case, as text
  report.py junit DIR FILE      the same as JUnit XML; --append adds it to FILE
  report.py validate PATH...    hold runs, or journals of host settings, against
                                docs/results.schema.json

Exit status: 0; 1 if "validate" found something invalid; 2 usage; 3 DIR cannot
be read or FILE not written.
"""

import argparse
import json
import os
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from collections import Counter

SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "..", "docs", "results.schema.json")


class Unreadable(Exception):
    """The results cannot be read; str() is the sentence to print."""


def note(text):
    print(f"report.py: {text}", file=sys.stderr)


def read_lines(path):
    """Yield (number, object, error) for each line of a JSON Lines file.

    A last line without its newline was being written when the run ended; it is
    passed over with a note.
    """
    with open(path, "rb") as source:
        for number, line in enumerate(source, 1):
            if not line.endswith(b"\n"):
                note(f"{path}:{number}: passed over the last line, which was cut short")
                return
            try:
                yield number, json.loads(line), None
            except ValueError as error:
                yield number, None, str(error)


def load(path):
    try:
        with open(path, encoding="utf-8") as source:
            return json.load(source)
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot read {path}: {error}") from error


class Case:
    """One case of one repeat: its line "start", and "end" if there is one."""

    def __init__(self, start):
        self.address, self.repeat, self.seed = start["case"], start["repeat"], start["seed"]
        self.verdict = "ERROR"
        self.reason = "was in flight when the run ended"
        self.schedule = start.get("schedule_seed")
        self.rounds = start.get("rounds")
        self.known = None
        self.seconds = 0.0
        self.ended = False

    def end(self, line):
        self.verdict, self.reason = line["verdict"], line["reason"]
        self.known = line.get("known")
        self.seconds = line["wall_ms"] / 1000
        self.ended = True


class Run:
    """A folder of results."""

    def __init__(self, folder):
        self.folder = folder
        self.head = load(os.path.join(folder, "run.json"))
        self.cases, by_number = [], {}
        path = os.path.join(folder, "cases.jsonl")
        try:
            for number, line, error in read_lines(path):
                if error:
                    note(f"{path}:{number}: passed over: {error}")
                elif line["event"] == "start":
                    by_number[line["n"]] = Case(line)
                    self.cases.append(by_number[line["n"]])
                elif line["n"] in by_number:
                    by_number[line["n"]].end(line)
                else:
                    note(f"{path}:{number}: passed over: no case began as number {line['n']}")
        except OSError as error:
            raise Unreadable(f"cannot read {path}: {error.strerror}") from error

    def ended_itself(self):
        return os.path.exists(os.path.join(self.folder, "end.json"))

    def findings(self):
        """The findings in words, as a list for each (case, seed)."""
        words = {}
        for name in sorted(os.listdir(self.folder)):
            path = os.path.join(self.folder, name, "findings.jsonl")
            if not os.path.exists(path):
                continue
            for _, line, error in read_lines(path):
                if not error:
                    words.setdefault((line["case"], line["seed"]), []).append(
                        f'{line["where"]}: {line["text"]} (invariant: {line["invariant"]})')
        return words


def summary(folder):
    run = Run(folder)
    counts = Counter(case.verdict for case in run.cases if case.ended)
    lost = [case for case in run.cases if not case.ended]
    known = f'{counts["KNOWN"]} known to fail, ' if counts["KNOWN"] else ""

    print(f'on {run.head["platform"]}, Linux {run.head["kernel"]}: '
          f'{counts["PASS"]} passed, {counts["FAIL"]} failed, {known}{counts["SKIP"]} skipped, '
          f'{counts["ERROR"]} error{"" if counts["ERROR"] == 1 else "s"}')
    if run.head["faked"]:
        print("proves nothing about this kernel: SEPT_FAKE_REFS or SEPT_KMSG was set")
    if not run.ended_itself():
        print("the run did not end by itself")
    for case in run.cases:
        if case.ended and case.verdict != "PASS":
            told = f"{case.known}: {case.reason}" if case.known else case.reason
            print(f"{case.verdict:5} {case.address}: {told}")
    for case in lost:
        print(f"LOST  {case.address}: {case.reason}; seed {case.seed}")
    return 0


def printable(text):
    """What XML 1.0 cannot hold becomes a question mark."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def machine(run, case):
    """The options that make the machine of this case."""
    if run.head["platform"] != "emulated":
        return f' --platform {run.head["platform"]}'
    told = run.head["options"]["machine"]
    words = f' --platform emulated --schedule-seed {case.schedule} --quantum {told["quantum"]}' \
            f' --cpus {told["cpus"]} --memory {told["memory"]} --sanitizer {told["sanitizer"]}'
    if "kernel_args" in told:
        words += f' --kernel-args {shlex.quote(told["kernel_args"])}'
    if "kernel_source" in told:
        words += f' --kernel-source {shlex.quote(told["kernel_source"])}'
    for name in told["kernel_patches"]:
        words += f' --kernel-patch {shlex.quote(str(name))}'
    for name in told["kernel_configs"]:
        words += f' --kernel-config {shlex.quote(str(name))}'
    return words


def options(told, case):
    """Those of the run that a replay needs, where they are not run.sh's defaults."""
    words = f' --suite {told["suite"]}' if told["suite"] not in (None, "fast") else ""
    if case.rounds:
        words += f" --rounds {case.rounds}"
    if told["expect_pin"] != "auto":
        words += f' --expect-pin {told["expect_pin"]}'
    if told["timeout"]:
        words += f' --timeout {told["timeout"]}'
    if told["settle_ms"] != 2000:
        words += f' --settle-ms {told["settle_ms"]}'
    return words


def junit(folder, file, append):
    run = Run(folder)
    findings = run.findings()
    if append:
        try:
            root = ET.parse(file).getroot()
        except (OSError, ET.ParseError) as error:
            raise Unreadable(f"cannot read {file}: {error}") from error
    else:
        root = ET.Element("testsuites", name="tdx-sept-tests")
    suites = {}

    for case in run.cases:
        suites.setdefault(case.address.split(".")[0], []).append(case)
    for name, cases in suites.items():
        counts = Counter(case.verdict for case in cases)
        suite = ET.SubElement(
            root, "testsuite", name=name, tests=str(len(cases)),
            failures=str(counts["FAIL"]), errors=str(counts["ERROR"]),
            skipped=str(counts["SKIP"] + counts["KNOWN"]), timestamp=run.head["started"],
            time=f"{sum(case.seconds for case in cases):.3f}")
        properties = ET.SubElement(suite, "properties")
        for key in ("platform", "kernel", "commit", "seed"):
            ET.SubElement(properties, "property", name=key, value=printable(run.head[key]))
        for case in cases:
            group, _, own = case.address.rpartition(".")
            if run.head["options"]["repeat"] != 1:
                own += f" (repeat {case.repeat})"
            element = ET.SubElement(suite, "testcase", classname=group, name=own,
                                    time=f"{case.seconds:.3f}")
            # Of what JUnit knows, only "skipped" neither passes nor fails.
            tag = {"FAIL": "failure", "ERROR": "error", "SKIP": "skipped",
                   "KNOWN": "skipped"}.get(case.verdict)
            if not tag:
                continue
            told = f"KNOWN {case.known}: {case.reason}" if case.known else case.reason
            result = ET.SubElement(element, tag, message=printable(told))
            if case.verdict != "SKIP":
                told = findings.get((case.address, case.seed), [])
                again = f"again: ./run.sh --seed {case.seed}{machine(run, case)}" \
                        f"{options(run.head['options'], case)} {case.address}"
                result.text = printable("\n".join([*told, again]))
    try:
        ET.ElementTree(root).write(file + ".new", encoding="utf-8", xml_declaration=True)
        os.replace(file + ".new", file)
    except OSError as error:
        raise Unreadable(f"cannot write {file}: {error.strerror}") from error
    return 0


class Validator:
    """Holds documents against parts of the schema, and counts what is wrong."""

    def __init__(self):
        try:
            import jsonschema
        except ImportError as error:
            raise Unreadable("validate needs jsonschema; "
                             "install python3-jsonschema") from error
        schema = load(SCHEMA)
        self.parts = {name: jsonschema.Draft7Validator({**schema, "$ref": f"#/definitions/{name}"})
                      for name in schema["definitions"]}
        self.wrong = 0

    def complain(self, where, text):
        self.wrong += 1
        print(f"{where}: {text}")

    def document(self, where, what, part):
        for error in self.parts[part].iter_errors(what):
            path = "/".join(str(step) for step in error.absolute_path)
            self.complain(where, f"{path + ': ' if path else ''}{error.message[:300]}")

    def lines(self, path, part):
        """Validate each line; yield (number, object) for the good ones."""
        for number, line, error in read_lines(path):
            where, before = f"{path}:{number}", self.wrong
            if error:
                self.complain(where, error)
            else:
                self.document(where, line, part)
            if self.wrong == before:
                yield number, line


def validate_cases(check, path, selected):
    """Beyond the schema: each case starts once, and ends at most once after that."""
    started, ended = {}, set()

    for number, line in check.lines(path, "case_line"):
        where, n = f"{path}:{number}", line["n"]
        if line["case"] not in selected:
            check.complain(where, f'{line["case"]} was not selected')
        if line["event"] == "start":
            if n in started:
                check.complain(where, f"case number {n} starts again")
            started[n] = line
        elif n not in started or started[n]["case"] != line["case"]:
            check.complain(where, f"case number {n} ends without a start")
        elif n in ended:
            check.complain(where, f"case number {n} ends again")
        else:
            ended.add(n)
    return len(ended), len(started) - len(ended)


def validate_run(check, folder):
    path = os.path.join(folder, "run.json")
    head = load(path)
    check.document(path, head, "run")
    path = os.path.join(folder, "cases.jsonl")
    selected = {case["case"] for case in head.get("selected", [])}
    if os.path.exists(path):
        nr_ended, nr_lost = validate_cases(check, path, selected)
    else:
        nr_ended = nr_lost = 0
        note(f"{path} is missing: the run ended before its first case")
    if nr_lost:
        note(f"{path}: {nr_lost} case{'s' * (nr_lost > 1)} in flight when the run ended")
    path = os.path.join(folder, "end.json")
    if os.path.exists(path):
        end = load(path)
        check.document(path, end, "end")
        told = sum(value for key, value in end["counts"].items() if key != "not_run")
        if told != nr_ended:
            check.complain(path, f"counts {told} cases, but {nr_ended} have ended")
    else:
        note(f"{path} is missing: the run did not end by itself")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, "findings.jsonl")
        if os.path.exists(path):
            for _ in check.lines(path, "finding"):
                pass


def validate(paths):
    check = Validator()
    for path in paths:
        if os.path.isdir(path):
            validate_run(check, path)
        else:
            for _ in check.lines(path, "host_line"):
                pass
    return 1 if check.wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("summary").add_argument("folder")
    command = commands.add_parser("junit")
    command.add_argument("folder")
    command.add_argument("file")
    command.add_argument("--append", action="store_true")
    commands.add_parser("validate").add_argument("paths", nargs="+")
    args = parser.parse_args()
    try:
        if args.command == "summary":
            return summary(args.folder)
        if args.command == "junit":
            return junit(args.folder, args.file, args.append)
        return validate(args.paths)
    except (Unreadable, OSError) as error:
        note(str(error))
        return 3


if __name__ == "__main__":
    sys.exit(main())
