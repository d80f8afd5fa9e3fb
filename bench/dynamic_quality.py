#!/usr/bin/env python3
"""Compares `tessera quantize --dynamic` with llama-quantize's mixtures of the same file size, as llama.cpp measures it.

The model (a Hugging Face folder) is converted to F16; importance and sensitivities come from the same text on both
sides: llama-imatrix's matrix of 64 windows for both, and for Tessera's sensitivities windows of the same text. Each
mixture is made with llama-quantize, then a dynamic file whose target is the size of that file. `llama-perplexity
--kl-divergence` gives mean KL divergence from the F16 model and perplexity on the first CHUNKS windows of each text.
Ratios are Tessera's divergence over the mixture's (below 1: Tessera is nearer to the original).

Results are kept in WORK/results.json under the hash of the quantized file, so a run can be stopped and continued.
Without llama.cpp nothing is measured.

    bench/dynamic_quality.py --model ../shared/models/small --profile balanced
"""
import os

from peers import print_table, required_peers, run_measured
from workshop import DivergenceWorkshop, divergence_parser, text_name

MIXTURES = ["Q4_K_M", "Q3_K_M", "IQ3_XXS", "Q2_K", "IQ2_M", "IQ2_XXS", "IQ1_M"]


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-dynamic")
    parser.add_argument("--mixtures", nargs="+", default=MIXTURES)
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--sensitivity", default="fisher", choices=["fisher", "measured", "prior"])
    parser.add_argument("--own-imatrix", action="store_true",
                        help="let Tessera compute its importance matrix from the text instead of sharing llama-imatrix's")
    return parser.parse_args()


class DynamicWorkshop(DivergenceWorkshop):
    """Both sides' files, one mixture at a time."""

    def mixture(self, name):
        return self.make_once(self.path(f"{os.path.basename(self.model)}.{name}.gguf"), self.peers.command(
            "llama-quantize", "--imatrix", self.imatrix, self.model,
            self.path(f"{os.path.basename(self.model)}.{name}.gguf"), name, self.arguments.threads))

    def dynamic(self, size):
        a = self.arguments
        output = self.path("dynamic.gguf")
        run_measured([a.program, "quantize", self.model, "-o", output, "--dynamic", "--profile", a.profile,
                      "--target-size", size, "--sensitivity", a.sensitivity, "-f", a.calibration, "--samples", 64,
                      "--quiet", "--threads", a.threads, *([] if a.own_imatrix else ["--imatrix", self.imatrix])])
        return output

    def compare(self, name):
        """A row of the table, and the ratios of divergence by text."""
        mixture = self.mixture(name)
        size = os.path.getsize(mixture)
        dynamic = self.dynamic(size)
        own_size = os.path.getsize(dynamic)
        row = [name, str(size), f"{100 * own_size / size:.2f} %"]
        ratios = []
        for text in self.texts:
            ours, theirs = self.figures(dynamic, text), self.figures(mixture, text)
            ratios.append(ours["kld"] / theirs["kld"])
            row += [f"{ours['kld']:.6f}", f"{theirs['kld']:.6f}", f"{ratios[-1]:.3f}",
                    f"{ours['ppl']:.3f}", f"{theirs['ppl']:.3f}"]
        return row, ratios


def main():
    arguments = parse_arguments()
    workshop = DynamicWorkshop(arguments, required_peers())
    rows, ratios = [], []
    for name in arguments.mixtures:
        row, more = workshop.compare(name)
        rows.append(row)
        ratios += more
        print("  " + "  ".join(row), flush=True)
    header = ["mixture", "bytes", "dynamic"]
    for text in arguments.texts:
        header += [f"{text_name(text)} KLD dynamic", "mixture", "ratio", "PPL dynamic", "mixture"]
    print()
    print_table(header, rows)
    print(f"\nratio of divergence: mean {sum(ratios) / len(ratios):.3f}, worst {max(ratios):.3f}")


if __name__ == "__main__":
    main()
