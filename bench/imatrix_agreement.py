#!/usr/bin/env python3
"""Holds `tessera imatrix` against llama-imatrix on the same windows, and gives what it writes to llama-quantize.

For every tensor that llama-imatrix has, the cosine between the two vectors of squared activations (of all experts together,
where it stacks some) and the ratio of their means per token. Fails when a tensor is missing or its cosine is below 0.9999. llama-quantize then quantizes with the
GGUF form and with the old form (.dat) of our matrix; the two files must be the same, byte for byte.

    bench/imatrix_agreement.py --program build/tessera --work /tmp/tessera-imatrix
    bench/imatrix_agreement.py --models testdata/forward/{mixtral,qwen2-moe,qwen3-moe} --types Q4_0 --chunks 8
"""
import argparse
import math
import os
import shutil
import sys

from gguf_tensors import read_tensors
from peers import NEEDS_IMATRIX, Peers, print_machine, print_table, run_measured
from workshop import EMBEDDING_TYPE_WITHOUT_IMPORTANCE, Workshop, sha256

MODELS = "../shared/models"
SMALLEST_COSINE = 0.9999


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--models", nargs="+", default=[f"{MODELS}/tiny", f"{MODELS}/small"])
    parser.add_argument("--text", default="../shared/data/books.calibration.txt")
    parser.add_argument("--chunks", type=int, default=32)
    parser.add_argument("--types", nargs="+", default=["Q4_K", "IQ2_XS"], help="what llama-quantize makes")
    parser.add_argument("--precision", default="auto", choices=["auto", "f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default="/tmp/tessera-imatrix", help="below /tmp, or wherever llama.cpp can read")
    return parser.parse_args()


def cosine(x, y):
    return sum(a * b for a, b in zip(x, y)) / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))


def compare_matrices(ours, theirs):
    """Rows of the table: tensor, cosine, ratio of the means; and what disagrees."""
    rows, disagreeing = [], []
    for name in sorted(theirs):
        if not name.endswith(".in_sum2"):
            continue
        tensor = name.removesuffix(".in_sum2")
        if name not in ours or len(ours[name]) != len(theirs[name]):
            disagreeing.append(f"{tensor} (missing)")
            continue
        likeness = cosine(ours[name], theirs[name])
        means = [sum(side[name]) / sum(side[tensor + ".counts"]) for side in (ours, theirs)]
        rows.append([tensor, f"{likeness:.7f}", f"{means[0] / means[1]:.5f}"])
        if not likeness >= SMALLEST_COSINE:
            disagreeing.append(f"{tensor} ({likeness:.6f})")
    return rows, disagreeing


def quantized_hash(peers, workshop, model, type_name, matrix, threads):
    """Hash of the file that llama-quantize makes with `matrix`, which it gets under the same name each time, as it
    writes that name into its output."""
    name, output = workshop.path("matrix"), workshop.path("quantized.gguf")
    shutil.copyfile(matrix, name)
    extra = ["--token-embedding-type", EMBEDDING_TYPE_WITHOUT_IMPORTANCE] if type_name in NEEDS_IMATRIX else []
    run_measured(peers.quantize_command(type_name, model, output, threads, name, extra))
    return sha256(output)


def compare_model(arguments, peers, workshop, folder):
    """Prints the comparison for one model and returns what disagrees."""
    model = workshop.f16_model(arguments.program, folder)
    theirs = workshop.llama_imatrix(peers, model, arguments.text, arguments.chunks, arguments.threads)
    ours = {form: workshop.path(f"ours.{form}") for form in ("gguf", "dat")}
    for path in ours.values():
        run_measured([arguments.program, "imatrix", model, "-f", arguments.text, "-o", path, "--ctx", 512, "--samples",
                      arguments.chunks, "--precision", arguments.precision, "--threads", arguments.threads,
                      "--process-output", "--no-cache", "--quiet"])
    name = os.path.basename(model)
    rows, disagreeing = compare_matrices(read_tensors(ours["gguf"]), read_tensors(theirs))
    print(f"\n{name}, {arguments.chunks} windows of 512 tokens, precision {arguments.precision}\n")
    print_table(["tensor", "cosine", "ratio of means"], rows)
    print()
    for type_name in arguments.types:
        hashes = {form: quantized_hash(peers, workshop, model, type_name, path, arguments.threads)
                  for form, path in ours.items()}
        same = hashes["gguf"] == hashes["dat"]
        print(f"llama-quantize {type_name} of {name}: {'the same file' if same else 'DIFFERENT FILES'} from both forms",
              flush=True)
        disagreeing += [] if same else [f"{type_name} from both forms"]
    return [f"{name}: {what}" for what in disagreeing]


def main():
    arguments = parse_arguments()
    peers = Peers()
    if not peers:
        sys.exit("llama.cpp was not found: put its tools in PATH, or set PEERS_ROOT")
    print_machine()
    workshop = Workshop(arguments.work)
    disagreeing = []
    for folder in arguments.models:
        disagreeing += compare_model(arguments, peers, workshop, folder)
    if disagreeing:
        sys.exit("disagree: " + ", ".join(disagreeing))


if __name__ == "__main__":
    main()
