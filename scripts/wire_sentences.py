#!/usr/bin/env python3
"""Lays running news sentences out for stance labels, and joins the labels that were given to them.

Usage: scripts/wire_sentences.py CORPORA             every sentence, as JSONL on standard output
       scripts/wire_sentences.py CORPORA LABELS      those that LABELS has labels for, with them

The sentences are those of CORPORA/conll2003/train.txt that are prose (eight words or more, not all capitals, with a full
stop), put together again from their tokens, and those of CORPORA/cameo_class/*.jsonl. Neither may be published, so
LABELS (JSONL: `key`, `stance`) names a sentence by the first 16 hexadecimal digits of the SHA-256 of its text.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path


def joined(tokens: list[str]) -> str:
    """The tokens as running text: no space before closing punctuation, none inside quotation marks."""
    text = " ".join(tokens)
    text = re.sub(r" ([.,;:?!%)\]]|'s\b|'re\b|'ve\b|n't\b|'ll\b|'d\b|'m\b)", r"\1", text)
    text = re.sub(r"([(\[$]) ", r"\1", text)
    return re.sub(r'" ([^"]*?) "', r'"\1"', text)


def conll(path: Path) -> Iterator[str]:
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        tokens = [line.split()[0] for line in block.splitlines() if line.strip()]
        prose = len(tokens) >= 8 and tokens[-1] in {".", '"'} and not " ".join(tokens).isupper()
        if prose and sum(token.islower() for token in tokens) >= len(tokens) / 2:
            yield joined(tokens)


def sentences(corpora: Path) -> Iterator[tuple[str, str]]:
    """Source and text, every text once."""
    seen = set()
    sources = [("conll2003", text) for text in conll(corpora / "conll2003/train.txt")]
    for name in ("train", "test"):
        lines = (corpora / f"cameo_class/{name}.jsonl").read_text(encoding="utf-8").splitlines()
        sources += [("cameo_class", json.loads(line)["text"].strip()) for line in lines]
    for source, text in sources:
        if text not in seen:
            seen.add(text)
            yield source, text


def key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_labels(path: Path) -> dict[str, list[str]]:
    """The labels of sentences, by their keys."""
    records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {record["key"]: record["stance"] for record in records}


def main() -> None:
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    labels = read_labels(Path(sys.argv[2])) if len(sys.argv) == 3 else None
    found = 0
    for source, text in sentences(Path(sys.argv[1])):
        record = {"id": key(text), "source": source, "text": text}
        if labels is not None:
            if record["id"] not in labels:
                continue
            record["stance"] = labels[record["id"]]
            found += 1
        print(json.dumps(record, ensure_ascii=False))
    if labels is not None and found < len(labels):
        print(f"warning: {len(labels) - found} labels have no sentence here", file=sys.stderr)


if __name__ == "__main__":
    main()
