#!/usr/bin/env python3
"""What dynamic quantization loses at a range of sizes, as llama.cpp measures it: the table in docs/dynamic.md.

For every target `tessera quantize --dynamic --target-bpw` makes a file, and `llama-perplexity --kl-divergence` gives its
mean KL divergence from the F16 model and its perplexity on the first CHUNKS windows of each text. Importance and
sensitivities are Tessera's own, of the first 64 windows of the calibration text.

    bench/size_quality.py --model ../shared/models/small
"""
import os

from peers import print_table, required_peers, run_measured
from workshop import DivergenceWorkshop, divergence_parser, text_name


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-dynamic")
    parser.add_argument("--targets", type=float, nargs="+", default=[1.8, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 4.5, 5, 6])
    parser.add_argument("--profile", default="balanced")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    workshop = DivergenceWorkshop(arguments, required_peers())
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
