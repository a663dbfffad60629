#!/usr/bin/env python3
"""Leaves sentences out of a corpus that may not be published.

Usage: scripts/leave_out.py CORPUS KEYS > REST

CORPUS is JSONL with `text`; KEYS names a sentence a line by the first 16 hexadecimal digits of the SHA-256 of its text.
Every key must find its sentence.
"""

import json
import sys
from pathlib import Path

from wire_sentences import key


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    corpus, keys = (Path(path).read_text(encoding="utf-8").splitlines() for path in sys.argv[1:])
    found = {line: key(json.loads(line)["text"]) for line in corpus}
    if missing := set(keys) - set(found.values()):
        sys.exit(f"error: {sys.argv[1]} has no sentence for {len(missing)} keys, such as {min(missing)}")
    for line in corpus:
        if found[line] not in keys:
            print(line)


if __name__ == "__main__":
    main()
