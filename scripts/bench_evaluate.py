"""Measure how long `undertone evaluate` takes over very many sentences, and its memory.

    cargo build --release
    python scripts/bench_evaluate.py target/release/undertone --sentences 10000 1000000

The model is the tiny one of the tests, whose own time is small and whose answers are
mostly wrong: what is measured is reading, counting, ranking mistakes and intervals.
Sentences name no articles, so that each is resampled by itself.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

MODEL = Path(__file__).parent.parent / "tests/fixtures/bert/sequence"
LABELS = ["condemnation", "reassurance", "speculation"]
WORDS = (
    "the talks in lima ended without a deal ministers said on friday that they may meet"
).split()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", type=Path)
    parser.add_argument("--sentences", type=int, nargs="+", default=[10_000, 1_000_000])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in args.sentences:
            data = Path(folder) / f"{number}.jsonl"
            write(data, number)
            seconds, megabytes = run(
                [args.program, "evaluate", "-m", MODEL, data]
                + ["--by", "source", "--errors", Path(folder) / "errors.jsonl"]
            )
            print(f"{number} sentences: {seconds:.1f} s, {megabytes:.0f} MB at most")


def write(path: Path, number: int) -> None:
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for i in range(number):
            record = {
                "text": " ".join(chance.choices(WORDS, k=8)) + f" {i}",
                "labels": [label for label in LABELS if chance.random() < 0.2],
                "source": chance.choice("abc"),
            }
            file.write(json.dumps(record) + "\n")


def run(command: list) -> tuple[float, float]:
    """Seconds and peak memory, in MB, of a command that must succeed."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return time.monotonic() - started, usage.ru_maxrss / 1000


if __name__ == "__main__":
    main()
