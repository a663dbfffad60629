"""Fine-tune a single-label classifier with torch and transformers, to compare with `undertone train --data`.

    pip install torch transformers
    python scripts/finetune_torch.py data/cameo_class models/base --seeds 3 --seed 123

The folder holds train.tsv, dev.tsv and test.tsv, a text and a label a line, without
header or quotes. Settings are those of `undertone train --data` without a settings file: AdamW
without weight decay, 5 epochs, batches of 16, 128 tokens, a peak rate of 4e-5, warm-up
over 6% of the steps, gradients clipped at 1; the epoch with the best macro-F1 on dev is
kept. Prints the figures on dev and test of every seed, and mean and standard deviation.
"""

import argparse
import statistics
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
    set_seed,
)

EPOCHS, BATCH, TOKENS, RATE, WARMUP = 5, 16, 128, 4e-5, 0.06


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("base", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=123)
    args = parser.parse_args()

    splits = {name: read(args.data / f"{name}.tsv") for name in ("train", "dev", "test")}
    labels = sorted({label for _, label in splits["train"]})
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    runs = []
    for seed in range(args.seed, args.seed + args.seeds):
        run = train(seed, splits, labels, tokenizer, args.base)
        print(f"seed {seed}:", told(run), flush=True)
        runs.append(run)
    for name in runs[0]:
        values = [run[name] for run in runs]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name}: {statistics.mean(values):.4f} ± {deviation:.4f}")


def read(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [tuple(line.rsplit("\t", 1)) for line in lines if line.strip()]


def train(seed, splits, labels, tokenizer, base) -> dict[str, float]:
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(labels))
    sentences = splits["train"]
    steps = -(-len(sentences) // BATCH) * EPOCHS
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, int(WARMUP * steps), steps)
    best: dict[str, float] = {}
    for _ in range(EPOCHS):
        model.train()
        order = torch.randperm(len(sentences)).tolist()
        for start in range(0, len(order), BATCH):
            batch = [sentences[i] for i in order[start : start + BATCH]]
            inputs = encode(tokenizer, [text for text, _ in batch], TOKENS)
            gold = torch.tensor([labels.index(label) for _, label in batch])
            model(**inputs, labels=gold).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        dev = score(model, tokenizer, splits["dev"], labels)
        if not best or dev["macro_f1"] > best["dev macro_f1"]:
            test = score(model, tokenizer, splits["test"], labels)
            best = {
                "dev macro_f1": dev["macro_f1"],
                "test macro_f1": test["macro_f1"],
                "test exact_match": test["exact_match"],
            }
    return best


def encode(tokenizer, texts, tokens):
    return tokenizer(
        texts, padding=True, truncation=True, max_length=tokens, return_tensors="pt"
    )


def score(model, tokenizer, sentences, labels) -> dict[str, float]:
    model.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(sentences), 32):
            texts = [text for text, _ in sentences[start : start + 32]]
            logits = model(**encode(tokenizer, texts, 512)).logits
            found += [labels[i] for i in logits.argmax(-1).tolist()]
    pairs = [(gold, answer) for (_, gold), answer in zip(sentences, found)]
    return {
        "macro_f1": statistics.mean(f1(pairs, label) for label in labels),
        "exact_match": statistics.mean(gold == answer for gold, answer in pairs),
    }


def f1(pairs: list[tuple[str, str]], label: str) -> float:
    right = sum(gold == answer == label for gold, answer in pairs)
    wrong = sum((gold == label) != (answer == label) for gold, answer in pairs)
    return 2 * right / max(1, 2 * right + wrong)


def told(run: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in run.items())


if __name__ == "__main__":
    main()
