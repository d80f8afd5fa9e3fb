#!/usr/bin/env python3
"""Runs llama.cpp's convert_hf_to_gguf.py with the pre-tokenizer named by hand.

The converter tells a byte-level BPE pre-tokenizer by a hash over token ids, so it knows published vocabularies only.
For the small vocabularies of make_random_models.py this says the name instead; all else is the converter's own doing.

  reference_convert.py CONVERTER PRE_TOKENIZER [the converter's own arguments]

CONVERTER is the path of convert_hf_to_gguf.py; PRE_TOKENIZER is a name such as llama-bpe.
"""
import runpy
import sys

converter, pre_tokenizer = sys.argv[1:3]
sys.path.insert(1, "/usr/share/llama.cpp/llama.cpp-tools")  # where Debian keeps the converter's modules
from conversion import base  # noqa: E402

base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre_tokenizer
sys.argv = [converter] + sys.argv[3:]
runpy.run_path(converter, run_name="__main__")
