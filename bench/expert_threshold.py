#!/usr/bin/env python3
"""From how many tokens on an expert of a mixture is better off with statistics of its own.

The model is a mixture that make_mixture_model makes of MODEL, whose layers have EXPERTS experts of which a token passes
USED. `tessera quantize --encoder feedback` learns from ever more windows of 256 tokens, once with statistics of every
expert's own tokens (--expert-tokens 0), once with those of all experts of the layer alone (--expert-tokens 1e9), and
with the threshold that is asked for. Tokens per column are those of a mean expert: WINDOWS * 256 * USED / EXPERTS over
the columns of gate and up, and over those of down. llama-perplexity judges the divergence from the F16 mixture on texts
that were not learnt from. `own` below `shared` says that the threshold belongs below this many tokens per column.

    bench/expert_threshold.py --types IQ2_XS Q4_K
"""
import os

from peers import print_table, required_peers, run_measured
from workshop import DATA, DivergenceWorkshop, divergence_parser, text_name

CONTEXT = 256


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-experts",
                               calibration=[f"{DATA}/books.calibration.txt", f"{DATA}/wiki.valid.txt"])
    parser.add_argument("--maker", default="build/bench/make_mixture_model")
    parser.add_argument("--experts", type=int, default=6)
    parser.add_argument("--used", type=int, default=2)
    parser.add_argument("--columns", nargs=2, type=int, default=[512, 256], metavar=("GATE", "DOWN"))
    parser.add_argument("--types", nargs="+", default=["IQ2_XS", "Q4_K"])
    parser.add_argument("--windows", nargs="+", type=int, default=[2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--thresholds", nargs="+", default=["0", "1e9"])
    return parser.parse_args()


class ThresholdWorkshop(DivergenceWorkshop):
    def divergences(self, type_name, windows, threshold):
        """Mean KL divergence on every text."""
        a = self.arguments
        output = self.path("tessera.gguf")
        run_measured([a.program, "quantize", self.model, "-o", output, "--type", type_name, "--pure",
                      "--output-tensor-type", "F16", "--token-embedding-type", "F16", "--encoder", "feedback",
                      "--expert-tokens", threshold, "--feedback-samples", windows, "--ctx", CONTEXT, "--samples", windows,
                      *(option for text in a.calibration for option in ("-f", text)), "--quiet", "--threads", a.threads])
        return [self.figures(output, text)["kld"] for text in self.texts]


def main():
    arguments = parse_arguments()
    os.makedirs(arguments.work, exist_ok=True)
    mixture = os.path.join(arguments.work, f"mixture-{arguments.experts}-{arguments.used}.gguf")
    if not os.path.exists(mixture):
        run_measured([arguments.maker, arguments.model, "-o", mixture, "--experts", arguments.experts, "--used",
                      arguments.used])
    arguments.model = mixture
    workshop = ThresholdWorkshop(arguments, required_peers())
    header = ["type", "windows", *(f"tokens per column of {name}" for name in ("gate", "down"))]
    header += [f"{text_name(text)} {threshold}" for threshold in arguments.thresholds for text in arguments.texts]
    rows = []
    for type_name in arguments.types:
        for windows in arguments.windows:
            tokens = windows * CONTEXT * arguments.used / arguments.experts
            found = [workshop.divergences(type_name, windows, threshold) for threshold in arguments.thresholds]
            row = [type_name, str(windows), *(f"{tokens / columns:.2f}" for columns in arguments.columns)]
            rows.append(row + [f"{each:.6f}" for of_threshold in found for each in of_threshold])
            print("  " + "  ".join(rows[-1]), flush=True)
    print()
    print_table(header, rows)


if __name__ == "__main__":
    main()
