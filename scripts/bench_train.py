#!/usr/bin/env python3
"""Measures the speed of training in f32 and in bf16: examples per second over one epoch on the dispatches corpus.

Usage: scripts/bench_train.py [--limit N] [--rounds N]

Needs target/release/undertone and models/base (scripts/fetch-base). The first six steps of a round warm up and are not
counted. The precisions take turns. Prints every round, then the medians.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 6
PRECISIONS = ["f32", "bf16"]
SETTINGS = """
base = "models/base"
labels = ["condemnation", "reassurance", "speculation"]
entity_types = ["PER", "ORG", "LOC", "MISC"]
[training]
epochs = 1
batch_size = 32
learning_rate = 5e-5
precision = "{precision}"
[[train]]
path = "datasets/dispatches/train.jsonl"
"""


def rate(precision: str, limit: int) -> float:
    """Examples per second of one run over the first `limit` sentences."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.toml"
        settings.write_text(SETTINGS.replace("{precision}", precision))
        output = Path(folder) / "model"
        command = ["target/release/undertone", "train", "--quiet", "--checkpoint-every", "0"]
        command += ["--config", str(settings), "--output", str(output), "--limit", str(limit)]
        subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        events = [json.loads(line) for line in (output / "metrics.jsonl").open()]
    steps = [event for event in events if event["event"] == "step"][WARM_UP:]
    return sum(step["examples"] for step in steps) / sum(step["seconds"] for step in steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates = {precision: [] for precision in PRECISIONS}
    for number in range(options.rounds):
        for precision in PRECISIONS:
            rates[precision].append(rate(precision, options.limit))
            print(f"round {number + 1}, {precision}: {rates[precision][-1]:.1f} examples/s", flush=True)
    for precision in PRECISIONS:
        print(f"median, {precision}: {statistics.median(rates[precision]):.1f} examples/s")


if __name__ == "__main__":
    main()
