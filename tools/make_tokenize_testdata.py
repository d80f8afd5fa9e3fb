#!/usr/bin/env python3
"""Writes testdata/tokenize/crossing.gguf and nasty.ids from nasty.txt, with llama-tokenize as the judge.

  make_tokenize_testdata.py TESTDATA

Runs where llama-tokenize and the Python package gguf are installed; TESTDATA is the folder of that name.

crossing.gguf is a byte-level vocabulary whose merges were learnt on nasty.txt without cutting it into words: any merge
that a pre-tokenizer's boundary forbids shows in the tokens. nasty.ids has a line "VOCABULARY PRE FLAG IDS" for every
case; PRE replaces tokenizer.ggml.pre, "-" stands for nothing.
"""
import os
import subprocess
import sys
import tempfile

import gguf

MERGES = 1200
KINDS = ["default", "llama-bpe", "smaug-bpe", "qwen2", "qwen35", "tekken", "gpt-2", "smollm", "falcon", "deepseek-llm",
         "deepseek-coder", "deepseek-v3", "poro-chat", "viking"]
CASES = ([("tokenize/crossing.gguf", kind, "-") for kind in KINDS] +
         [("tokenize/crossing.gguf", "gpt-2", "--no-parse-special"), ("convert/mistral.gguf", "-", "-"),
          ("convert/mistral.gguf", "-", "--no-parse-special"), ("convert/mistral.gguf", "-", "--no-bos"),
          ("convert/llama-3-tied.gguf", "-", "-"), ("convert/qwen2.gguf", "-", "-")])
CONTROL, USER_DEFINED, NORMAL = 3, 4, 1
# Overlapping ones, one inside another, one with a space, one that is control whatever its type.
SPECIAL = [("<s>", CONTROL), ("</s>", CONTROL), ("<|endoftext|>", NORMAL), ("<z>", USER_DEFINED), ("<z>w", USER_DEFINED),
           ("w</z", USER_DEFINED), (" y", USER_DEFINED)]


def alphabet():
    """The character of each byte (src/model/text/byte_alphabet.h)."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in itself]
    return {**{byte: chr(byte) for byte in itself}, **{byte: chr(0x100 + i) for i, byte in enumerate(others)}}


def learn_merges(words, count):
    """Byte pair encoding on sequences of symbols: `count` times the most frequent pair, the first among equals."""
    merges = []
    for _ in range(count):
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = max(sorted(pairs), key=pairs.get)
        if best[0] + best[1] in {left + right for left, right in merges}:
            raise SystemExit("two merges make the same token")
        merges.append(best)
        for index, word in enumerate(words):
            merged, at = [], 0
            while at < len(word):
                together = tuple(word[at:at + 2]) == best
                merged.append(word[at] + word[at + 1] if together else word[at])
                at += 2 if together else 1
            words[index] = merged
    return merges


def write_crossing(path, text):
    spelled = alphabet()
    # Lines two by two: merges may cross a line break, but learning stays quick.
    lines = text.decode("utf-8", "replace").encode().split(b"\n")
    words = [[spelled[byte] for byte in b"\n".join(lines[i:i + 2])] for i in range(len(lines))]
    merges, made = [], set()
    for left, right in learn_merges(words, MERGES):
        merges.append(f"{left} {right}")
        made.add(left + right)
    tokens = list(spelled.values()) + [merge.replace(" ", "") for merge in merges] + [token for token, _ in SPECIAL]
    types = [NORMAL] * (len(tokens) - len(SPECIAL)) + [kind for _, kind in SPECIAL]
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in {"context_length": 512, "embedding_length": 32, "block_count": 1, "feed_forward_length": 32,
                       "attention.head_count": 1}.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("</s>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def ids_of(testdata, vocabulary, pre, flag, scratch):
    path = os.path.join(testdata, vocabulary)
    if pre != "-":
        renamed = os.path.join(scratch, "renamed.gguf")
        subprocess.run(["gguf-new-metadata", "--force", "--pre-tokenizer", pre, path, renamed], check=True,
                       capture_output=True)
        path = renamed
    flags = [] if flag == "-" else [flag]
    done = subprocess.run(["llama-tokenize", "-m", path, "-f", os.path.join(testdata, "tokenize/nasty.txt"), "--ids",
                           "--no-escape", *flags], check=True, capture_output=True, text=True)
    return done.stdout.strip().replace(" ", "")


def main():
    testdata = sys.argv[1]
    with open(os.path.join(testdata, "tokenize/nasty.txt"), "rb") as file:
        write_crossing(os.path.join(testdata, "tokenize/crossing.gguf"), file.read())
    with tempfile.TemporaryDirectory() as scratch, open(os.path.join(testdata, "tokenize/nasty.ids"), "w") as golden:
        for case in CASES:
            golden.write(" ".join([*case, ids_of(testdata, *case, scratch)]) + "\n")


main()
