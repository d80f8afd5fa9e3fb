#!/usr/bin/env python3
"""Writes the small model files of testdata/formats: one of each format, with every field the format has.

They are made field by field from shared/formats/GGUF.md and the safetensors documentation, not with Tessera, so that
they check its readers; the fuzzers start from them. Usage: tools/make_format_samples.py [FOLDER]
"""
import json
import os
import struct
import sys

FOLDER = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "testdata", "formats")
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def item(kind, value):
    return text(value) if kind == TEXT else struct.pack("<" + FORMATS[kind], value)


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + item(kind, value)


def array(name, kind, values):
    return text(name) + struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(item(kind, v) for v in values)


def padded(raw):
    return raw + bytes(-len(raw) % 32)


def gguf(keys, tensors, version=3):
    """tensors: (name, sizes fastest first, type id, bytes)"""
    out, offset = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys), 0
    for name, sizes, kind, raw in tensors:
        out += text(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes) + struct.pack("<IQ", kind, offset)
        offset += len(padded(raw))
    return (padded(out) if tensors else out) + b"".join(padded(raw) for _, _, _, raw in tensors)


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


def safetensors(entries, data, metadata=None):
    header = {"__metadata__": metadata} if metadata else {}
    header.update({n: {"dtype": t, "shape": s, "data_offsets": [b, e]} for n, t, s, b, e in entries})
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + data


def legacy_imatrix(entries, chunks, dataset):
    out = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        out += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values)) + floats(*values)
    return out + struct.pack("<ii", chunks, len(dataset)) + dataset.encode()


def every_value_type():
    keys = [key("general.architecture", TEXT, "llama")]
    for kind in FORMATS:
        keys += [key(f"scalar.{kind}", kind, 1), array(f"array.{kind}", kind, [0, 1, 1])]
    return keys + [array("array.text", TEXT, ["", "a", "\u00e4"]), array("array.empty", TEXT, [])]


def split_keys(number):
    return [key("split.no", 2, number), key("split.tensors.count", 5, 2), key("split.count", 2, 2)]


FILES = {
    "every_value_type.gguf": gguf(every_value_type(), [
        ("blk.0.attn_norm.weight", [4], 0, floats(1, 2, 3, 4)),
        ("blk.0.attn_q.weight", [32, 2], 8, bytes(range(68))),
        ("blk.0.ffn_up_exps.weight", [2, 3, 2], 1, bytes(range(24))),
    ]),
    "version2.gguf": gguf([key("general.alignment", 4, 32)], [("a", [2], 0, floats(1, 2))], version=2),
    "split-00001-of-00002.gguf": gguf([key("general.name", TEXT, "split")] + split_keys(0), [("a", [2], 0, floats(1, 2))]),
    "split-00002-of-00002.gguf": gguf(split_keys(1), [("b", [2], 0, floats(3, 4))]),
    "imatrix.gguf": gguf(
        [key("general.type", TEXT, "imatrix"), array("imatrix.datasets", TEXT, ["text.txt"]),
         key("imatrix.chunk_count", 4, 2), key("imatrix.chunk_size", 4, 64)],
        [("w.in_sum2", [2], 0, floats(8, 16)), ("w.counts", [1], 0, floats(4)), ("w.in_sum", [2], 0, floats(-1, 1)),
         ("x.in_sum2", [2, 2], 0, floats(1, 2, 0, 0)), ("x.counts", [1, 2], 0, floats(1, 0))]),
    "imatrix-fisher.gguf": gguf(
        [key("general.type", TEXT, "imatrix"), array("imatrix.datasets", TEXT, ["text.txt"]),
         key("imatrix.chunk_count", 4, 2), key("imatrix.chunk_size", 4, 64), key("tessera.method", TEXT, "fisher"),
         key("tessera.version", TEXT, "0.1.0"), key("tessera.model_hash", TEXT, "00ff"),
         key("tessera.data_hash", TEXT, "ff00"), key("tessera.options", TEXT, "ctx=64")],
        [("w.in_sum2", [2], 0, floats(8, 16)), ("w.counts", [1], 0, floats(4)), ("w.in_max", [2], 0, floats(3, 0)),
         ("w.sens", [1], 0, floats(0.5)), ("w.fisher", [2, 3], 30, struct.pack("<6H", *[0x3F80] * 6)),
         ("x.in_sum2", [2, 2], 0, floats(1, 2, 0, 0)), ("x.counts", [1, 2], 0, floats(1, 0)),
         ("x.in_max", [2, 2], 0, floats(1, 2, 0, 0)), ("x.fisher", [2, 1, 2], 1, struct.pack("<4e", 0, 1, 2, 3))]),
    "imatrix.dat": legacy_imatrix([("w", 2, [4, 8]), ("x", 1, [1, 2, 1, 1])], 2, "text.txt"),
    "plain.safetensors": safetensors(
        [("a", "F32", [2, 2], 0, 16), ("b", "BF16", [2], 16, 20), ("c", "I8", [4], 20, 24)],
        floats(1, 2, 3, 4) + bytes([0x80, 0x3F, 0, 0x40]) + bytes(range(4)), {"format": "pt"}),
    "float8.safetensors": safetensors(
        [("w", "F8_E4M3", [2, 129], 8, 266), ("w_scale_inv", "F32", [1, 2], 0, 8)], floats(1, 0.5) + b"\x38" * 258),
    "index.json": json.dumps({"metadata": {"total_size": 24}, "weight_map": {"a": "s1.safetensors", "b": "s2.safetensors"}}).encode(),
}

os.makedirs(FOLDER, exist_ok=True)
for file_name, content in FILES.items():
    with open(os.path.join(FOLDER, file_name), "wb") as file:
        file.write(content)
