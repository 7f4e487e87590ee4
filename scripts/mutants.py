#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What became of kernels that are wrong on purpose (tests/mutants.sh).

  mutants.py tests PATCH...              what their headers name under "Test:"
  mutants.py rounds PATCH                what its header has under "Rounds:", if anything
  mutants.py module PATCH                and under "Module:"
  mutants.py arguments PATCH             and under "Arguments:"
  mutants.py find FILE KEY               whether FILE has an outcome with that key
  mutants.py run FOLDER ... -- CASE...   run cases in a machine that has been started
  mutants.py record FILE --key K ...     judge that, and add a line to FILE
  mutants.py table FILE PATCH...         docs/mutants.md, on stdout
  mutants.py short FILE PATCH...         the same in a few lines, for the README
  mutants.py verdict FILE PATCH...       sentences about those that went unnoticed

FILE has a line of JSON for each mutant and sanitizer mode; the last one counts.

Exit status: 0; 1 if "find" finds nothing, or "verdict" has something to say;
2 usage; 3 something cannot be read.
"""

import argparse
import datetime
import fnmatch
import json
import os
import re
import subprocess
import sys
import time
import zlib

import report
from report import Unreadable

CONTROL = "none"  # the kernel without any patch
MODES = ("off", "warn")

class Patch:
    """The header of a patch; tests/mutants/README.md tells what it has."""

    def __init__(self, path):
        self.name = os.path.basename(path).removesuffix(".patch")
        try:
            with open(path, encoding="utf-8") as source:
                header = source.read().partition("\n--- ")[0]
        except OSError as error:
            raise Unreadable(f"cannot read {path}: {error.strerror}") from error
        self.title, *lines = header.splitlines()
        fields, current = {}, None
        for line in lines:
            found = re.match(r"(Bug class|Test|Rounds|Module|Arguments|Rule|Survives): *(.*)", line)
            if found:
                current = found[1]
                fields[current] = found[2]
            elif not line.strip():
                current = None
            elif current:
                fields[current] += " " + line.strip()
        for wanted in ("Bug class", "Test"):
            if not fields.get(wanted):
                raise Unreadable(f'{path} has no "{wanted}:" in its header')
        self.bug, self.tests = fields["Bug class"], fields["Test"].split()
        self.rule, self.survives = fields.get("Rule"), fields.get("Survives")
        self.rounds, self.module = fields.get("Rounds", ""), fields.get("Module", "")
        self.arguments = fields.get("Arguments", "")


def read_lines(path):
    """The objects of a JSON Lines file; what is none is passed over with a note."""
    lines = []
    try:
        for number, line, error in report.read_lines(path):
            if error:
                report.note(f"{path}:{number}: passed over: {error}")
            else:
                lines.append(line)
    except FileNotFoundError:
        pass
    return lines


def write_line(path, line):
    """Add @line, also behind one that was cut short, as by a full disk."""
    with open(path, "ab+") as out:
        if out.tell():
            out.seek(-1, os.SEEK_END)
            if out.read(1) != b"\n":
                out.write(b"\n")
        out.write(json.dumps(line).encode() + b"\n")


def latest(lines):
    """The last line of each (mutant, mode)."""
    return {(line["mutant"], line["sanitizer"]): line for line in lines}


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def matches(address, globs):
    """As lib/cases.c does: file, file.variant or the whole address."""
    file, variant = address.split(".")[0], address.rpartition(".")[0]
    return any(fnmatch.fnmatchcase(name, glob)
               for name in (file, variant, address) for glob in globs)


#
# A run: a folder as docs/results.md has it, but for what nobody asks for here
#

# What the kernel is told before the test begins.
AS_MUTANT = ["sh", "-c", 'echo "$0" >/sys/module/kvm/parameters/mutant && exec "$@"']


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def verdict_of(text, address, folder):
    """What the case and the machine said of it, on the descriptor for verdicts.  What the
    sanitizer reported is findings, also of a case that could not ask for it."""
    verdict, reason = "ERROR", "ended without a verdict"
    for line in text.decode(errors="replace").splitlines():
        try:
            said = json.loads(line)
            verdict, reason = said.get("verdict") or said["machine"], said["reason"]
        except (ValueError, KeyError):
            return "ERROR", "its verdict record cannot be read"
        for seen in said.get("reports", []):
            with open(os.path.join(folder, "findings.jsonl"), "a", encoding="utf-8") as out:
                out.write(json.dumps({"case": address, "invariant": seen["rule"],
                                      "text": seen["text"], "where": "sanitizer"}) + "\n")
    return verdict, reason


def run_case(args, address, folder):
    """Return verdict and reason; what was printed and found is in @folder."""
    seed = zlib.crc32(address.encode()) ^ int(args.seed, 0)
    command = [args.machine, "exec", "--dir", args.dir, "--results", folder,
               "--console", os.path.join(folder, "kmsg"), f"--option=sanitizer={args.sanitizer}",
               f"--option=seed={seed}", "--option=schedule_seed=0", "--"]
    if args.number:
        command += [*AS_MUTANT, str(args.number)]
    command += ["/tests/" + address.split(".")[0], "-r", address]
    reader, writer = os.pipe()
    # A kernel without a mutant must hold nothing, whatever is seen of one with.
    env = dict(os.environ, SEPT_SEED=hex(seed), SEPT_TIMEOUT=str(args.seconds),
               SEPT_SETTLE_MS="2000", SEPT_EXPECT_PIN="0", SEPT_VERDICT_FD=str(writer))
    if args.rounds:
        env["SEPT_ROUNDS"] = args.rounds
    with open(os.path.join(folder, "tap"), "ab") as tap:
        try:
            # It ends by itself, but for an emulator that stands still.
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=tap, stderr=tap, env=env,
                           pass_fds=[writer], timeout=30 * args.seconds, check=False)
        except subprocess.TimeoutExpired:
            pass
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        return verdict_of(source.read(), address, folder)


def run(args):
    os.makedirs(args.folder)
    with open(os.path.join(args.folder, "run.json"), "w", encoding="utf-8") as out:
        json.dump({"kernel": args.linux, "started": now(), "selected": args.case}, out)
    begin = time.monotonic()
    for n, address in enumerate(args.case, 1):
        if time.monotonic() - begin > args.limit:
            break
        folder = os.path.join(args.folder, address.split(".")[0])
        os.makedirs(folder, exist_ok=True)
        verdict, reason = run_case(args, address, folder)
        with open(os.path.join(args.folder, "cases.jsonl"), "a", encoding="utf-8") as out:
            out.write(json.dumps({"event": "end", "n": n, "case": address, "verdict": verdict,
                                  "reason": reason, "time": now()}) + "\n")


def findings_of(folder, address):
    path = os.path.join(folder, address.split(".")[0], "findings.jsonl")
    return [line for line in read_lines(path) if line["case"] == address]


def version(text):
    """To be compared; a release is later than its candidates."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(?:-rc(\d+))?", text)
    if not found:
        raise Unreadable(f"{text} is no version of a kernel")
    return tuple(int(part or 0) for part in found.group(1, 2, 3)) + (
        int(found[4]) if found[4] else float("inf"),)


