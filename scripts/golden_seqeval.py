"""Make the fixture for entity counts: random tag sequences and how seqeval counts them.

    pip install seqeval
    python scripts/golden_seqeval.py tests/fixtures/seqeval.json

Writes pairs of gold and predicted tags, well-formed and not, each with the entities
that seqeval's default (lenient) mode reads in both, its micro counts and its F1, and
where all tags are of IOB2 its F1 in strict mode; then counts, F1, accuracy and the whole
report of all pairs together, and the strict report of those in IOB2. `tests/it/seqeval.rs` reads the file. Seeded: the
same version of seqeval gives the same file.
"""

import argparse
import json
import platform
import random
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seqeval.metrics import accuracy_score, classification_report, f1_score
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2

SEED = 20240611
RANDOM_PAIRS = 36
# A type with a hyphen in it is cut at the first one.
TYPES = ["PER", "LOC", "ORG", "GPE-LOC"]

# Chance alone would meet these rarely, if ever.
DELIBERATE = [
    ([], []),
    (["O", "O", "O"], ["O", "O", "O"]),
    (["O", "B-PER", "I-PER", "O"], ["O", "I-PER", "I-PER", "O"]),
    (["B-PER", "I-PER", "I-PER"], ["B-PER", "I-LOC", "I-PER"]),
    (["B-PER", "B-PER", "I-PER"], ["I-PER", "B-PER", "I-PER"]),
    (["B-LOC", "I-LOC", "E-LOC", "S-PER"], ["B-LOC", "I-LOC", "I-LOC", "B-PER"]),
    (
        ["E-PER", "E-PER", "I-PER", "S-PER", "I-PER"],
        ["S-PER", "S-PER", "B-PER", "S-PER", "E-PER"],
    ),
    (["B", "I", "O", "I"], ["I", "I", "O", "B"]),
    # seqeval#23 and #25: an `I-` that begins an entity, on either side.
    (["B-PER", "I-PER"], ["I-PER", "I-PER"]),
    (["I-PER", "I-PER", "O"], ["B-PER", "I-PER", "O"]),
    (["B-LOC", "I-ORG", "I-ORG"], ["B-LOC", "B-ORG", "I-ORG"]),
    # The example of its README.
    (
        ["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"],
        ["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"],
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="JSON file to write")
    output: Path = parser.parse_args().output

    # seqeval warns where there is nothing to score; there are such pairs on purpose.
    warnings.simplefilter("ignore")
    chance = random.Random(SEED)
    pairs = DELIBERATE + [random_pair(chance, i) for i in range(RANDOM_PAIRS)]
    golden = {
        "script": "scripts/golden_seqeval.py",
        "versions": {
            "python": platform.python_version(),
            "seqeval": version("seqeval"),
        },
        "all": scores([gold for gold, _ in pairs], [found for _, found in pairs]),
        "accuracy": float(
            accuracy_score([gold for gold, _ in pairs], [found for _, found in pairs])
        ),
        "report": report(pairs),
        "strict_report": report(
            [pair for pair in pairs if all(map(is_iob2, pair))],
            mode="strict",
            scheme=IOB2,
        ),
    }
    items = [
        {
            "gold": gold,
            "found": found,
            "gold_entities": half_open(gold),
            "found_entities": half_open(found),
            **scores([gold], [found]),
            "strict_f1": (
                float(f1_score([gold], [found], mode="strict", scheme=IOB2))
                if gold and is_iob2(gold) and is_iob2(found)
                else None
            ),
        }
        for gold, found in pairs
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(one_line_each(golden, "pairs", items), encoding="utf-8")


def random_pair(chance: random.Random, number: int) -> tuple[list[str], list[str]]:
    """Gold tags and a prediction that shares most of them.

    Every fourth prediction has nothing to do with the gold tags.
    """
    marks = ["BIO", "BIOES", "IO"][number % 3]
    length = chance.randint(1, 16)
    gold = well_formed(chance, length) if number % 2 else junk(chance, length, marks)
    if number % 4 == 3:
        return gold, junk(chance, length, marks)
    return gold, [
        junk(chance, 1, marks)[0] if chance.random() < 0.25 else tag for tag in gold
    ]


def well_formed(chance: random.Random, length: int) -> list[str]:
    tags: list[str] = []
    while len(tags) < length:
        kind = chance.choice(TYPES)
        tags += (
            ["O"] * chance.randint(0, 2)
            + [f"B-{kind}"]
            + [f"I-{kind}"] * chance.randint(0, 3)
        )
    return tags[:length]


def junk(chance: random.Random, length: int, marks: str) -> list[str]:
    """Any mark with any type; of two types only, so that runs of one are likely."""
    kinds = chance.sample(TYPES, 2)
    drawn = [chance.choice(marks) for _ in range(length)]
    return ["O" if mark == "O" else f"{mark}-{chance.choice(kinds)}" for mark in drawn]


def half_open(tags: list[str]) -> list[tuple[str, int, int]]:
    """seqeval's entities, whose last word is inclusive, as `(type, start, end)`."""
    return [(kind, start, end + 1) for kind, start, end in get_entities(tags)]


def scores(gold: list[list[str]], found: list[list[str]]) -> dict[str, Any]:
    expected, predicted = set(get_entities(gold)), set(get_entities(found))
    return {
        "true_positives": len(expected & predicted),
        "predicted": len(predicted),
        "gold_count": len(expected),
        "f1": float(f1_score(gold, found)),
    }


def is_iob2(tags: list[str]) -> bool:
    return all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags)


def report(pairs: list[tuple[list[str], list[str]]], **mode: Any) -> dict[str, Any]:
    """Precision, recall, F1 and support of each type and of the three averages."""
    gold, found = [gold for gold, _ in pairs], [found for _, found in pairs]
    rows = classification_report(gold, found, output_dict=True, **mode)
    return {
        name: {key: float(value) for key, value in row.items()}
        for name, row in rows.items()
    }


def one_line_each(head: dict[str, Any], name: str, items: list[dict[str, Any]]) -> str:
    """JSON with readable diffs: `head` indented, then `name` with an item a line."""
    lines = ",\n".join("    " + json.dumps(item) for item in items)
    opened = json.dumps(head, indent=2).removesuffix("\n}")
    return f'{opened},\n  "{name}": [\n{lines}\n  ]\n}}\n'


if __name__ == "__main__":
    main()
