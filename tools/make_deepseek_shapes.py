#!/usr/bin/env python3
"""Writes a GGUF file with the tensors of DeepSeek-V3: names, types and shapes as published, no weights.

  make_deepseek_shapes.py OUT.gguf [--imatrix IMATRIX.gguf]

The file is sparse: 1.3 TB long, a few kilobytes on disk; its weights read as zeros. It shows what `tessera inspect`
and `tessera plan` make of 671 billion parameters. Where the file system has no files of that length, --split makes
one of every layer (OUT-00001-of-00062.gguf and so on). --imatrix writes an importance matrix of ones beside it (1 GB),
so that a plan may use the types that need one. tests/stages/deepseek_shapes.h has the same list.
"""
import argparse
import array
import math
import struct
from pathlib import Path

ALIGNMENT = 32
UINT16, UINT32, INT32, STRING, ARRAY = 2, 4, 5, 8, 9
F32, BF16 = 0, 30
BYTES = {F32: 4, BF16: 2}

# config.json of deepseek-ai/DeepSeek-V3, without the layer that predicts a second token.
LAYERS, DENSE_LAYERS = 61, 3
HIDDEN, VOCABULARY = 7168, 129280
DENSE, EXPERT, EXPERTS, EXPERTS_USED = 18432, 2048, 256, 8
HEADS, KEY, ROPE, VALUE = 128, 128, 64, 128
QUERY_RANK, KEY_VALUE_RANK = 1536, 512

METADATA = [
    ("general.architecture", STRING, "deepseek2"),
    ("general.name", STRING, "DeepSeek-V3 (shapes)"),
    ("general.file_type", UINT32, 32),
    ("deepseek2.block_count", UINT32, LAYERS),
    ("deepseek2.leading_dense_block_count", UINT32, DENSE_LAYERS),
    ("deepseek2.context_length", UINT32, 163840),
    ("deepseek2.embedding_length", UINT32, HIDDEN),
    ("deepseek2.feed_forward_length", UINT32, DENSE),
    ("deepseek2.vocab_size", UINT32, VOCABULARY),
    ("deepseek2.attention.head_count", UINT32, HEADS),
    ("deepseek2.attention.head_count_kv", UINT32, HEADS),
    ("deepseek2.attention.q_lora_rank", UINT32, QUERY_RANK),
    ("deepseek2.attention.kv_lora_rank", UINT32, KEY_VALUE_RANK),
    ("deepseek2.attention.key_length", UINT32, KEY + ROPE),
    ("deepseek2.attention.value_length", UINT32, VALUE),
    ("deepseek2.rope.dimension_count", UINT32, ROPE),
    ("deepseek2.expert_count", UINT32, EXPERTS),
    ("deepseek2.expert_used_count", UINT32, EXPERTS_USED),
    ("deepseek2.expert_shared_count", UINT32, 1),
    ("deepseek2.expert_feed_forward_length", UINT32, EXPERT),
]


def layer_tensors(layer):
    """(stem, type, shape) of one layer; shapes are outermost first."""
    yield from [
        ("attn_norm.weight", F32, [HIDDEN]),
        ("attn_q_a.weight", BF16, [QUERY_RANK, HIDDEN]),
        ("attn_q_a_norm.weight", F32, [QUERY_RANK]),
        ("attn_q_b.weight", BF16, [HEADS * (KEY + ROPE), QUERY_RANK]),
        ("attn_kv_a_mqa.weight", BF16, [KEY_VALUE_RANK + ROPE, HIDDEN]),
        ("attn_kv_a_norm.weight", F32, [KEY_VALUE_RANK]),
        ("attn_kv_b.weight", BF16, [HEADS * (KEY + VALUE), KEY_VALUE_RANK]),
        ("attn_output.weight", BF16, [HIDDEN, HEADS * VALUE]),
        ("ffn_norm.weight", F32, [HIDDEN]),
    ]
    if layer < DENSE_LAYERS:
        yield from [("ffn_gate.weight", BF16, [DENSE, HIDDEN]), ("ffn_up.weight", BF16, [DENSE, HIDDEN]),
                    ("ffn_down.weight", BF16, [HIDDEN, DENSE])]
        return
    yield from [
        ("ffn_gate_inp.weight", F32, [EXPERTS, HIDDEN]),
        ("exp_probs_b.bias", F32, [EXPERTS]),
        ("ffn_gate_exps.weight", BF16, [EXPERTS, EXPERT, HIDDEN]),
        ("ffn_up_exps.weight", BF16, [EXPERTS, EXPERT, HIDDEN]),
        ("ffn_down_exps.weight", BF16, [EXPERTS, HIDDEN, EXPERT]),
        ("ffn_gate_shexp.weight", BF16, [EXPERT, HIDDEN]),
        ("ffn_up_shexp.weight", BF16, [EXPERT, HIDDEN]),
        ("ffn_down_shexp.weight", BF16, [HIDDEN, EXPERT]),
    ]


