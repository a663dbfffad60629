#!/usr/bin/env python3
"""Measures the speed of training: examples per second over the steps of one epoch on the dispatches corpus.

Usage: scripts/bench_train.py [--limit N] [--rounds N]

Needs target/release/undertone and models/base (scripts/fetch-base). The first six steps of a round warm up and are not
counted. Prints every round, then the median.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 6
SETTINGS = """
base = "models/base"
labels = ["condemnation", "reassurance", "speculation"]
entity_types = ["PER", "ORG", "LOC", "MISC"]
[training]
epochs = 1
batch_size = 32
learning_rate = 5e-5
[[train]]
path = "datasets/dispatches/train.jsonl"
"""


def rate(limit: int) -> float:
    """Examples per second of one run over the first `limit` sentences."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.toml"
        settings.write_text(SETTINGS)
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
    rates = []
    for number in range(options.rounds):
        rates.append(rate(options.limit))
        print(f"round {number + 1}: {rates[-1]:.1f} examples/s", flush=True)
    print(f"median: {statistics.median(rates):.1f} examples/s")


if __name__ == "__main__":
    main()
