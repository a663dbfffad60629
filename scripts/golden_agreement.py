"""Make the fixture for agreement: two annotators' files and the coefficients that others compute.

    pip install scikit-learn krippendorff nltk seqeval
    python scripts/golden_agreement.py tests/fixtures/agreement.json

Writes two labelled files (sentences a line, as text) and, for each label and for whole sets of
labels, Cohen's kappa by scikit-learn, Krippendorff's alpha by `krippendorff` (nominal) and by NLTK
(MASI distance, with the 2/3 and 1/3 of Passonneau 2006, which NLTK's own function rounds); for
entities, seqeval's F1 and scikit-learn's kappa over words. `tests/it/datasets.rs` reads the file.
Seeded: the same versions give the same file.
"""

import argparse
import json
import platform
import random
from importlib.metadata import version
from pathlib import Path

import krippendorff
import numpy as np
from nltk.metrics.agreement import AnnotationTask
from seqeval.metrics import f1_score
from sklearn.metrics import cohen_kappa_score

SEED = 20240611
SENTENCES = 60
LABELS = ["condemnation", "reassurance", "speculation"]
TYPES = ["LOC", "ORG", "PER"]
WORDS = ["peace", "talks", "envoy", "Lima", "Oslo", "Duarte", "said", "may", "end", "Friday"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="JSON file to write")
    output: Path = parser.parse_args().output

    chance = random.Random(SEED)
    sentences = [annotated(chance, number) for number in range(SENTENCES)]
    sets = [[frozenset(side["labels"]) for side in pair] for pair in sentences]
    tags = [[iob2(side) for side in pair] for pair in sentences]
    words = [[types(side) for side in pair] for pair in sentences]
    flat = [[tag for pair in words for tag in pair[side]] for side in (0, 1)]
    golden = {
        "script": "scripts/golden_agreement.py",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ["krippendorff", "nltk", "scikit-learn", "seqeval"]},
        },
        "a": "".join(record(pair[0]) for pair in sentences),
        "b": "".join(record(pair[1]) for pair in sentences),
        "labels": {label: coefficients([[label in s for s in pair] for pair in sets]) for label in LABELS},
        "sets": {
            **coefficients([["+".join(sorted(s)) for s in pair] for pair in sets]),
            "alpha_masi": AnnotationTask(
                [(side, number, pair[side]) for number, pair in enumerate(sets) for side in (0, 1)],
                distance=masi,
            ).alpha(),
        },
        "entity_f1": f1_score([pair[0] for pair in tags], [pair[1] for pair in tags]),
        "word_kappa": cohen_kappa_score(*flat),
        "words": len(flat[0]),
    }
    output.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def annotated(chance: random.Random, number: int) -> list[dict]:
    """A sentence as two annotators have it; the second strays from the first now and then."""
    words = [chance.choice(WORDS) for _ in range(chance.randint(3, 9))]
    labels = [label for label in LABELS if chance.random() < 0.3]
    others = [label for label in LABELS if (label in labels) != (chance.random() < 0.15)]
    spans = cut(chance, len(words))
    other_spans = [span for span in spans if chance.random() < 0.8] if chance.random() < 0.7 else cut(chance, len(words))
    text = f"{number} " + " ".join(words)
    side = {"id": number, "text": text, "words": [str(number), *words]}
    return [{**side, "labels": labels, "spans": spans}, {**side, "labels": others, "spans": other_spans}]


def cut(chance: random.Random, words: int) -> list[tuple[int, int, str]]:
    """Entities over the words behind the number, which do not touch."""
    spans, start = [], 1
    while start <= words:
        length = chance.randint(1, 2)
        if chance.random() < 0.3 and start + length <= words + 1:
            spans.append((start, start + length, chance.choice(TYPES)))
            start += length
        start += 1
    return spans


def record(side: dict) -> str:
    offsets = [0]
    for word in side["words"]:
        offsets.append(offsets[-1] + len(word) + 1)
    entities = [
        {
            "start": offsets[start],
            "end": offsets[end] - 1,
            "label": label,
            "text": side["text"][offsets[start] : offsets[end] - 1],
        }
        for start, end, label in side["spans"]
    ]
    fields = {"id": side["id"], "text": side["text"], "labels": side["labels"], "entities": entities}
    return json.dumps(fields) + "\n"


def iob2(side: dict) -> list[str]:
    tags = ["O"] * len(side["words"])
    for start, end, label in side["spans"]:
        tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tags


def types(side: dict) -> list[str]:
    return [tag.split("-")[-1] for tag in iob2(side)]


def coefficients(pairs: list) -> dict:
    first, second = zip(*pairs)
    values = sorted(set(first) | set(second))
    data = np.array([[values.index(value) for value in side] for side in (first, second)])
    return {
        "kappa": cohen_kappa_score(first, second),
        "alpha": krippendorff.alpha(reliability_data=data, level_of_measurement="nominal"),
    }


def masi(a: frozenset, b: frozenset) -> float:
    if a == b:
        return 0.0
    shared = len(a & b)
    monotonic = 2 / 3 if a <= b or b <= a else 1 / 3
    return 1 - shared / len(a | b) * monotonic


if __name__ == "__main__":
    main()
