#!/usr/bin/env python3
"""Checks that llama.cpp and Tessera agree on a quantized model with and without its sidecar.

The model is quantized with --protect-super-weights=sidecar, every matrix in one type but for the token embedding, which
stays F16. llama-perplexity then gives the perplexity of the GGUF file alone and with --lora SIDECAR, `tessera evaluate` the
same without and with --sidecar, on the first CHUNKS windows of 512 tokens of the text. As a control both also evaluate the
model with the sidecar's tensors in F16 and no sidecar: llama.cpp's CPU backend rounds what enters quantized matrices to
8 bits, which models with extreme activations amplify, and that is no matter of the sidecar. With --blas, the file of its
BLAS backend (libggml-blas.so), llama.cpp multiplies in float32; models with spikes need it to pass.

llama-completion also takes both files, and must write something.

Without --list the eight most important weights of the layers by coverage are taken for spikes, so that models without any
have a sidecar too.

Fails where the two differ by more than 1 % on any of these, or where the sidecar changes nothing. Without llama.cpp nothing
is checked.

    tools/check_sidecar.py --model /tmp/small-f16.gguf
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
TAKEN_FOR_SPIKES = 8


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--model", required=True, help="F16 GGUF file")
    parser.add_argument("--list", help="of its super weights")
    parser.add_argument("--calibration", default="../shared/data/books.calibration.txt")
    parser.add_argument("--text", default="../shared/data/wiki.test.txt")
    parser.add_argument("--types", nargs="+", default=["IQ2_XXS", "Q2_K", "IQ1_M"])
    parser.add_argument("--chunks", type=int, default=12)
    parser.add_argument("--blas", metavar="FILE", help="llama.cpp's BLAS backend, below /tmp")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


class Check:
    def __init__(self, arguments, peers, folder):
        self.arguments, self.peers, self.folder = arguments, peers, folder
        self.text = self.path("text.txt")  # llama.cpp may run in a root of its own and sees /tmp
        run_measured(["cp", arguments.text, self.text])
        self.list = arguments.list or self.make_list()

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_list(self):
        a, output = self.arguments, self.path("list.json")
        run_measured([a.program, "superweights", a.model, "-f", a.calibration, "--samples", 32, "--notion", "coverage", "-o", output,
                      "--quiet", "--threads", a.threads])
        with open(output) as file:
            found = json.load(file)
        taken = [weight for weight in found["weights"] if weight["tensor"].startswith("blk.")][:TAKEN_FOR_SPIKES]
        for weight in taken:
            weight["notion"] = "activation_spike"
        with open(output, "w") as file:
            json.dump({"super_weights_version": found["super_weights_version"], "weights": taken}, file)
        return output

    def quantize(self, type_name, output, options):
        a = self.arguments
        run_measured([a.program, "quantize", a.model, "-o", output, "--type", type_name, "--pure", "--quiet",
                      "--token-embedding-type", "F16", "-f", a.calibration, "--samples", 32, "--threads", a.threads, *options])

    def files(self, output, sidecar):
        """As options of llama.cpp's programs. Weights that its CPU backend rearranges are not multiplied by another."""
        return ["-m", output, *(["--lora", sidecar] if sidecar else []), *(["--no-repack"] if self.arguments.blas else [])]

    def require_completion(self, output, sidecar):
        command = self.peers.command("llama-completion", *self.files(output, sidecar), "-p", "The city of", "-n", 16,
                                     "--temp", 0, "--no-conversation", "-t", self.arguments.threads)
        said, _ = run_for_output(command)
        if len(said.strip()) <= len("The city of"):
            raise RuntimeError(f"llama-completion writes nothing with {output} and {sidecar}")

    def perplexities(self, output, sidecar=None):
        """Of llama-perplexity and of Tessera."""
        a = self.arguments
        command = self.peers.command("llama-perplexity", *self.files(output, sidecar), "-f", self.text, "-c", 512,
                                     "--chunks", a.chunks, "-t", a.threads)
        theirs = figure_printed(command, r"Final estimate: PPL = (\S+)")
        said, _ = run_for_output([a.program, "evaluate", output, *(["--sidecar", sidecar] if sidecar else []), "-f",
                                  self.text, "--ctx", 512, "--samples", a.chunks, "--precision", "f32", "--threads",
                                  a.threads, "--json"])
        return theirs, json.loads(said)["perplexity_original"]

    def run(self, type_name):
        """{variant: (llama-perplexity, tessera evaluate)}"""
        output, sidecar, control = (self.path(name) for name in ("out.gguf", "out.sidecar.gguf", "control.gguf"))
        self.quantize(type_name, output, ["--protect-super-weights=sidecar", "--super-weights", self.list])
        with open(self.list) as file:
            tensors = sorted({weight["tensor"] for weight in json.load(file)["weights"]})
        self.quantize(type_name, control, [option for tensor in tensors for option in ("--tensor-type", f"{tensor}=F16")])
        self.require_completion(output, sidecar)
        return {"without sidecar": self.perplexities(output), "with sidecar": self.perplexities(output, sidecar),
                "control": self.perplexities(control)}


def difference(pair):
    return abs(pair[1] / pair[0] - 1)


def failures_of(type_name, figures):
    failures = [f"{type_name} {name}: {pair} differ by more than {MOST_DIFFERENCE:.0%}" for name, pair in figures.items()
                if difference(pair) > MOST_DIFFERENCE]
    if figures["without sidecar"] == figures["with sidecar"]:
        failures.append(f"{type_name}: the sidecar changes nothing")
    return failures


def main():
    arguments = parse_arguments()
    if arguments.blas:
        os.environ["GGML_BACKEND_PATH"] = arguments.blas
    peers = required_peers()
    rows, failures = [], []
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        check = Check(arguments, peers, folder)
        for type_name in arguments.types:
            figures = check.run(type_name)
            failures += failures_of(type_name, figures)
            rows += [[type_name, name, f"{pair[0]:.4f}", f"{pair[1]:.4f}", f"{100 * difference(pair):.3f} %"]
                     for name, pair in figures.items()]
    print_table(["type", "file", "llama-perplexity", "tessera evaluate", "difference"], rows)
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
