"""Shows that models trained by undertone load in Python's transformers, and those of transformers in undertone, with equal scores.

    pip install torch transformers
    cargo build && python scripts/transformers_interop.py target/debug/undertone

For BERT and every relative of it in the parity fixtures it trains a tiny model with a sentence and a token head on that family's encoder,
exports both heads with `undertone models export` in f32, f16 and bf16, loads each folder with the Auto class of
transformers (no key missing, none left over), and compares what the pipelines of transformers say of some texts with what
undertone says. Then the other way round: transformers trains the exported classifier for a step and saves it with
`save_pretrained`, and undertone reads that folder.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)
from transformers.utils import logging

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ROOT / "tests/fixtures/families"
TEXTS = [
    "Ana Duarte said on Friday that the troops may leave Zürich.",
    "We condemn the pact.",
    "They met.",
]
LABELS = ["condemnation", "speculation"]
DTYPES = ["f32", "f16", "bf16"]
# In f32, from weights of any of these types.
TOLERANCE = 1e-4
FAILED = []


def check(holds: bool, what: str) -> None:
    print("ok     " if holds else "FAILED ", what)
    if not holds:
        FAILED.append(what)


def undertone(*args: object, text: str | None = None) -> list[dict[str, Any]]:
    command = [sys.argv[1], *map(str, args)]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]


def settings(folder: Path, base: Path) -> Path:
    """Settings that make a model whose heads transformers has: its own pooling, no casing embedding."""
    kind = json.loads((base / "config.json").read_text())
    pooling = {
        "distilbert": "pooler-relu",
        "electra": "pooler-gelu",
        "deberta-v2": "pooler-gelu",
        "modernbert": {"cls": "first"}.get(kind.get("classifier_pooling"), "mean"),
    }.get(kind["model_type"], "pooler")
    transform = str(kind["model_type"] == "modernbert").lower()
    data = folder / "data.jsonl"
    texts = [
        ("We condemn the pact", ["condemnation"]),
        ("Ana Duarte may leave", ["speculation"]),
        ("They met on Friday", []),
    ]
    # Whole sentences are entities, so that even a model that has hardly learnt finds some.
    entities = [[{"start": 0, "end": len(text), "label": "PER", "text": text}] for text, _ in texts]
    sentences = [
        {"text": text, "stance": stance, "entities": found}
        for (text, stance), found in zip(texts, entities, strict=True)
    ]
    lines = [json.dumps(sentence) + "\n" for sentence in sentences * 8]
    data.write_text("".join(lines))
    file = folder / "settings.toml"
    file.write_text(
        f'base = "{base}"\nnew_head = true\nlabels = {LABELS}\nentity_types = ["PER"]\n'
        f'pooling = "{pooling}"\ntransform = {transform}\n[training]\nepochs = 2\nbatch_size = 8\nlearning_rate = 1e-3\n'
        f'max_tokens = 32\n[[train]]\npath = "{data}"\n[[dev]]\npath = "{data}"\n'
    )
    return file


def scores_of(model: Path) -> list[dict[str, float]]:
    lines = "".join(text + "\n" for text in TEXTS)
    found = undertone("classify", "-m", model, "--input-format", "lines", "-", text=lines)
    return [record["scores"] for record in found]


def pieces_of(model: Path) -> list[list[tuple[str, int, int, float]]]:
    found = []
    for text in TEXTS:
        options = ("--aggregation", "none", "--input-format", "lines")
        [record] = undertone("ner", "-m", model, *options, "-", text=text + "\n")
        found.append(
            [(e["label"], e["start"], e["end"], e["score"]) for e in record["entities"]]
        )
    return found


def loads(auto: Any, folder: Path) -> Any:
    """The model, if transformers finds every tensor under its name and none besides."""
    # In the type that the folder has; answers are then computed in f32, as undertone does.
    model, info = auto.from_pretrained(folder, output_loading_info=True)
    wrong = {key: value for key, value in info.items() if value}
    named = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    typed = model.dtype == named[folder.name.rsplit("-", 1)[-1]]
    return None if wrong or not typed else model.float()


def differences(ours: list[dict[str, float]], model: Any, folder: Path) -> float:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    theirs = [
        {found["label"]: found["score"] for found in classify(text, top_k=None)} for text in TEXTS
    ]
    return max(abs(a[label] - b[label]) for a, b in zip(ours, theirs, strict=True) for label in a)


def sequence(name: str, folder: Path, dtype: str) -> None:
    model = loads(AutoModelForSequenceClassification, folder)
    check(model is not None, f"{name}, {dtype}: transformers finds all weights of the classifier in their type")
    if model is None:
        return
    config = model.config
    labels = [config.id2label[i] for i in range(config.num_labels)]
    check(labels == LABELS, f"{name}, {dtype}: its labels are {labels}")
    apart = differences(scores_of(folder), model, folder)
    check(apart < TOLERANCE, f"{name}, {dtype}: the scores differ by {apart:.1e}")


def tokens(name: str, folder: Path, dtype: str) -> None:
    model = loads(AutoModelForTokenClassification, folder)
    check(model is not None, f"{name}, {dtype}: transformers finds all weights of the tagger in their type")
    if model is None:
        return
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tag = pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu")
    theirs = [
        (i, e["entity"], int(e["start"]), int(e["end"]), float(e["score"]))
        for i, text in enumerate(TEXTS)
        for e in tag(text)
    ]
    ours = [(i, *piece) for i, found in enumerate(pieces_of(folder)) for piece in found]
    same = [piece[:-1] for piece in ours] == [piece[:-1] for piece in theirs]
    check(same and bool(ours), f"{name}, {dtype}: both tag the same {len(theirs)} pieces")
    if same and ours:
        apart = max(abs(a[-1] - b[-1]) for a, b in zip(ours, theirs, strict=True))
        check(apart < TOLERANCE, f"{name}, {dtype}: their scores differ by {apart:.1e}")


def back(name: str, folder: Path, output: Path) -> None:
    """One step of training in transformers, `save_pretrained`, and undertone reads the result."""
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(folder).train()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXTS, return_tensors="pt", padding=True)
    gold = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model(**batch, labels=gold).loss.backward()
    optimizer.step()
    model.eval().save_pretrained(output)
    tokenizer.save_pretrained(output)
    scores = scores_of(output)
    moved = max(
        abs(a[label] - b[label]) for a, b in zip(scores, scores_of(folder), strict=True) for label in a
    )
    apart = differences(scores, model, output)
    check(moved > 1e-3, f"{name}: a step in transformers moves the scores by {moved:.1e}")
    check(apart < TOLERANCE, f"{name}: saved there, they differ here by {apart:.1e}")


def main() -> None:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore")
    relatives = sorted(path for path in FAMILIES.iterdir() if (path / "token").is_dir())
    for family in [FAMILIES.parent / "bert", *relatives]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = folder / "trained"
            file = settings(folder, family / "sequence")
            undertone("train", "-q", "--config", file, "--output", model)
            for dtype in DTYPES:
                for head, test in [("stance", sequence), ("entities", tokens)]:
                    output = folder / f"{head}-{dtype}"
                    options = ("--task", head, "--dtype", dtype)
                    undertone("models", "export", model, output, *options)
                    test(family.name, output, dtype)
            back(family.name, folder / "stance-f32", folder / "back")
    print(f"{len(FAILED)} failed" if FAILED else "all hold")
    sys.exit(bool(FAILED))


if __name__ == "__main__":
    main()
