#!/usr/bin/env python3
"""Checks that llama.cpp and Tessera agree on a quantized model with and without its sidecar.

The model is quantized with --protect-super-weights=sidecar. llama-perplexity then gives the perplexity of the GGUF file
alone and with --lora SIDECAR, `tessera evaluate` the same without and with --sidecar, on the first CHUNKS windows of 512
tokens of the text. Fails where two of them differ by more than 1 %, or where the sidecar changes nothing. Without
llama.cpp nothing is checked.

    tools/check_sidecar.py --model /tmp/planted-F16.gguf --list /tmp/planted/super-weights.json --types IQ2_XXS Q2_K IQ1_M
"""
import argparse
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
from peers import figure_printed, print_table, required_peers, run_for_output, run_measured  # noqa: E402

MOST_DIFFERENCE = 0.01


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--model", required=True, help="F16 GGUF file")
    parser.add_argument("--list", required=True, help="of its super weights")
    parser.add_argument("--calibration", default="../shared/data/books.calibration.txt")
    parser.add_argument("--text", default="../shared/data/wiki.test.txt")
    parser.add_argument("--types", nargs="+", default=["IQ2_XXS", "Q2_K", "IQ1_M"])
    parser.add_argument("--chunks", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


class Check:
    def __init__(self, arguments, peers, folder):
        self.arguments, self.peers, self.folder = arguments, peers, folder
        self.text = self.path("text.txt")  # llama.cpp may run in a root of its own and sees /tmp
        run_measured(["cp", arguments.text, self.text])

    def path(self, name):
        return os.path.join(self.folder, name)

    def quantize(self, type_name):
        a = self.arguments
        run_measured([a.program, "quantize", a.model, "-o", self.path("out.gguf"), "--type", type_name, "--quiet",
                      "--token-embedding-type", "Q8_0", "-f", a.calibration, "--samples", 32, "--threads", a.threads,
                      "--protect-super-weights=sidecar", "--super-weights", a.list])

    def llama(self, with_sidecar):
        options = ["--lora", self.path("out.sidecar.gguf")] if with_sidecar else []
        command = self.peers.command("llama-perplexity", "-m", self.path("out.gguf"), *options, "-f", self.text, "-c", 512,
                                     "--chunks", self.arguments.chunks, "-t", self.arguments.threads)
        return figure_printed(command, r"Final estimate: PPL = (\S+)")

    def tessera(self, with_sidecar):
        a = self.arguments
        options = ["--sidecar", self.path("out.sidecar.gguf")] if with_sidecar else []
        output, _ = run_for_output([a.program, "evaluate", self.path("out.gguf"), *options, "-f", self.text, "--ctx", 512,
                                    "--samples", a.chunks, "--precision", "f32", "--threads", a.threads, "--json"])
        return json.loads(output)["perplexity_original"]


def main():
    arguments = parse_arguments()
    peers = required_peers()
    rows, failures = [], []
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        check = Check(arguments, peers, folder)
        for type_name in arguments.types:
            check.quantize(type_name)
            figures = {sidecar: (check.llama(sidecar), check.tessera(sidecar)) for sidecar in (False, True)}
            for sidecar, (theirs, ours) in figures.items():
                difference = abs(ours / theirs - 1)
                rows.append([type_name, "with" if sidecar else "without", f"{theirs:.4f}", f"{ours:.4f}",
                             f"{100 * difference:.3f} %"])
                if difference > MOST_DIFFERENCE:
                    failures.append(f"{type_name}: {theirs} and {ours} differ by more than 1 %")
            if figures[False] == figures[True]:
                failures.append(f"{type_name}: the sidecar changes nothing")
    print_table(["type", "sidecar", "llama-perplexity", "tessera evaluate", "difference"], rows)
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
