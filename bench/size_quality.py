#!/usr/bin/env python3
"""What dynamic quantization loses at a range of sizes, as llama.cpp measures it: the table in docs/dynamic.md.

For every target `tessera quantize --dynamic --target-bpw` makes a file, and `llama-perplexity --kl-divergence` gives its
mean KL divergence from the F16 model and its perplexity on the first CHUNKS windows of each text. Importance and
sensitivities are Tessera's own, of the first 64 windows of the calibration text.

    bench/size_quality.py --model ../shared/models/small
"""
import argparse
import os
import sys

from peers import Peers, print_machine, print_table, run_measured
from workshop import DivergenceWorkshop, text_name

DATA = "../shared/data"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--model", default="../shared/models/small")
    parser.add_argument("--calibration", default=f"{DATA}/books.calibration.txt")
    parser.add_argument("--texts", nargs="+", default=[f"{DATA}/wiki.test.txt", f"{DATA}/books.test.txt"])
    parser.add_argument("--targets", type=float, nargs="+", default=[1.8, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 4.5, 5, 6])
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default="/tmp/tessera-dynamic", help="below /tmp, or wherever llama.cpp can read")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    peers = Peers()
    if not peers:
        sys.exit("llama.cpp was not found: put its tools in PATH, or set PEERS_ROOT")
    print_machine()
    workshop = DivergenceWorkshop(arguments.work, peers, arguments.texts, arguments.chunks, arguments.threads)
    workshop.prepare(arguments.program, arguments.model, arguments.calibration)
    output = workshop.path("size.gguf")
    rows = []
    for target in arguments.targets:
        run_measured([arguments.program, "quantize", workshop.model, "-o", output, "--target-bpw", target, "--profile",
                      arguments.profile, "-f", arguments.calibration, "--samples", 64, "--quiet", "--threads",
                      arguments.threads])
        row = [f"{target}", str(os.path.getsize(output))]
        for text in arguments.texts:
            figures = workshop.figures(output, text)
            row += [f"{figures['kld']:.5f}", f"{figures['ppl']:.3f}"]
        rows.append(row)
        print("  " + "  ".join(row), flush=True)
    header = ["bits per weight", "bytes"]
    for text in arguments.texts:
        header += [f"{text_name(text)} KLD", "PPL"]
    print()
    print_table(header, rows)


if __name__ == "__main__":
    main()
