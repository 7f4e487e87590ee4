#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Replace a generated part of a document by what is on stdin.

Usage: block.py FILE NAME <TEXT

The part is between the lines "<!-- NAME: ... -->" and "<!-- end of NAME -->", which stay.
"""
import os
import re
import sys


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    path, name = sys.argv[1:]
    words = sys.stdin.read()
    with open(path, encoding="utf-8") as source:
        text = source.read()
    part = re.compile(rf"(<!-- {re.escape(name)}: [^\n]*-->\n).*?(<!-- end of {re.escape(name)} -->\n)",
                      re.DOTALL)
    new, found = part.subn(lambda match: match[1] + words + match[2], text)
    if found != 1:
        print(f"block.py: {path} has {found} parts {name}, want 1", file=sys.stderr)
        return 3
    if not words:
        print(f"block.py: there is nothing to put into {path}", file=sys.stderr)
        return 3
    with open(path + ".new", "w", encoding="utf-8") as target:
        target.write(new)
    os.replace(path + ".new", path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
