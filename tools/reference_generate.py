#!/usr/bin/env python3
"""Continues prompts greedily with transformers and compares the tokens with those of `tessera generate --json`.

  reference_generate.py MODEL <TEXTS

MODEL is a Hugging Face folder; TEXTS holds one or more reports of `tessera generate MODEL --greedy --json`. A text may
be shorter than asked for where the model ended it. Prints one line and exits with 1 when a token differs. Needs torch
and transformers.
"""
import json
import sys

import torch
import transformers


def reports(text):
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        report, end = decoder.raw_decode(text)
        text = text[end:]
        yield report


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = sys.argv[1]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = equal = tokens = 0
    for report in reports(sys.stdin.read()):
        prompt = torch.tensor([report["prompt_tokens"]])
        with torch.no_grad():
            output = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                                    max_new_tokens=len(report["tokens"]), eos_token_id=None, pad_token_id=0)
        expected = output[0, prompt.shape[1]:].tolist()
        texts += 1
        tokens += len(expected)
        equal += expected == report["tokens"]
        if expected != report["tokens"]:
            place = next(i for i, pair in enumerate(zip(expected, report["tokens"])) if pair[0] != pair[1])
            print(f"  differs from token {place} on: {report['prompt']}")
    print(f"{folder}: {equal} of {texts} greedy texts equal ({tokens} tokens)")
    sys.exit(texts == 0 or equal != texts)


if __name__ == "__main__":
    main()
