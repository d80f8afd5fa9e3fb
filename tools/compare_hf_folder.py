#!/usr/bin/env python3
"""Judges a Hugging Face folder by transformers: against the folder of the same model, or against expected token ids.

  compare_hf_folder.py model ORIGINAL MADE TEXT    weights, logits and token ids of MADE equal those of ORIGINAL
  compare_hf_folder.py tokens MADE INPUTS IDS      token ids of MADE on cases as ../shared/vocabs has them

Logits and weights must be equal bit for bit where both folders store the same types. TEXT is tokenized as a whole and
line by line. Needs torch, transformers and sentencepiece. Exits with 1 when anything differs.
"""
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS = 64


class Sentencepiece:
    """A tokenizer.model alone, for folders whose tokenizer transformers cannot load without protobuf."""

    def __init__(self, folder):
        import sentencepiece
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        config = json.loads((folder / "tokenizer_config.json").read_text())
        self.begins = config.get("add_bos_token", True)
        if not config.get("add_prefix_space", True):
            self.model.override_normalizer_spec(add_dummy_prefix=False)

    def ids(self, text):
        return [self.model.bos_id()] * self.begins + self.model.encode(text)


class Auto:
    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, text, **options):
        return self.tokenizer(text, **options)["input_ids"]


def tokenizer_of(folder):
    return Auto(folder) if (folder / "tokenizer.json").exists() else Sentencepiece(folder)


def complain(what):
    print(f"DIFFERENT: {what}")
    return 1


def compare_models(original, made):
    ours, theirs = (AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval() for folder in (made, original))
    status = 0
    if ours.dtype != theirs.dtype:
        return complain(f"type {ours.dtype}, not {theirs.dtype}")
    weights = theirs.state_dict()
    if weights.keys() != ours.state_dict().keys():
        return complain("names of tensors")
    for name, tensor in ours.state_dict().items():
        if not torch.equal(tensor, weights[name]):
            status |= complain(name)
    torch.manual_seed(1)
    tokens = torch.randint(0, theirs.config.vocab_size, (2, TOKENS))
    with torch.no_grad():
        left, right = ours(tokens).logits, theirs(tokens).logits
    if not torch.equal(left, right):
        status |= complain(f"logits, by up to {(left.float() - right.float()).abs().max():.3g}")
    return status


def compare_tokenizers(original, made, text):
    ours, theirs = tokenizer_of(made), tokenizer_of(original)
    if isinstance(theirs, Sentencepiece):  # it knows nothing of added tokens
        added = ours.tokenizer.get_added_vocab()
        text = "\n".join(line for line in text.splitlines() if not any(token in line for token in added))
    status = count = 0
    for piece in [text, *text.splitlines()[:2000]]:
        left, right = ours.ids(piece), theirs.ids(piece)
        count += len(right)
        if left != right:
            at = next((i for i, pair in enumerate(zip(left, right)) if pair[0] != pair[1]), min(len(left), len(right)))
            status |= complain(f"tokens of {piece[:60]!r} at {at}: {left[at:at + 5]}, not {right[at:at + 5]}")
            break
    return status, count


def compare_cases(made, inputs, ids):
    tokenizer = Auto(made)
    texts = Path(inputs).read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    expected = [[int(word) for word in line.split()] for line in Path(ids).read_text().split("\n")[:len(texts)]]
    status = 0
    for text, right in zip(texts, expected):
        left = tokenizer.ids(text, add_special_tokens=False)
        if left != right:
            status |= complain(f"tokens of {text[:60]!r}: {left[:12]}, not {right[:12]}")
    print(f"{len(texts)} cases", "DIFFERENT" if status else "equal")
    return status


def main():
    kind, *arguments = sys.argv[1:]
    if kind == "tokens":
        return compare_cases(Path(arguments[0]), *arguments[1:])
    original, made = map(Path, arguments[:2])
    status = compare_models(original, made)
    text = Path(arguments[2]).read_text(encoding="utf-8")
    differs, count = compare_tokenizers(original, made, text)
    print("weights and logits", "DIFFERENT" if status else "equal", f"; {count} tokens",
          "DIFFERENT" if differs else "equal")
    return status | differs


sys.exit(main())
