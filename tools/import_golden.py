#!/usr/bin/env python3
"""Writes testdata/golden and testdata/encode from the reference data of the format documents.

    tools/import_golden.py FORMATS_DIR testdata

golden/<TYPE>.blocks and <TYPE>.f32: up to 16 blocks spread over the reference's (encoded and random ones), with ggml's
exact float32 decode. encode/: the matrix, the importance vector and, per type, ggml's weighted squared error.
"""
import json
import pathlib
import sys

BLOCKS_PER_TYPE = 16
PLAIN_VALUES = 512


def import_golden(formats, target):
    index = json.loads((formats / "golden/index.json").read_text())
    target.mkdir(parents=True, exist_ok=True)
    for entry in index["types"]:
        count = PLAIN_VALUES if entry["block_size"] == 1 else BLOCKS_PER_TYPE
        blocks = (formats / "golden" / entry["blocks_file"]).read_bytes()
        values = (formats / "golden" / entry["f32_file"]).read_bytes()
        chosen = [i * entry["n_blocks"] // count for i in range(min(count, entry["n_blocks"]))]
        block_bytes, value_bytes = entry["block_bytes"], 4 * entry["block_size"]
        (target / f"{entry['type']}.blocks").write_bytes(
            b"".join(blocks[i * block_bytes:(i + 1) * block_bytes] for i in chosen))
        (target / f"{entry['type']}.f32").write_bytes(
            b"".join(values[i * value_bytes:(i + 1) * value_bytes] for i in chosen))


def import_encode(formats, target):
    reference = json.loads((formats / "encode/reference.json").read_text())
    target.mkdir(parents=True, exist_ok=True)
    for name in ("X.f32.bin", "importance.f32.bin"):
        (target / name).write_bytes((formats / "encode" / name).read_bytes())
    errors = {t["type"]: {"wse": t["wse"], "wse_plain": t["wse_plain"]} for t in reference["types"]}
    summary = {"made_with": reference["made_with"], "rows": reference["rows"], "columns": reference["cols"],
               "weighted_energy": reference["weighted_energy"], "types": errors}
    (target / "reference.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    formats_dir, testdata = map(pathlib.Path, sys.argv[1:3])
    import_golden(formats_dir, testdata / "golden")
    import_encode(formats_dir, testdata / "encode")
