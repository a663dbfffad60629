#!/usr/bin/env python3
"""Measures the speed of training stance on the dispatches corpus, in f32 and in bf16: examples a second over one epoch.

Usage: scripts/bench_train.py [--limit N] [--rounds N] [--torch PYTHON]

Needs target/release/undertone and models/base (scripts/fetch-base). PYTHON is a Python with torch and transformers, which then
does the same work (scripts/bench_train_torch.py) in turn with us. The first six steps of a round warm up and are not counted.
Prints every round, the medians, and the mean loss of each fifth of the steps.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 6
PARTS = 5
SETTINGS = """
base = "models/base"
labels = ["condemnation", "reassurance", "speculation"]
[training]
seed = {seed}
epochs = 1
batch_size = 32
learning_rate = 5e-5
precision = "{precision}"
[[train]]
path = "datasets/dispatches/train.jsonl"
"""


def ours(precision: str, limit: int, seed: int, folder: Path) -> list[dict]:
    """The steps of one run over the first `limit` sentences."""
    settings, output = folder / "settings.toml", folder / "model"
    settings.write_text(SETTINGS.format(precision=precision, seed=seed))
    command = ["target/release/undertone", "train", "--quiet", "--checkpoint-every", "0"]
    command += ["--config", str(settings), "--output", str(output), "--limit", str(limit)]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return read(output / "metrics.jsonl")


def torchs(python: str, precision: str, limit: int, seed: int, folder: Path) -> list[dict]:
    """The same in PyTorch."""
    output = folder / "torch.jsonl"
    command = [python, "scripts/bench_train_torch.py", str(output), "--precision", precision]
    command += ["--limit", str(limit), "--seed", str(seed)]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return read(output)


def read(metrics: Path) -> list[dict]:
    return [event for event in map(json.loads, metrics.open()) if event["event"] == "step"]


def rate(steps: list[dict]) -> float:
    """Examples a second."""
    steps = steps[WARM_UP:]
    return sum(step["examples"] for step in steps) / sum(step["seconds"] for step in steps)


def losses(steps: list[dict]) -> list[float]:
    """Mean loss of each part of the steps."""
    ends = [len(steps) * part // PARTS for part in range(PARTS + 1)]
    return [statistics.mean(step["loss"] for step in steps[a:b]) for a, b in zip(ends, ends[1:])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", metavar="PYTHON")
    options = parser.parse_args()
    names = ["undertone f32", "undertone bf16"]
    if options.torch:
        names += ["torch f32", "torch bf16"]
    rates: dict[str, list[float]] = {name: [] for name in names}
    curves: dict[str, list[list[float]]] = {name: [] for name in names}
    for number in range(1, options.rounds + 1):
        for name in names:
            tool, precision = name.split()
            with tempfile.TemporaryDirectory() as folder:
                if tool == "torch":
                    steps = torchs(options.torch, precision, options.limit, number, Path(folder))
                else:
                    steps = ours(precision, options.limit, number, Path(folder))
            rates[name].append(rate(steps))
            curves[name].append(losses(steps))
            print(f"round {number}, {name}: {rates[name][-1]:.1f} examples/s", flush=True)
    print(f"\n{'':16}  examples/s  mean loss of each fifth of the steps, over the rounds")
    for name in names:
        curve = "  ".join(f"{statistics.mean(part):.4f}" for part in zip(*curves[name]))
        print(f"{name:16}  {statistics.median(rates[name]):10.1f}  {curve}")


if __name__ == "__main__":
    main()
