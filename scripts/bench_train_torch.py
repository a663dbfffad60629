#!/usr/bin/env python3
"""Trains stance on dispatches in PyTorch, as scripts/bench_train.py has `undertone train` do it, and writes what a step took.

Usage: scripts/bench_train_torch.py OUTPUT [--limit N] [--precision f32|bf16] [--batch N] [--rate R] [--seed N]

Needs torch and transformers, and models/base (scripts/fetch-base). The twin has the same network (mean over the tokens, dropout, a
linear layer, a sigmoid per label), loss, optimiser (AdamW, 0.01 decay on matrices), warm-up and decay, clipping, and batches of
sentences of about one length, padded to the longest. OUTPUT gets a JSON object a step: loss, examples, seconds.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

ROOT = Path(__file__).resolve().parent.parent
LABELS = ["condemnation", "reassurance", "speculation"]
TOKENS, WARM_UP, POOL, DECAY = 128, 0.06, 40, 0.01


class Classifier(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(encoder.config.hidden_dropout_prob)
        self.head = nn.Linear(encoder.config.hidden_size, len(LABELS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return self.head(self.dropout((states * mask).sum(1) / mask.sum(1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    chance = random.Random(options.seed)
    articles = [json.loads(line) for line in (ROOT / "datasets/dispatches/train.jsonl").open()]
    sentences = [sentence for article in articles for sentence in article["sentences"]][: options.limit]
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models/base")
    model = Classifier(AutoModel.from_pretrained(ROOT / "models/base", add_pooling_layer=False)).train()
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.rate)
    plan = batches(sentences, tokenizer, options.batch, chance)
    schedule = get_linear_schedule_with_warmup(optimizer, round(WARM_UP * len(plan)), len(plan))
    with options.output.open("w") as output:
        for batch in plan:
            start = time.perf_counter()
            inputs = tokenizer.pad({"input_ids": [ids for ids, _ in batch]}, return_tensors="pt")
            gold = torch.tensor([labels for _, labels in batch])
            with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
                logits = model(inputs["input_ids"], inputs["attention_mask"])
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), gold)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step = {"loss": loss.item(), "examples": len(batch), "seconds": time.perf_counter() - start}
            output.write(json.dumps({"event": "step", **step}) + "\n")


def batches(sentences: list, tokenizer, size: int, chance: random.Random) -> list[list]:
    """Token ids and targets of every sentence, those of about one length in one batch, in random order."""
    ids = tokenizer([s["text"] for s in sentences], truncation=True, max_length=TOKENS)["input_ids"]
    gold = [[float(label in s["stance"]) for label in LABELS] for s in sentences]
    examples = list(zip(ids, gold))
    chance.shuffle(examples)
    found = []
    for start in range(0, len(examples), size * POOL):
        pool = sorted(examples[start : start + size * POOL], key=lambda example: len(example[0]))
        found += [pool[i : i + size] for i in range(0, len(pool), size)]
    chance.shuffle(found)
    return found


if __name__ == "__main__":
    main()
