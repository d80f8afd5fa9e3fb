#!/usr/bin/env python3
"""Gives a vocabulary-only GGUF file a tiny random Llama model, so that what needs a whole model can take it.

  make_vocabulary_model.py VOCABULARY OUT

Keys of the tokenizer are copied. Needs the Python packages gguf and numpy.
"""
import sys

import gguf
import numpy

WIDTH, HIDDEN = 32, 48


def copy_tokenizer(reader, writer):
    for field in reader.fields.values():
        if not field.name.startswith("tokenizer."):
            continue
        kind = field.types[0]
        if kind == gguf.GGUFValueType.ARRAY:
            writer.add_array(field.name, field.contents())
        else:
            writer.add_key_value(field.name, field.contents(), kind)


def tensors(tokens):
    yield "token_embd.weight", (tokens, WIDTH)
    yield "output.weight", (tokens, WIDTH)
    yield "output_norm.weight", (WIDTH,)
    for stem, shape in {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH),
                        "attn_v": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH), "ffn_gate": (HIDDEN, WIDTH),
                        "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)}.items():
        yield f"blk.0.{stem}.weight", shape


def main():
    reader = gguf.GGUFReader(sys.argv[1])
    writer = gguf.GGUFWriter(sys.argv[2], "llama")
    for key, value in {"context_length": 512, "embedding_length": WIDTH, "block_count": 1, "feed_forward_length": HIDDEN,
                       "attention.head_count": 2, "attention.head_count_kv": 2}.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    copy_tokenizer(reader, writer)
    random = numpy.random.default_rng(1)
    for name, shape in tensors(len(reader.fields["tokenizer.ggml.tokens"].data)):
        kind = numpy.float16 if len(shape) == 2 else numpy.float32
        writer.add_tensor(name, random.standard_normal(shape).astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
