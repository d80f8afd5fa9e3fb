#!/usr/bin/env python3
"""Holds the perplexity of `tessera evaluate` on W8A8 folders against transformers' on the same folders.

compressed-tensors itself makes the folders (tools/reference_w8a8.py), with dynamic and with static activations, of every
model (a Hugging Face folder). Both sides score the first CHUNKS windows of 512 tokens of every text. transformers
multiplies rounded activations and weights as floats, and takes max / 127.5 for a token's scale; Tessera computes in
integers, with max / 127. Fails when a ratio is further from 1 than 1 %.

    bench/w8a8_agreement.py --program build/tessera --work /tmp/tessera-w8a8
"""
import argparse
import json
import os
import shutil
import sys

from peers import print_table, required_peers, run_for_output
from workshop import Workshop, text_name

DATA = "../shared/data"
MODELS = "../shared/models"
LIMIT_PERCENT = 1.0
CONTEXT = 512


def parse_arguments(description=__doc__):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--tools", default="build/bench", help="folder with make_outlier_model, where one is wanted")
    parser.add_argument("--models", nargs="+", default=[f"{MODELS}/tiny", f"{MODELS}/small"])
    parser.add_argument("--texts", nargs="+", default=[f"{DATA}/wiki.test.txt", f"{DATA}/books.test.txt"])
    parser.add_argument("--calibration", default=f"{DATA}/books.calibration.txt", help="gives the static scales")
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"],
                        help="of scales and of what is not quantized")
    parser.add_argument("--precision", default="f32", choices=["auto", "f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default="/tmp/tessera-w8a8", help="below /tmp, or wherever transformers can read")
    return parser.parse_args()


class Agreement(Workshop):
    """The folders of the comparison, and what either program says of them."""

    def __init__(self, arguments, peers):
        super().__init__(arguments.work)
        self.arguments, self.peers = arguments, peers
        self.script = self.path("reference_w8a8.py")
        shutil.copyfile(os.path.join(os.path.dirname(__file__), "../tools/reference_w8a8.py"), self.script)

    def reference(self, *arguments):
        return run_for_output(self.peers.command("python3", self.script, *arguments))[0]

    def windows(self, model, text):
        """The first windows of a text as a file of token lists."""
        name = os.path.basename(model)
        plain, output = self.path(f"{text_name(text)}.txt"), self.path(f"{name}.{text_name(text)}.tokens.json")
        with open(text, "rb") as source, open(plain, "wb") as target:
            target.write(source.read().removesuffix(b"\n"))
        tokens = json.loads(run_for_output([self.arguments.program, "tokenize", model, "-f", plain, "--ids",
                                            "--no-escape", "--no-parse-special"])[0])
        bos = tokens[0]  # of Llama's vocabulary
        starts = range(0, self.arguments.chunks * CONTEXT, CONTEXT)
        with open(output, "w") as file:
            json.dump([[bos, *tokens[start + 1:start + CONTEXT]] for start in starts], file)
        return output

    def quantized(self, model, activations):
        """The W8A8 folder of a model."""
        a = self.arguments
        source, folder = self.path(os.path.basename(model)), self.path(f"{os.path.basename(model)}-{activations}")
        if not os.path.exists(folder):
            shutil.copytree(model, source, dirs_exist_ok=True)
            static = ["--static", self.windows(model, a.calibration)] if activations == "static" else []
            self.reference("make", source, folder + ".making", "--dtype", a.dtype, *static)
            os.rename(folder + ".making", folder)
        return folder

    def compare(self, model, activations, text):
        """Cells of the table, and whether the two agree."""
        a = self.arguments
        folder = self.quantized(model, activations)
        report = json.loads(run_for_output([
            a.program, "evaluate", model, folder, "-f", text, "--ctx", CONTEXT, "--samples", a.chunks, "--precision",
            a.precision, "--threads", a.threads, "--quiet", "--json"])[0])
        original, ours = report["perplexity_original"], report["perplexity_quantized"]
        theirs = float(self.reference("perplexity", folder, self.windows(model, text)))
        percent = 100 * (ours / theirs - 1)
        return [f"{original:.4f}", f"{ours:.4f}", f"{report['kl_divergence_mean']:.6f}", f"{theirs:.4f}",
                f"{percent:+.3f}"], abs(percent) <= LIMIT_PERCENT


def main():
    arguments = parse_arguments()
    agreement = Agreement(arguments, required_peers())
    rows, disagreeing = [], []
    for model in arguments.models:
        for activations in ("dynamic", "static"):
            for text in arguments.texts:
                name = f"{os.path.basename(model)} {activations}, {text_name(text)}"
                cells, agrees = agreement.compare(model, activations, text)
                rows.append([name, *cells])
                disagreeing += [] if agrees else [name]
    print_table(["model, text", "original", "tessera W8A8", "KL", "transformers W8A8", "difference in %"], rows)
    if disagreeing:
        sys.exit("disagree: " + ", ".join(disagreeing))


if __name__ == "__main__":
    main()