class Errata:
    """What is known to be wrong in a kernel without a mutant: configs/errata.json, as the
    runner goes by it (scripts/runner/errata.c), but that nobody asks here whether the
    kernel pins pages."""

    def __init__(self, linux):
        path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                            "configs", "errata.json")
        this = version(linux)
        self.rows = [
            row for row in report.load(path)
            if version(row["kernels"].get("from", "0.0")) <= this and
            this < version(row["kernels"].get("before", "999.0"))]

    @staticmethod
    def told(finding):
        if finding["where"] == "kernel log":
            return finding["text"]
        where = finding["invariant" if finding["where"] == "sanitizer" else "where"]
        return f'{where}: {finding["text"]}'

    def judge(self, case):
        """Make a FAIL that is known KNOWN; and of one that is known in part, leave the
        findings that are not."""
        rows = [row for row in self.rows if matches(case["case"], [row["cases"]])]
        if case["verdict"] != "FAIL" or not any(re.search(row["reason"], case["reason"])
                                                for row in rows):
            return
        case["findings"] = [
            finding for finding in case["findings"]
            if not any(re.search(row[key], self.told(finding))
                       for row in rows for key in ("reason", "also") if key in row)]
        if not case["findings"]:
            case["verdict"] = "KNOWN"


# Of a case that ended before it could record a finding.
IN_WORDS = (
    ("time limit", r"over its limit|ran into its limit|timed out"),
    ("kernel alive", r"kernel panicked|triple fault|machine hangs"),
    ("processes end", r"SIGKILL"),
    ("kernel log", r"kernel log|kmsg"),
)


