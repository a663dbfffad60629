"""Make the parity fixtures for the relatives of BERT: tiny models of `transformers` and their answers.

    pip install torch transformers sentencepiece
    python scripts/golden_families.py tests/fixtures/families

Writes a folder for every family below the output folder, with

    sequence/    its ...ForSequenceClassification, by `save_pretrained`
    token/       its ...ForTokenClassification, BIO tags, likewise
    golden.json  library versions, tolerance, and for every text its ids, the logits of
                 `sequence`, and the logits of `token` for every real token

and the folder `forms` with the sequence classifier of DistilBERT again, in other files:

    bin-f16/        pytorch_model.bin, zipped, half precision
    sharded-bf16/   safetensors in several files with an index, bfloat16
    golden.json     the logits of each, computed in f32 from the rounded weights

`tests/it/families.rs` reads them. Texts are of very different lengths and scored in one
padded batch; the last one is as long as the model can read. Weights are seeded; the
unigram vocabularies (XLM-RoBERTa, CamemBERT, ALBERT, DeBERTa-v3) are learnt anew by a
trainer that is not reproducible to the last piece, so that a new run changes those.
"""

from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from golden_bert import (
    LABELS,
    SENTENCES,
    TAGS,
    VOCABULARY_TEXT,
    begin,
    one_line_each,
    random_model,
    rounded,
    versions,
    vocabulary,
)
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

TOLERANCE = 1e-4
SEED = 20240612
# Positions of the longest sequence, special tokens included.
MAX_TOKENS = 128
SIZES = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40}
BERT_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
ALBERT_TOKENS = {**BERT_TOKENS, "pad_token": "<pad>", "unk_token": "<unk>"}


def word_piece(
    special: dict[str, str], lower: bool = True
) -> PreTrainedTokenizerFast:
    """BERT's tokenizer; MPNet's has the same vocabulary between RoBERTa's specials."""
    pieces = vocabulary()
    if special is ROBERTA_TOKENS:
        ours = [t for t in pieces if not (t.startswith("[") and len(t) > 2)]
        pieces = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "[UNK]", *ours, "<mask>"])}
        special = {**special, "unk_token": "[UNK]"}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return finished(tokenizer, special)