def parts_of_model():
    """Lists of (name, type, shape): what is outside the layers, then one list by layer."""
    parts = [[("token_embd.weight", BF16, [VOCABULARY, HIDDEN]), ("output_norm.weight", F32, [HIDDEN]),
              ("output.weight", BF16, [VOCABULARY, HIDDEN])]]
    for layer in range(LAYERS):
        parts.append([(f"blk.{layer}.{stem}", kind, shape) for stem, kind, shape in layer_tensors(layer)])
    return parts


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(kind, value):
    if kind == STRING:
        return text(value)
    if kind == ARRAY:  # of strings
        return struct.pack("<IQ", STRING, len(value)) + b"".join(text(item) for item in value)
    return struct.pack({UINT16: "<H", UINT32: "<I", INT32: "<i"}[kind], value)


def aligned(size):
    return -(-size // ALIGNMENT) * ALIGNMENT


def file_header(metadata, tensors):
    """Everything before the data, padded, and the bytes of the data."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, kind, value in metadata:
        header += text(key) + struct.pack("<I", kind) + value_bytes(kind, value)
    offset = 0
    for name, kind, shape in tensors:
        header += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        header += struct.pack("<IQ", kind, offset)
        offset += aligned(math.prod(shape) * BYTES[kind])
    return header.ljust(aligned(len(header)), b"\0"), offset


def write_file(path, metadata, tensors):
    header, data_bytes = file_header(metadata, tensors)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + data_bytes)


def write_importance(path, tensors):
    """One token that met every column of every matrix with the activation 1."""
    metadata = [("general.type", STRING, "imatrix"), ("imatrix.datasets", ARRAY, ["none: all ones"]),
                ("imatrix.chunk_count", UINT32, 1), ("imatrix.chunk_size", UINT32, 1)]
    entries = []
    for name, kind, shape in tensors:
        if kind == BF16:
            experts = shape[:-2] or [1]
            entries += [(name + ".in_sum2", F32, experts + shape[-1:]), (name + ".counts", F32, experts + [1])]
    with open(path, "wb") as file:
        file.write(file_header(metadata, entries)[0])
        for _, _, shape in entries:
            ones = array.array("f", [1]) * math.prod(shape)
            file.write(ones.tobytes().ljust(aligned(4 * len(ones)), b"\0"))


def write_split(path, parts):
    count = len(parts)
    tensors = sum(len(part) for part in parts)
    for number, part in enumerate(parts):
        split = [("split.no", UINT16, number), ("split.count", UINT16, count), ("split.tensors.count", INT32, tensors)]
        name = f"{path.stem}-{number + 1:05d}-of-{count:05d}.gguf"
        write_file(path.with_name(name), (METADATA if number == 0 else []) + split, part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", action="store_true", help="one file for every layer")
    parser.add_argument("--imatrix", type=Path, help="importance matrix of ones")
    arguments = parser.parse_args()
    parts = parts_of_model()
    tensors = [tensor for part in parts for tensor in part]
    if arguments.split:
        write_split(arguments.out, parts)
    else:
        write_file(arguments.out, METADATA, tensors)
    if arguments.imatrix:
        write_importance(arguments.imatrix, tensors)


if __name__ == "__main__":
    main()