def invariant_of(case, findings):
    """What does not hold, in a word or two."""
    own = [line for line in findings if line["where"] != "sanitizer"]
    if own:
        return own[0]["invariant"]
    for words, pattern in IN_WORDS:
        if re.search(pattern, case["reason"]):
            return words
    return ""


def judge(folder, named, green):
    """What a run says of its kernel, as fields of a line.  A case counts only if it is
    one of @green, those that the kernel without a mutant passes; None for that one."""
    head = report.load(os.path.join(folder, "run.json"))
    ended = read_lines(os.path.join(folder, "cases.jsonl"))
    ran = [line for line in ended if line["verdict"] != "SKIP"]
    cases = [line for line in ran if green is None or line["case"] in green]
    started = when(head["started"])
    errata = Errata(head["kernel"])
    reports = {}
    red, own, broken = [], [], []
    for case in cases:
        case["findings"] = findings_of(folder, case["case"])
        errata.judge(case)
        for line in case["findings"]:
            if line["where"] == "sanitizer":
                reports.setdefault(line["invariant"], case)
        # An ERROR says something of the infrastructure, and nothing of the kernel.
        if case["verdict"] == "ERROR":
            broken.append(case)
        elif case["verdict"] == "FAIL":
            red.append(case)
            # The sanitizer's reports come last, so a reason of its own is another's.
            if not case["findings"] or case["findings"][0]["where"] != "sanitizer":
                own.append(case)
    fields = {"linux": head["kernel"], "cases": len(cases), "red": [c["case"] for c in red],
              "not_run": len(head["selected"]) - len(ended), "rules": sorted(reports)}
    if green is None:
        fields["green"] = [c["case"] for c in cases if c["verdict"] in ("PASS", "KNOWN")]
    # What the patch names is a better witness than what happens to come first.
    own.sort(key=lambda case: (not matches(case["case"], named), case["n"]))
    if not ran:
        fields.update(verdict="error", reason="no case was run")
    elif not cases:
        fields.update(verdict="error", reason="none of its cases is green without it")
    elif not own and broken:
        fields.update(verdict="error", reason=f'{broken[0]["case"]}: {broken[0]["reason"]}')
    elif not own and fields["not_run"]:
        fields.update(verdict="error", reason=f'time ran out for {fields["not_run"]} cases')
    else:
        fields["verdict"] = "caught" if own else "survived"
    if own:
        fields.update(case=own[0]["case"], reason=own[0]["reason"],
                      invariant=invariant_of(own[0], own[0]["findings"]),
                      seconds=round((when(own[0]["time"]) - started).total_seconds(), 1))
    if reports:
        first = min(reports.values(), key=lambda case: case["n"])
        fields["reported"] = {
            "case": first["case"],
            "seconds": round((when(first["time"]) - started).total_seconds(), 1)}
    return fields


