#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make one patch of many mutants, of which one is chosen while the kernel runs.

  mutants_together.py files PATCH...
        the source files that they change, one a line
  mutants_together.py patch SOURCES OUT PATCH...
        write the one patch for the files below SOURCES to OUT; prints "NUMBER NAME"
        of each mutant in it, and "- NAME" of each that has to be built alone

A kernel takes as long to link as all its mutants take to run.  So each function
that a mutant changes is there once more for that mutant, and the original begins
with a jump to the one of the mutant that is chosen:

        if (kvm_mutant == 7)
                return tdx_track__mutant7(kvm);

/sys/module/kvm/parameters/mutant says which, 0 none.  What is changed outside of
functions, as in a macro, cannot be chosen at run time.

Exit status: 0; 2 usage; 3 a patch does not apply.
"""

import difflib
import os
import re
import subprocess
import sys
import tempfile

SWITCH_FILE = "virt/kvm/kvm_main.c"
SWITCH_BEHIND = "DEFINE_MUTEX(kvm_lock);\n"
SWITCH = ("\n/* Which mutant is alive. */\nunsigned int kvm_mutant;\n"
          "module_param_named(mutant, kvm_mutant, uint, 0644);\n")
DECLARATION = "extern unsigned int kvm_mutant;\n\n"


def files_of(path):
    with open(path, encoding="utf-8") as source:
        return sorted(set(re.findall(r"^\+\+\+ b/(\S+)", source.read(), re.M)))


def patched(sources, path):
    """The files that a patch changes, as {name: text}."""
    with tempfile.TemporaryDirectory() as folder:
        for name in files_of(path):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with open(os.path.join(sources, name), encoding="utf-8") as source, \
                 open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                out.write(source.read())
        with open(path, "rb") as patch:
            done = subprocess.run(["patch", "-s", "-f", "-p1", "--no-backup-if-mismatch"],
                                  stdin=patch, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            print(f"mutants_together.py: {path} does not apply: {done.stdout.strip()}",
                  file=sys.stderr)
            sys.exit(3)
        texts = {}
        for name in files_of(path):
            with open(os.path.join(folder, name), encoding="utf-8") as source:
                texts[name] = source.read()
        return texts


def functions(text):
    """Split a file as the kernel's style allows: [(name or None, text)], in order.

    A function's body is between lines that are "{" and "}" alone; its header begins
    behind the last line before that is empty or ends something else.
    """
    lines = text.splitlines(keepends=True)
    parts, begin, at = [], 0, 0
    while at < len(lines):
        if lines[at] != "{\n":
            at += 1
            continue
        head = at
        while head > begin and not re.match(r"\s*$|\}|#|.*(;|\*/)\s*$", lines[head - 1]):
            head -= 1
        end = at
        while lines[end] != "}\n":
            end += 1
        name = re.search(r"(\w+)\s*\(", "".join(lines[head:at]))
        if name and "=" not in "".join(lines[head:at]):
            parts.append((None, "".join(lines[begin:head])))
            parts.append((name[1], "".join(lines[head:end + 1])))
            begin = end + 1
        at = end + 1
    parts.append((None, "".join(lines[begin:])))
    return parts


def changes(old, new):
    """{function: its new text}; None if something else differs."""
    a, b = functions(old), functions(new)
    if [name for name, _ in a] != [name for name, _ in b]:
        return None
    found = {}
    for (name, before), (_, after) in zip(a, b):
        if before == after:
            continue
        if not name or before.partition("\n{\n")[0] != after.partition("\n{\n")[0]:
            return None
        found[name] = after
    return found


def call(name, header):
    """How a function hands its work to another of the same arguments."""
    inside = header[header.index(name) + len(name):]
    inside = inside[inside.index("(") + 1:inside.rindex(")")]
    words = [re.search(r"(\w+)\s*(\[\w*\])?\s*$", part)[1] for part in inside.split(",")]
    arguments = "" if words == ["void"] else ", ".join(words)
    void = re.search(r"\bvoid\s+" + name + r"\b", header)
    return (lambda to: f"{{ {to}({arguments}); return; }}") if void else \
           (lambda to: f"return {to}({arguments});")


def combine(text, variants):
    """@text with @variants, {function: [(number, text)]}, of its functions."""
    out = []
    for name, part in functions(text):
        jumps = ""
        for number, changed in variants.get(name, []):
            header = part.partition("\n{\n")[0]
            to = f"{name}__mutant{number}"
            changed = re.sub(rf"\b{name}\b", to, changed, count=1)
            out.append(("" if changed.startswith("static") else "static ") + changed + "\n")
            jumps += f"\tif (kvm_mutant == {number})\n\t\t{call(name, header)(to)}\n"
        if jumps:
            part = part.replace("\n{\n", "\n{\n" + jumps, 1)
        out.append(part)
    return "".join(out)


def with_switch(name, text):
    if name == SWITCH_FILE:
        assert SWITCH_BEHIND in text
        return text.replace(SWITCH_BEHIND, SWITCH_BEHIND + SWITCH, 1)
    return text.replace("\n#include", "\n" + DECLARATION + "#include", 1)


def wants_another_module(path):
    """What its header says under "Module:" is told to a machine when it boots."""
    with open(path, encoding="utf-8") as patch:
        return re.search(r"^Module:", patch.read().partition("\n--- ")[0], re.MULTILINE)


def make(sources, out, patches):
    variants, lone, number = {}, [], 0
    for path in patches:
        name = os.path.basename(path).removesuffix(".patch")
        if wants_another_module(path):
            lone.append(name)
            continue
        found = {}
        for file, new in patched(sources, path).items():
            with open(os.path.join(sources, file), encoding="utf-8") as source:
                found[file] = changes(source.read(), new)
        if None in found.values():
            lone.append(name)
            continue
        number += 1
        print(number, name)
        for file, texts in found.items():
            for function, text in texts.items():
                variants.setdefault(file, {}).setdefault(function, []).append((number, text))
    variants.setdefault(SWITCH_FILE, {})
    with open(out, "w", encoding="utf-8") as patch:
        for file in sorted(variants):
            with open(os.path.join(sources, file), encoding="utf-8") as source:
                old = source.read()
            new = with_switch(file, combine(old, variants[file]))
            patch.writelines(difflib.unified_diff(
                old.splitlines(keepends=True), new.splitlines(keepends=True),
                f"a/{file}", f"b/{file}"))
    for name in lone:
        print("-", name)


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "files":
        print("\n".join(sorted({SWITCH_FILE}.union(*map(files_of, sys.argv[2:])))))
    elif len(sys.argv) > 4 and sys.argv[1] == "patch":
        make(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
