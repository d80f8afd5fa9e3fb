#!/usr/bin/env python3
"""Compares `tessera quantize --dynamic` with llama-quantize's mixtures of the same file size, as llama.cpp measures it.

The model (a Hugging Face folder) is converted to F16; importance and sensitivities come from the same texts on both
sides: llama-imatrix's matrix of 64 windows for both, divided evenly among the texts, and for Tessera's sensitivities and
error feedback windows of the same texts. Each mixture is made with llama-quantize, then a dynamic file whose target is
the size of that file. `llama-perplexity --kl-divergence` gives mean KL divergence from the F16 model and perplexity on
the first CHUNKS windows of each text. Ratios are Tessera's divergence over the mixture's (below 1: Tessera is nearer to
the original).

A second table says what that saves: for each dynamic file, of the mixtures whose divergence it has or is below on every
text, the one of least divergence, and how many bits per weight (of the whole file) that one takes more. --references
are further mixtures that are measured for this table alone.

Results are kept in WORK/results.json under the hash of the quantized file, so a run can be stopped and continued.
Without llama.cpp nothing is measured.

    bench/dynamic_quality.py --model ../shared/models/small --profile balanced
    bench/dynamic_quality.py --encoder feedback --calibration ../shared/data/books.calibration.txt ../shared/data/wiki.valid.txt
"""
import dataclasses
import json
import os

from peers import print_table, required_peers, run_for_output, run_measured
from workshop import DATA, DivergenceWorkshop, divergence_parser, text_name

MIXTURES = ["Q4_K_M", "Q3_K_M", "IQ3_XXS", "Q2_K", "IQ2_M", "IQ2_XXS", "IQ1_M"]
REFERENCES = ["Q6_K", "Q5_K_M", "IQ4_XS"]
WINDOWS = 64


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-dynamic", calibration=[f"{DATA}/books.calibration.txt"])
    parser.add_argument("--mixtures", nargs="+", default=MIXTURES)
    parser.add_argument("--references", nargs="*", default=REFERENCES)
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--sensitivity", default="fisher", choices=["fisher", "measured", "prior"])
    parser.add_argument("--encoder", help="of `tessera quantize`, such as feedback; its default if not given")
    parser.add_argument("--own-imatrix", action="store_true",
                        help="let Tessera compute its importance matrix from the text instead of sharing llama-imatrix's")
    return parser.parse_args()


@dataclasses.dataclass
class Judged:
    """A quantized file, and what llama-perplexity says of it."""
    name: str
    bytes: int
    figures: list  # by text

    def divergence(self):
        """Mean over the texts."""
        return sum(figures["kld"] for figures in self.figures) / len(self.figures)

    def reaches(self, other):
        return all(own["kld"] <= others["kld"] for own, others in zip(self.figures, other.figures))


class DynamicWorkshop(DivergenceWorkshop):
    """Both sides' files, one mixture at a time."""

    def __init__(self, arguments, peers):
        super().__init__(arguments, peers)
        calibration = arguments.calibration
        self.imatrix = self.joined_imatrix(peers, self.model, calibration, WINDOWS // len(calibration), arguments.threads)
        inspected = json.loads(run_for_output([arguments.program, "inspect", self.model, "--json"])[0])
        self.weights = inspected["total"]["weights"]

    def bits_per_weight(self, judged):
        return 8 * judged.bytes / self.weights

    def judge(self, name, path):
        return Judged(name, os.path.getsize(path), [self.figures(path, text) for text in self.texts])

    def mixture(self, name):
        texts = [text_name(text) for text in self.arguments.calibration]
        output = self.path(".".join([os.path.basename(self.model), *(texts if len(texts) > 1 else []), name, "gguf"]))
        self.make_once(output, self.peers.command(
            "llama-quantize", "--imatrix", self.imatrix, self.model, output, name, self.arguments.threads))
        return self.judge(name, output)

    def dynamic(self, name, size):
        a = self.arguments
        output = self.path("dynamic.gguf")
        run_measured([a.program, "quantize", self.model, "-o", output, "--dynamic", "--profile", a.profile,
                      "--target-size", size, "--sensitivity", a.sensitivity, "--samples", WINDOWS,
                      *(option for text in a.calibration for option in ("-f", text)),
                      *(["--encoder", a.encoder] if a.encoder else []), "--quiet", "--threads", a.threads,
                      *([] if a.own_imatrix else ["--imatrix", self.imatrix])])
        return self.judge(name, output)


def compared(ours, theirs):
    """A row of the table, and the ratios of divergence by text."""
    row = [theirs.name, str(theirs.bytes), f"{100 * ours.bytes / theirs.bytes:.2f} %"]
    ratios = []
    for own, mixture in zip(ours.figures, theirs.figures):
        ratios.append(own["kld"] / mixture["kld"])
        row += [f"{own['kld']:.6f}", f"{mixture['kld']:.6f}", f"{ratios[-1]:.3f}", f"{own['ppl']:.3f}",
                f"{mixture['ppl']:.3f}"]
    return row, ratios


def saved(workshop, ours, mixtures):
    """A row of the second table."""
    own_bits = workshop.bits_per_weight(ours)
    row = [ours.name, f"{own_bits:.2f}", f"{ours.divergence():.6f}"]
    reached = [mixture for mixture in mixtures if ours.reaches(mixture)]
    if not reached:
        return [*row, "none", "", "", ""]
    best = min(reached, key=Judged.divergence)
    bits = workshop.bits_per_weight(best)
    return [*row, best.name, f"{best.divergence():.6f}", f"{bits:.2f}", f"{bits - own_bits:.2f}"]


def main():
    arguments = parse_arguments()
    workshop = DynamicWorkshop(arguments, required_peers())
    rows, ratios, dynamic, mixtures = [], [], [], []
    for name in arguments.mixtures:
        mixtures.append(workshop.mixture(name))
        dynamic.append(workshop.dynamic(name, mixtures[-1].bytes))
        row, more = compared(dynamic[-1], mixtures[-1])
        rows.append(row)
        ratios += more
        print("  " + "  ".join(row), flush=True)
    header = ["mixture", "bytes", "dynamic"]
    for text in arguments.texts:
        header += [f"{text_name(text)} KLD dynamic", "mixture", "ratio", "PPL dynamic", "mixture"]
    print()
    print_table(header, rows)
    print(f"\nratio of divergence: mean {sum(ratios) / len(ratios):.3f}, worst {max(ratios):.3f}\n")
    mixtures += [workshop.mixture(name) for name in arguments.references if name not in arguments.mixtures]
    print_table(["size of", "bits per weight", "mean KLD", "reaches", "mean KLD", "bits per weight", "saved"],
                [saved(workshop, ours, mixtures) for ours in dynamic])


if __name__ == "__main__":
    main()