def last_line(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            lines = [line.strip() for line in source if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "it does not say why"


def not_booted(said):
    """Fields of a line.  The host may have kept the machine from booting, as a full disk
    does; that it was the kernel is told by its console."""
    if "its console says: " in said:
        return {"verdict": "caught", "case": "", "invariant": "boot", "reason": said}
    return {"verdict": "error", "reason": said}


def record(args):
    patch = Patch(args.patch) if args.patch else None
    line = {"mutant": patch.name if patch else CONTROL, "sanitizer": args.sanitizer,
            "key": args.key, "whole": args.whole, "commit": args.commit,
            "time": now()}
    green = None
    if args.control:
        green = judge(args.control, [], None)["green"]
    elif patch:
        green = latest(read_lines(args.file)).get((CONTROL, args.sanitizer), {}).get("green")
        if green is None:
            raise Unreadable(f"{args.file} does not tell which cases are green without a mutant")
    if args.not_built:
        line.update(verdict="error", reason=last_line(args.not_built))
    elif args.not_booted:
        line.update(not_booted(last_line(args.not_booted)))
    else:
        line.update(judge(args.run, patch.tests if patch else [], green))
    write_line(args.file, line)
    print(in_short(line))


def in_short(line):
    text = f'{line["mutant"]:26} {line["sanitizer"]:5} {line["verdict"]}'
    if line["verdict"] == "caught":
        text += f' by {line["case"] or "the boot"}'
        if line["invariant"]:
            text += f' ({line["invariant"]})'
        if "seconds" in line:
            text += f' after {line["seconds"]} s'
    elif line["verdict"] == "error":
        text += f': {line["reason"]}'
    if "cases" in line:
        text += f', {len(line["red"])} of {line["cases"]} red'
    if line.get("rules"):
        text += f', sanitizer: {", ".join(line["rules"])}'
    if line.get("not_run"):
        text += f', {line["not_run"]} not run'
    return text


#
# What they say together
#

def complaints(lines, patches):
    """What is not as it must be, a sentence each."""
    for mode in MODES:
        control = lines.get((CONTROL, mode))
        if control and control["verdict"] != "survived":
            yield (f'without a mutant, sanitizer {mode}: '
                   f'{control.get("reason") or control["verdict"]}')
    for patch in patches:
        off, warn = (lines.get((patch.name, mode)) for mode in MODES)
        for line in (off, warn):
            if line and line["verdict"] == "error":
                yield f'{patch.name}: {line["reason"]}'
        if off and off["verdict"] == "survived" and not patch.survives:
            yield f"{patch.name}: survived, and its header does not say why"
        if off and off["verdict"] == "caught" and patch.survives:
            yield f'{patch.name}: caught by {off["case"]}, and its header says that it survives'
        if warn and patch.rule and patch.rule not in warn.get("rules", []) and \
           warn["verdict"] != "error":
            yield f"{patch.name}: the sanitizer did not report {patch.rule}"


def cell(text):
    return text.replace("|", "\\|")


def own_cell(patch, line):
    if not line:
        return "not run"
    if line["verdict"] == "caught" and not line["case"]:
        return f'at boot: {cell(line["reason"])}'
    if line["verdict"] == "caught":
        name = f'{line["invariant"]}, ' if line["invariant"] else ""
        return (f'`{line["case"]}`: {name}{line["seconds"]:g} s, '
                f'{len(line["red"])} of {line["cases"]} cases red')
    if line["verdict"] == "survived":
        return f"**survived**: {cell(patch.survives or 'unexplained')}"
    return f'error: {cell(line["reason"])}'


def sanitizer_cell(patch, line):
    if not line:
        return "not run"
    if not line.get("rules"):
        return "no" if line["verdict"] != "error" else "error"
    rules = sorted(line["rules"], key=lambda rule: (rule != patch.rule, rule))
    return f'{", ".join(rules)}: {line["reported"]["seconds"]:g} s'


def scores(lines, patches):
    """Rows of who caught how many."""
    off = [lines[patch.name, "off"] for patch in patches if (patch.name, "off") in lines]
    warn = [lines[patch.name, "warn"] for patch in patches if (patch.name, "warn") in lines]
    caught = sum(line["verdict"] == "caught" for line in off)
    reported = sum(bool(line.get("rules")) for line in warn)
    either = sum(lines.get((patch.name, "off"), {}).get("verdict") == "caught" or
                 bool(lines.get((patch.name, "warn"), {}).get("rules")) for patch in patches)
    return (f"| of {len(patches)} mutants | caught |\n|---|---|\n"
            f"| by the suite's own probes | {caught} of {len(off)} |\n"
            f"| by the sanitizer | {reported} of {len(warn)} |\n"
            f"| by either | {either} |")


def short(args):
    """The same in a few lines, for the README."""
    lines = latest(read_lines(args.file))
    patches = [Patch(path) for path in args.patch]
    print(scores(lines, patches))
    left = [patch.name for patch in patches if lines.get((patch.name, "off"), {}).get("verdict") == "survived"]
    if left:
        print("\nThose that the suite's own probes do not see, with the reasons in "
              "[docs/mutants.md](docs/mutants.md): " + ", ".join(left) + ".")


def table(args):
    all_lines = read_lines(args.file)
    lines = latest(all_lines)
    patches = [Patch(path) for path in args.patch]
    ran = [line for line in lines.values() if "linux" in line]
    if not ran:
        raise Unreadable(f"{args.file} has nothing to show; run make mutants first")
    # Each run of some of the mutants has a control of its own.
    controls = [line for line in all_lines if line["mutant"] == CONTROL]
    never = sorted({case for line in controls for case in line.get("red", [])})
    commits = list(dict.fromkeys(line["commit"] for line in ran))
    print(f"""# Mutant kernels

<!-- Generated by scripts/mutants.py from what "make mutants" found; do not edit. -->

Kernels that are wrong on purpose, and who notices. Each is
[a small patch](../tests/mutants/README.md) on Linux {ran[-1]["linux"]} with
[a conversion in place](../configs/kernel/patches/in-place-conversion.patch); the suite runs against it
in the emulated machine, once without the machine's sanitizer, as hardware has none, and
once with it. A case counts by what it finds that is not known of Linux without the patch
([errata](../configs/errata.json)), and only if nothing else was found there, in the same kernel{"; none was red there" if not never else "; red there were " + ", ".join(f"`{case}`" for case in never)}.

{scores(lines, patches)}

Seconds are of this host, from the first case on. Commit {", ".join(commits)}, {max(line["time"] for line in ran)[:10]}.

| mutant | stands for | caught by the suite's own probes | by the sanitizer |
|---|---|---|---|""")
    for patch in patches:
        print(f"| [{patch.name}](../tests/mutants/{patch.name}.patch) | {cell(patch.bug)} | "
              f"{own_cell(patch, lines.get((patch.name, 'off')))} | "
              f"{sanitizer_cell(patch, lines.get((patch.name, 'warn')))} |")


def verdict(args):
    found = list(complaints(latest(read_lines(args.file)), [Patch(path) for path in args.patch]))
    for text in found:
        print(text)
    return 1 if found else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("tests")
    command.add_argument("patch", nargs="+")
    for field in ("rounds", "module", "arguments"):
        commands.add_parser(field).add_argument("patch")
    command = commands.add_parser("find")
    command.add_argument("file")
    command.add_argument("key")
    command = commands.add_parser("run")
    command.add_argument("folder")
    command.add_argument("--machine", required=True, help="the tool")
    command.add_argument("--dir", required=True, help="where it was started")
    command.add_argument("--linux", required=True, help="version of its kernel")
    command.add_argument("--number", type=int, default=0, help="which mutant it is to be")
    command.add_argument("--sanitizer", choices=MODES, required=True)
    command.add_argument("--rounds", help="SEPT_ROUNDS for the cases")
    command.add_argument("--seed", default="0")
    command.add_argument("--seconds", type=int, default=60, help="limit of a case")
    command.add_argument("--limit", type=int, default=150,
                         help="after so many of this host no other case begins")
    command.add_argument("case", nargs="+")
    command = commands.add_parser("record")
    command.add_argument("file")
    command.add_argument("--key", required=True)
    command.add_argument("--patch", help="none: the kernel without a mutant")
    command.add_argument("--sanitizer", choices=MODES, required=True)
    command.add_argument("--control", help="folder of a run without it; else the last control")
    became = command.add_mutually_exclusive_group(required=True)
    became.add_argument("--run", help="folder of its run")
    became.add_argument("--not-built", help="file with what was said instead")
    became.add_argument("--not-booted", help="the same")
    command.add_argument("--whole", action="store_true")
    command.add_argument("--commit", default="unknown")
    for name in ("table", "short", "verdict"):
        command = commands.add_parser(name)
        command.add_argument("file")
        command.add_argument("patch", nargs="+")
    args = parser.parse_args()
    try:
        if args.command == "tests":
            for path in args.patch:
                print("\n".join(Patch(path).tests))
        elif args.command in ("rounds", "module", "arguments"):
            print(getattr(Patch(args.patch), args.command))
        elif args.command == "find":
            return 0 if any(line["key"] == args.key and line["verdict"] != "error"
                            for line in latest(read_lines(args.file)).values()) else 1
        elif args.command == "run":
            run(args)
        elif args.command == "record":
            record(args)
        elif args.command == "table":
            table(args)
        elif args.command == "short":
            short(args)
        else:
            return verdict(args)
    except (Unreadable, OSError) as error:
        print(f"mutants.py: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