def byte_level() -> PreTrainedTokenizerFast:
    """RoBERTa's: byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(VOCABULARY_TEXT * 3, trainer)
    return finished(tokenizer, ROBERTA_TOKENS)


def unigram(special: dict[str, str], albert: bool = False) -> PreTrainedTokenizerFast:
    """XLM-R's, CamemBERT's and (lower-cased) ALBERT's: SentencePiece unigram."""
    tokenizer = Tokenizer(models.Unigram())
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')] if albert else []
    steps.append(normalizers.NFKD() if albert else normalizers.NFKC())
    if albert:
        steps += [normalizers.StripAccents(), normalizers.Lowercase()]
    steps.append(normalizers.Replace(tokenizers.Regex(" {2,}"), " "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    names = [special["cls_token"], special["pad_token"], special["sep_token"]]
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        show_progress=False,
        unk_token=special["unk_token"],
        special_tokens=[*names, special["unk_token"], special["mask_token"]],
    )
    tokenizer.train_from_iterator(VOCABULARY_TEXT * 3, trainer)
    return finished(tokenizer, special)


def finished(tokenizer: Tokenizer, special: dict[str, str]) -> PreTrainedTokenizerFast:
    cls, sep = special["cls_token"], special["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B {sep}",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in (cls, sep)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, **special
    )


def families() -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Name: prefix of the classes of `transformers`, tokenizer, more configuration."""
    bert = word_piece(BERT_TOKENS)
    roberta = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    after_pad = {**roberta, "type_vocab_size": 1, "max_position_embeddings": MAX_TOKENS + 2}
    xlm = unigram(ROBERTA_TOKENS)
    # As deberta-v3: buckets small enough that the longest text meets the logarithmic ones.
    deberta = {
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        "layer_norm_eps": 1e-7,
    }
    modern = {"pad_token_id": 0, "hidden_size": 24, "num_attention_heads": 3}
    # The older form: a row a distance, projections of their own, absolute positions too.
    older = {
        "relative_attention": True,
        "max_relative_positions": 20,
        "pos_att_type": "c2p|p2c",
        "type_vocab_size": 2,
    }
    return {
        "distilbert": (
            "DistilBert",
            bert,
            {"activation": "relu", "seq_classif_dropout": 0.2},
        ),
        "electra": ("Electra", bert, {"embedding_size": 16, "hidden_act": "gelu"}),
        "mpnet": ("MPNet", word_piece(ROBERTA_TOKENS), after_pad),
        "roberta": ("Roberta", byte_level(), {**after_pad, "layer_norm_eps": 1e-5}),
        "xlm-roberta": ("XLMRoberta", xlm, {**after_pad, "layer_norm_eps": 1e-5}),
        "camembert": ("Camembert", xlm, {**after_pad, "hidden_act": "gelu_pytorch_tanh"}),
        # A window that the longest text does not fit into; both forms of the classifier.
        "modernbert": (
            "ModernBert",
            bert,
            {"local_attention": 16, "num_hidden_layers": 4, "bos_token_id": 2, **modern},
        ),
        "modernbert-mean": (
            "ModernBert",
            bert,
            {
                **{"local_attention": 64, "classifier_pooling": "mean", **modern},
                **dict.fromkeys(["norm_bias", "attention_bias", "mlp_bias"], True),
                **{"classifier_bias": True, "layer_types": ["sliding_attention"] * 2},
            },
        ),
        "deberta-v3": ("DebertaV2", xlm, deberta),
        "deberta-v2": ("DebertaV2", bert, older),
        "albert": (
            "Albert",
            unigram(ALBERT_TOKENS, albert=True),
            {"embedding_size": 16, "num_hidden_groups": 2, "hidden_act": "gelu_new"},
        ),
    }


def sized(name: str, prefix: str, extra: dict[str, Any]) -> dict[str, Any]:
    """The sizes under the names that the family has for them."""
    layers = 4 if name == "albert" else 2
    sizes = {**SIZES, "num_hidden_layers": layers, "max_position_embeddings": MAX_TOKENS}
    if name == "distilbert":
        names = {
            "hidden_size": "dim",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "num_hidden_layers": "n_layers",
        }
        sizes = {names.get(key, key): value for key, value in sizes.items()}
    return {**sizes, "initializer_range": 0.2, **extra}


def main() -> None:
    output = begin(__doc__)
    for name, (prefix, tokenizer, extra) in families().items():
        make(output / name, name, prefix, tokenizer, extra)
    make_forms(output / "forms", output / "distilbert/sequence")


def make_forms(output: Path, source: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
    batch = tokenizer(
        SENTENCES, padding=True, return_tensors="pt", return_token_type_ids=False
    )
    logits = {}
    for name, kind in [("bin-f16", torch.float16), ("sharded-bf16", torch.bfloat16)]:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(source)
        model = model.to(kind).eval()
        tokenizer.save_pretrained(output / name)
        if name == "bin-f16":
            model.config.save_pretrained(output / name)
            torch.save(model.state_dict(), output / name / "pytorch_model.bin")
        else:
            model.save_pretrained(output / name, max_shard_size="16KB")
            assert (output / name / "model.safetensors.index.json").exists()
        with torch.inference_mode():
            rows = model.float()(**batch).logits
        logits[name] = [
            {"form": name, "text": text, "logits": rounded(row)}
            for text, row in zip(SENTENCES, rows, strict=True)
        ]
    golden = {"script": "scripts/golden_families.py", "tolerance": TOLERANCE}
    (output / "golden.json").write_text(
        one_line_each(golden, "sentences", [s for rows in logits.values() for s in rows]),
        encoding="utf-8",
    )


def make(
    output: Path, name: str, prefix: str, tokenizer: Any, extra: dict[str, Any]
) -> None:
    config = getattr(transformers, f"{prefix}Config")
    models = {}
    for folder, task, labels, seed in [
        ("sequence", "SequenceClassification", LABELS, SEED),
        ("token", "TokenClassification", TAGS, SEED + 1),
    ]:
        kind = getattr(transformers, f"{prefix}For{task}")
        settings = config(
            vocab_size=len(tokenizer),
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
            **sized(name, prefix, extra),
        )
        models[folder] = random_model(kind, settings, seed)
        models[folder].save_pretrained(output / folder)
        tokenizer.save_pretrained(output / folder)

    texts = [*SENTENCES, longest(tokenizer)]
    batch = tokenizer(
        texts, padding=True, return_tensors="pt", return_token_type_ids=False
    )
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    assert max(lengths) == MAX_TOKENS, lengths
    with torch.inference_mode():
        sequence_logits = models["sequence"](**batch).logits
        token_logits = models["token"](**batch).logits
    sentences = [
        {
            "text": text,
            "ids": batch["input_ids"][i, :length].tolist(),
            "logits": rounded(sequence_logits[i]),
            "token_logits": rounded(token_logits[i, :length]),
        }
        for i, (text, length) in enumerate(zip(texts, lengths, strict=True))
    ]
    golden = {
        "script": "scripts/golden_families.py",
        "versions": versions(),
        "tolerance": TOLERANCE,
    }
    (output / "golden.json").write_text(
        one_line_each(golden, "sentences", sentences), encoding="utf-8"
    )


def longest(tokenizer: Any) -> str:
    """A text of exactly as many tokens as the model has positions."""
    text = " ".join(VOCABULARY_TEXT)
    while len(tokenizer(text)["input_ids"]) > MAX_TOKENS:
        text = text[:-1].rstrip()
    while len(tokenizer(text)["input_ids"]) < MAX_TOKENS:
        text += " a"
    return text


if __name__ == "__main__":
    main()
