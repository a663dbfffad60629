"""Make the parity fixtures for BERT: tiny models of `transformers` and their answers.

    pip install torch transformers
    python scripts/golden_bert.py tests/fixtures/bert

Writes below the output folder:

    sequence/    BertForSequenceClassification, multi-label, by `save_pretrained`
    token/       BertForTokenClassification, BIO tags, likewise
    golden.json  library versions, tolerance, and for every sentence its ids, the logits
                 and probabilities of `sequence`, and the logits of `token` for every
                 real token

`tests/it/golden.rs` reads them. Everything is seeded: the same library versions give
the same files.
"""

import argparse
import json
import platform
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import tokenizers
import torch
import transformers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizerFast,
    PreTrainedModel,
)

M = TypeVar("M", bound=PreTrainedModel)

SEED = 20240611
# Two sound f32 implementations of these models differ by about 1e-6 in a probability.
TOLERANCE = 1e-4
MAX_TOKENS = 64
MAX_VOCABULARY = 400

LABELS = ["condemnation", "reassurance", "speculation"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]

# The vocabulary is made from these and not from the sentences below, so that some of
# those meet unknown characters.
VOCABULARY_TEXT = [
    "The foreign minister condemned the attack and said that the government would not accept it.",
    "The president said on Friday that the talks in Lisbon were open, frank and useful.",
    "Officials in the capital may leave the talks if the army does not stop its advance.",
    "There is no reason to fear, the envoy told the council; the border will stay open.",
    "A spokesman for the ministry said the two states could sign the treaty in the spring.",
    "We strongly reject the sanctions, which are an attack on our people and our future.",
    "The general might return to the city, but the opposition said it would not meet him.",
    "The secretary of the council and the ambassador met for three hours on Monday.",
    'Peace will hold, the minister told the delegates: "we won\'t go back to war."',
    "Analysts said that the ceasefire could fail within days (or weeks) unless both sides withdraw.",
    "北京 said the talks on trade - and on the border - were “useful”. 外交 人",
    "In 1994 and in 2023, at 6:57 and 18:40, the council met in Lima!",
]

SENTENCES = [
    "Ceasefire",
    "Will they?",
    "The ministers met in Lisbon on Friday.",
    "OUTRAGE IN PORT AMARO AS TALKS FAIL",
    "Renée Dvořák, São Vicente's envoy, won't sign the treaty — not yet.",
    "外交部 said the talks in 北京 were “frank”, 但 not useful.",
    "Peace at last 🕊️, wrote Ana Duarte!",
    # Decomposed accents, a capital that lower-cases to two characters, and letters with
    # nothing to strip.
    "I\u0307stanbul and İzmir: Jose\u0301 Strauß says the Øresund border will stay open.",
    # What the normaliser drops or turns into a space.
    "  The\tgov\u00adern\u00a0ment\u200b may\u3000leave ...  ",
    "U.N. Secretary-General J. Okafor told 3,500 delegates: 'We won't go back to 1994.'",
    "Counterrevolutionaries might return (or so the General fears) & nobody would stop them.",
    (
        "We strongly reject the attack on the border town of Kesra, the president said on "
        "Monday; but the talks, the envoy told us, could still go on within days if both "
        "sides withdraw and meet in the capital."
    ),
]


def main() -> None:
    output = begin(__doc__)
    tokenizer = BertTokenizerFast(
        vocab=vocabulary(), do_lower_case=True, model_max_length=MAX_TOKENS
    )
    sequence = random_model(
        BertForSequenceClassification,
        config(len(tokenizer), LABELS, problem_type="multi_label_classification"),
        SEED,
    )
    # An epsilon far from the default shows a norm that takes the default for granted.
    token = random_model(
        BertForTokenClassification,
        config(len(tokenizer), TAGS, layer_norm_eps=1e-2),
        SEED + 1,
    )
    for name, model in [("sequence", sequence), ("token", token)]:
        model.save_pretrained(output / name)
        tokenizer.save_pretrained(output / name)

    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    assert max(lengths) <= MAX_TOKENS, "a golden sentence must fit into one window"
    with torch.inference_mode():
        sequence_logits = sequence(**batch).logits
        token_logits = token(**batch).logits
    probabilities = sequence_logits.sigmoid()

    sentences = [
        {
            "text": text,
            "ids": batch["input_ids"][i, :length].tolist(),
            "logits": rounded(sequence_logits[i]),
            "probabilities": rounded(probabilities[i]),
            "token_logits": rounded(token_logits[i, :length]),
        }
        for i, (text, length) in enumerate(zip(SENTENCES, lengths, strict=True))
    ]
    golden = {
        "script": "scripts/golden_bert.py",
        "versions": versions(),
        "tolerance": TOLERANCE,
        "labels": LABELS,
        "tags": TAGS,
    }
    (output / "golden.json").write_text(
        one_line_each(golden, "sentences", sentences), encoding="utf-8"
    )


def begin(description: str) -> Path:
    """Sets torch up to give the same numbers every time; the folder to write to."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="folder to write to, made if need be")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return parser.parse_args().output


def versions() -> dict[str, str]:
    """Of everything that a fixture depends on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }


def vocabulary() -> dict[str, int]:
    """Special tokens, characters alone and as continuations, commonest words."""
    text = " ".join(VOCABULARY_TEXT).lower()
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789"))
    others = sorted(set(text) - set(letters) - {" "})
    words = Counter(re.findall(r"[a-z]{2,}", text))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *others]
    tokens += [
        f"##{c}"
        for c in letters
        + [c for c in others if unicodedata.category(c).startswith("L")]
    ]
    tokens += ["##s", "##ed", "##ing", "##er"]
    tokens += sorted(words, key=lambda word: (-words[word], word))
    return {token: i for i, token in enumerate(dict.fromkeys(tokens[:MAX_VOCABULARY]))}


def config(vocab_size: int, labels: list[str], **extra: Any) -> BertConfig:
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.2,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        **extra,
    )


def random_model(kind: type[M], config: BertConfig, seed: int) -> M:
    """A model with every parameter drawn here.

    `transformers` would leave biases at 0, norms at 1 and the row of `[PAD]` at 0.
    """
    model = kind._from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = "norm" in name.lower() and name.endswith("weight")
            centre = 1.0 if is_norm else 0.0
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(centre + config.initializer_range * noise)
    return model


def rounded(numbers: torch.Tensor) -> Any:
    """Nested lists, to 7 significant digits: about what an f32 holds."""
    if numbers.dim() == 0:
        return float(f"{numbers.item():.7g}")
    return [rounded(part) for part in numbers]


def one_line_each(head: dict[str, Any], name: str, items: list[dict[str, Any]]) -> str:
    """JSON with readable diffs: `head` indented, then `name` with an item a line."""
    lines = ",\n".join("    " + json.dumps(item, ensure_ascii=False) for item in items)
    opened = json.dumps(head, indent=2, ensure_ascii=False).removesuffix("\n}")
    return f'{opened},\n  "{name}": [\n{lines}\n  ]\n}}\n'


if __name__ == "__main__":
    main()
