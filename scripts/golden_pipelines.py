"""Make the golden file of `transformers`' pipelines: what they say with the tiny models of the parity fixtures.

    pip install torch transformers
    python scripts/golden_pipelines.py tests/fixtures/families tests/fixtures/pipelines.json

For every family it has, text by text,

    stance    the label scores of `pipeline("text-classification", top_k=None)`
    entities  per aggregation strategy what `pipeline("token-classification")` finds:
              label, start and end in code points, score
    zero_shot the scores of `pipeline("zero-shot-classification")`, one label alone and
              several at once, after the labels of the sequence classifier were called
              contradiction, neutral and entailment; nothing for a text that
              `transformers` cuts
    special   a text in which special tokens are written out, and the first two of the
              above for it

`tests/it/pipelines.rs` reads it. Texts are short: of longer ones `transformers` reads one
window, or overlapping ones that it merges by a rule of its own.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

from golden_bert import SENTENCES, one_line_each, versions
from transformers import pipeline

STRATEGIES = ["none", "simple", "first", "average", "max"]
CANDIDATES = ["war", "trade talks", "santé"]
TEXTS = [
    *[text for text in SENTENCES if text],
    "Ana Duarte's co-operation with NATO—said Zürich—isn't over; 1,200 left.",
    "  Two  spaces,\ttabs\nand lines ",
    "漢字 and 🕊️ ﬁne",
]


def digits(score: Any) -> float:
    return float(f"{float(score):.7g}")


def stance(folder: Path) -> list[dict[str, float]]:
    classify = pipeline("text-classification", model=str(folder), device="cpu")
    answers = [classify(text, top_k=None) for text in TEXTS]
    return [
        {found["label"]: digits(found["score"]) for found in answer}
        for answer in answers
    ]


def zero_shot(folder: Path) -> dict[str, list[list[float] | None]]:
    classify = pipeline("zero-shot-classification", model=str(folder), device="cpu")
    labels = dict(enumerate(["contradiction", "neutral", "entailment"]))
    classify.model.config.id2label = labels
    classify.model.config.label2id = {name: i for i, name in labels.items()}

    def is_cut(text: str) -> bool:
        pairs = [(text, f"This example is {label}.") for label in CANDIDATES]
        longest = max(len(classify.tokenizer(*pair)["input_ids"]) for pair in pairs)
        return longest > classify.tokenizer.model_max_length

    def scores(text: str, multi_label: bool) -> list[float] | None:
        if is_cut(text):
            return None
        answer = classify(text, CANDIDATES, multi_label=multi_label)
        found = dict(zip(answer["labels"], answer["scores"], strict=True))
        return [digits(found[label]) for label in CANDIDATES]

    return {
        name: [scores(text, several) for text in TEXTS]
        for name, several in [("one", False), ("several", True)]
    }


def entities(folder: Path) -> dict[str, list[list[list[Any]]]]:
    ner = pipeline("token-classification", model=str(folder), device="cpu")

    def found(text: str, strategy: str) -> list[list[Any]]:
        return [
            [
                entity.get("entity_group", entity.get("entity")),
                int(entity["start"]),
                int(entity["end"]),
                digits(entity["score"]),
            ]
            for entity in ner(text, aggregation_strategy=strategy)
        ]

    return {
        strategy: [found(text, strategy) for text in TEXTS] for strategy in STRATEGIES
    }


def special(folder: Path) -> dict[str, Any]:
    classify = pipeline(
        "text-classification", model=str(folder / "sequence"), device="cpu"
    )
    ner = pipeline("token-classification", model=str(folder / "token"), device="cpu")
    named = classify.tokenizer
    text = f"The {named.sep_token} troops {named.mask_token} left{named.cls_token}."
    return {
        "text": text,
        "stance": {
            found["label"]: digits(found["score"])
            for found in classify(text, top_k=None)
        },
        "entities": [
            [e["entity"], int(e["start"]), int(e["end"]), digits(e["score"])]
            for e in ner(text)
        ],
    }


def main(families: Path, output: Path) -> None:
    warnings.filterwarnings("ignore", message="Tokenizer does not support real words")
    folders = sorted(path for path in families.iterdir() if (path / "token").is_dir())
    items = [
        {
            "family": folder.name,
            "stance": stance(folder / "sequence"),
            "entities": entities(folder / "token"),
            "zero_shot": zero_shot(folder / "sequence"),
            "special": special(folder),
        }
        for folder in folders
    ]
    head = {"versions": versions(), "texts": TEXTS, "candidates": CANDIDATES}
    output.write_text(one_line_each(head, "families", items))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
