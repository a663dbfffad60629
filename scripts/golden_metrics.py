"""Make the fixture for figures on labels: random scores and what scikit-learn makes of them.

    pip install scikit-learn scipy
    python scripts/golden_metrics.py tests/fixtures/metrics.json

Writes probabilities, decisions at 0.5 and gold labels of 200 sentences, with precision,
recall, F1 and support of each label and of the macro, micro and weighted averages, exact
match, average precision, Brier score and calibration error, and some p-values of the
exact sign test. `tests/it/metrics.rs` reads the file. Seeded: the same versions give the
same file.
"""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    precision_recall_fscore_support,
)

SEED = 20261129
SENTENCES = 200
# Share of sentences with each label; the last label is nowhere.
SHARES = [0.4, 0.15, 0.05, 0.0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="JSON file to write")
    output: Path = parser.parse_args().output

    chance = np.random.default_rng(SEED)
    gold = chance.random((SENTENCES, len(SHARES))) < SHARES
    # Two decimals, so that there are ties.
    noise = chance.normal(0, 1.5, gold.shape)
    scores = np.round(1 / (1 + np.exp(-(noise + 3 * gold - 2))), 2)
    found = scores >= 0.5
    averages = {
        name: row(gold, found, name) for name in ("macro", "micro", "weighted")
    }
    labels = [
        {
            **{
                key: float(values[label])
                for key, values in zip(
                    ("precision", "recall", "f1", "support"),
                    precision_recall_fscore_support(gold, found, zero_division=0),
                )
            },
            "average_precision": (
                float(average_precision_score(gold[:, label], scores[:, label]))
                if gold[:, label].any()
                else None
            ),
            "brier": float(brier_score_loss(gold[:, label], scores[:, label])),
            "ece": calibration_error(gold[:, label], scores[:, label]),
        }
        for label in range(len(SHARES))
    ]
    golden = {
        "script": "scripts/golden_metrics.py",
        "versions": {
            "python": platform.python_version(),
            "scikit-learn": version("scikit-learn"),
            "scipy": version("scipy"),
        },
        "exact_match": float(accuracy_score(gold, found)),
        "averages": averages,
        "labels": labels,
        "sign_tests": [
            [a, b, float(binomtest(a, a + b).pvalue)]
            for a, b in ((0, 1), (2, 10), (7, 7), (30, 18), (480, 520))
        ],
        "scores": scores.tolist(),
        "gold": gold.astype(int).tolist(),
    }
    output.write_text(json.dumps(golden) + "\n", encoding="utf-8")


def row(gold: np.ndarray, found: np.ndarray, average: str) -> dict[str, float]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        gold, found, average=average, zero_division=0
    )
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def calibration_error(gold: np.ndarray, scores: np.ndarray) -> float:
    """Naeini et al. 2015 over 15 bins; f32, as the bins of the product are."""
    bins = np.minimum((scores.astype(np.float32) * np.float32(15)).astype(int), 14)
    apart = [
        abs(scores[bins == b].sum() - gold[bins == b].sum()) for b in range(15)
    ]
    return float(sum(apart) / len(scores))


if __name__ == "__main__":
    main()
