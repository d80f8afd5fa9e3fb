#!/usr/bin/env python3
"""Holds the perplexity of `tessera evaluate` against llama-perplexity's, on the same windows of the same files.

Every model (a Hugging Face folder) is converted to F16 and quantized by Tessera, with an importance matrix of
llama-imatrix for the types that need one. Both programs then score the first CHUNKS windows of 512 tokens of every text.
Fails when a ratio is further from 1 than 0.3 % for an F16 file, or 1 % for a quantized one, where llama.cpp rounds
activations to 8 bits as well. With --kl the divergence from the F16 file is compared too, without a limit: it is the
smaller, the more that rounding adds to it on llama.cpp's side.

    bench/perplexity_agreement.py --program build/tessera --work /tmp/tessera-agreement
"""
import argparse
import json
import os
import sys

from peers import NEEDS_IMATRIX, Peers, figure_printed, print_machine, print_table, run_for_output
from workshop import EMBEDDING_TYPE_WITHOUT_IMPORTANCE, Workshop, text_name

DATA = "../shared/data"
MODELS = "../shared/models"
LIMIT_PERCENT = {"F16": 0.3}
LIMIT_PERCENT_QUANTIZED = 1.0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--models", nargs="+", default=[f"{MODELS}/tiny", f"{MODELS}/small"])
    parser.add_argument("--texts", nargs="+", default=[f"{DATA}/wiki.test.txt", f"{DATA}/books.test.txt"])
    parser.add_argument("--types", nargs="+", default=["F16", "Q8_0", "Q4_K", "Q2_K", "IQ2_XS"])
    parser.add_argument("--calibration", default=f"{DATA}/books.calibration.txt")
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--precision", default="auto", choices=["auto", "f32", "bf16"])
    parser.add_argument("--kl", action="store_true", help="compare the mean KL divergence of the quantized files too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default="/tmp/tessera-agreement", help="below /tmp, or wherever llama.cpp can read")
    return parser.parse_args()


class Agreement(Workshop):
    """The files of the comparison, and what either program says of them."""

    def __init__(self, arguments, peers):
        super().__init__(arguments.work)
        self.arguments = arguments
        self.peers = peers

    def quantized(self, model, type_name):
        if type_name == "F16":
            return model
        a = self.arguments
        output = model.removesuffix("-f16.gguf") + f"-{type_name}.gguf"
        importance = []
        if type_name in NEEDS_IMATRIX:
            importance = ["--imatrix", self.llama_imatrix(self.peers, model, a.calibration, 32, a.threads),
                          "--token-embedding-type", EMBEDDING_TYPE_WITHOUT_IMPORTANCE]
        return self.make_once(output, [a.program, "quantize", model, "-o", output, "--type", type_name, "--pure",
                                       "--quiet", "--threads", a.threads, *importance])

    def ours(self, models, text):
        """The report of `tessera evaluate` of one model, or of an original and a quantized one."""
        a = self.arguments
        output, _ = run_for_output([a.program, "evaluate", *models, "-f", text, "--ctx", 512, "--samples", a.chunks,
                                    "--precision", a.precision, "--threads", a.threads, "--quiet", "--json"])
        return json.loads(output)

    def score_command(self, path, text, *extra):
        a = self.arguments
        return self.peers.command("llama-perplexity", "-m", path, "-f", self.copied_text(text), "-c", 512, "--chunks",
                                  a.chunks, "-t", a.threads, *extra)

    def theirs(self, path, text, pattern, *extra):
        """The figure that `pattern` finds in llama-perplexity's output."""
        return figure_printed(self.score_command(path, text, *extra), pattern)

    def compare_perplexity(self, path, type_name, text):
        """Cells of the table, and whether the two agree."""
        ours = self.ours([path], text)["perplexity_original"]
        theirs = self.theirs(path, text, r"Final estimate: PPL = (\S+)")
        percent = 100 * (ours / theirs - 1)
        limit = LIMIT_PERCENT.get(type_name, LIMIT_PERCENT_QUANTIZED)
        return [f"{ours:.4f}", f"{theirs:.4f}", f"{percent:+.3f}", f"{limit}"], abs(percent) <= limit

    def compare_divergence(self, model, path, text):
        if path == model:
            return ["", ""]
        logits = self.path(f"{os.path.basename(model)}.{text_name(text)}.{self.arguments.chunks}.logits")
        self.make_once(logits, self.score_command(model, text, "--save-all-logits", logits))
        ours = self.ours([model, path], text)["kl_divergence_mean"]
        theirs = self.theirs(path, text, r"Mean\s+KLD:\s+(\S+)", "--kl-divergence", "--kl-divergence-base", logits)
        return [f"{ours:.6f}", f"{theirs:.6f}"]


def main():
    arguments = parse_arguments()
    peers = Peers()
    if not peers:
        sys.exit("llama.cpp was not found: put its tools in PATH, or set PEERS_ROOT")
    print_machine()
    agreement = Agreement(arguments, peers)
    header = ["model, type, text", "tessera", "llama-perplexity", "difference %", "limit %"]
    header += ["KLD tessera", "KLD llama-perplexity"] if arguments.kl else []
    rows, disagreeing = [], []
    for folder in arguments.models:
        model = agreement.f16_model(arguments.program, folder)
        for type_name in arguments.types:
            path = agreement.quantized(model, type_name)
            for text in arguments.texts:
                name = f"{os.path.basename(os.path.normpath(folder))} {type_name} {text_name(text)}"
                cells, agree = agreement.compare_perplexity(path, type_name, text)
                if arguments.kl:
                    cells += agreement.compare_divergence(model, path, text)
                rows.append([name, *cells])
                disagreeing += [] if agree else [name]
                print("  " + "  ".join(rows[-1]), flush=True)
    print(f"\n{arguments.chunks} windows of 512 tokens, precision {arguments.precision}\n")
    print_table(header, rows)
    if disagreeing:
        sys.exit("beyond the limit: " + ", ".join(disagreeing))


if __name__ == "__main__":
    main()
