#!/usr/bin/env python3
"""Puts stance labels beside sentences whose text may not be published.

Usage: scripts/relabel.py SENTENCES LABELS            every sentence, with the label that LABELS has for it, or its own
       scripts/relabel.py SENTENCES LABELS --known    those alone that LABELS has a label for
       scripts/relabel.py SENTENCES LABELS --unknown  the others alone

SENTENCES is JSONL with `text`. LABELS, JSONL too (`key`, `stance`), names a sentence by the key of `scripts/wire_sentences.py`.
"""

import json
import sys
from pathlib import Path

from wire_sentences import key, read_labels


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[3:] not in ([], ["--known"], ["--unknown"]):
        sys.exit(__doc__)
    labels = read_labels(Path(sys.argv[2]))
    wanted = {"--known": {True}, "--unknown": {False}}.get("".join(sys.argv[3:]), {True, False})
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        label = labels.get(key(record["text"]))
        if label is not None:
            record["stance"] = label
        if (label is not None) in wanted:
            print(json.dumps(record, ensure_ascii=False))


if __name__ == "__main__":
    main()
