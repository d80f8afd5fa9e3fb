#!/usr/bin/env python3
"""Compares the quality of `tessera quantize --pure` and `llama-quantize --pure` files, as llama.cpp measures it.

The model (a Hugging Face folder) is converted to F16; llama-imatrix makes one importance matrix for both sides. For
every type both programs write a file, and `llama-perplexity --kl-divergence` gives the mean KL divergence from the F16
model on the first CHUNKS windows of 512 tokens of each text. The table shows both and their ratio (below 1: Tessera is
nearer to the original).

Results are kept in WORK/results.json under the hash of the quantized file, so a run can be stopped and continued, and
only files that changed are measured again. Without llama.cpp nothing is measured.

    bench/quality.py --program build/tessera --model ../shared/models/small --work /tmp/tessera-quality
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys

from peers import ALL_TYPES, Peers, print_machine, print_table, run_measured

DATA = "../shared/data"

# llama-imatrix has no entry for the token embedding, and llama-quantize --pure ends with an assertion of ggml when it
# encodes one of these types without importance: in such files the token embedding is EMBEDDING_TYPE on both sides.
NOT_FOR_EMBEDDINGS = {"IQ1_S", "IQ2_XXS", "IQ2_XS"}
EMBEDDING_TYPE = "Q4_0"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--model", default="../shared/models/small")
    parser.add_argument("--calibration", default=f"{DATA}/books.calibration.txt")
    parser.add_argument("--texts", nargs="+", default=[f"{DATA}/wiki.test.txt", f"{DATA}/books.test.txt"])
    parser.add_argument("--types", nargs="+", default=ALL_TYPES)
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default="/tmp/tessera-quality", help="below /tmp, or wherever llama.cpp can read")
    return parser.parse_args()


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_name(path):
    return os.path.basename(path).removesuffix(".txt")


class Workshop:
    """The folder that holds the F16 model, the importance matrix, the base logits and the results so far."""

    def __init__(self, arguments, peers):
        self.arguments = arguments
        self.peers = peers
        os.makedirs(arguments.work, exist_ok=True)
        self.model = self.path("f16.gguf")
        self.imatrix = self.path("imatrix.gguf")
        self.results_path = self.path("results.json")
        self.results = {}
        if os.path.exists(self.results_path):
            with open(self.results_path) as file:
                self.results = json.load(file)

    def path(self, name):
        return os.path.join(self.arguments.work, name)

    def make_once(self, path, command):
        """Runs `command`, which writes `path`, under another name until it is whole; unless it exists already."""
        if not os.path.exists(path):
            partial = path + ".making"
            run_measured([partial if part == path else part for part in command])
            os.rename(partial, path)

    def copied_text(self, text):
        copy = self.path(os.path.basename(text))
        self.make_once(copy, ["cp", text, copy])
        return copy

    def prepare(self):
        a = self.arguments
        self.make_once(self.model, [a.program, "convert", a.model, "-o", self.model, "--type", "f16", "--quiet"])
        self.make_once(self.imatrix, self.peers.command(
            "llama-imatrix", "-m", self.model, "-f", self.copied_text(a.calibration), "--process-output", "--no-ppl",
            "--chunks", 64, "-c", 512, "-t", a.threads, "-o", self.imatrix))
        for text in a.texts:
            self.make_once(self.base_logits(text), self.peers.command(
                "llama-perplexity", "-m", self.model, "-f", self.copied_text(text), "-c", 512, "--chunks", a.chunks,
                "-t", a.threads, "--save-all-logits", self.base_logits(text)))

    def base_logits(self, text):
        return self.path(f"{text_name(text)}.{self.arguments.chunks}.logits")

    def quantize(self, side, type_name):
        """Writes the file of one side and returns its path."""
        a = self.arguments
        output = self.path(f"{side}.gguf")
        embedding = []
        if type_name in NOT_FOR_EMBEDDINGS:
            embedding = ["--token-embedding-type", EMBEDDING_TYPE]
        if side == "llama":
            command = self.peers.quantize_command(type_name, self.model, output, a.threads, self.imatrix, embedding)
        else:
            command = [a.program, "quantize", self.model, "-o", output, "--type", type_name, "--pure", "--quiet",
                       "--threads", a.threads, "--imatrix", self.imatrix, *embedding]
        run_measured(command)
        return output

    def divergence(self, path, text):
        """Mean KL divergence of the file from the F16 model on `text`, measured or remembered."""
        key = f"{sha256(path)} {text_name(text)} {self.arguments.chunks}"
        if key not in self.results:
            command = self.peers.command("llama-perplexity", "-m", path, "-t", self.arguments.threads, "-c", 512,
                                         "--chunks", self.arguments.chunks, "--kl-divergence",
                                         "--kl-divergence-base", self.base_logits(text))
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            found = re.search(r"Mean\s+KLD:\s+(\S+)", done.stdout + done.stderr)
            if done.returncode != 0 or not found:
                raise RuntimeError(f"llama-perplexity gave no divergence for {path}\n{done.stderr[-2000:]}")
            self.results[key] = float(found[1])
            with open(self.results_path + ".making", "w") as file:
                json.dump(self.results, file, indent=1)
            os.rename(self.results_path + ".making", self.results_path)
        return self.results[key]

    def compare(self, type_name):
        """A row of the table: type, bytes of both files, then both divergences and their ratio for every text."""
        files = {side: self.quantize(side, type_name) for side in ("tessera", "llama")}
        row = [type_name, *(str(os.path.getsize(path)) for path in files.values())]
        for text in self.arguments.texts:
            ours, theirs = (self.divergence(files[side], text) for side in ("tessera", "llama"))
            row += [f"{ours:.6f}", f"{theirs:.6f}", f"{ours / theirs:.3f}"]
        return row


def main():
    arguments = parse_arguments()
    peers = Peers()
    if not peers:
        sys.exit("llama.cpp was not found: put its tools in PATH, or set PEERS_ROOT")
    print_machine()
    workshop = Workshop(arguments, peers)
    workshop.prepare()
    rows = []
    for type_name in arguments.types:
        rows.append(workshop.compare(type_name))
        print("  " + "  ".join(rows[-1]), flush=True)
    header = ["type", "tessera bytes", "llama bytes"]
    for text in arguments.texts:
        header += [f"{text_name(text)} KLD tessera", "llama-quantize", "ratio"]
    print()
    print_table(header, rows)
    print(f"\nThe token embedding of {', '.join(sorted(NOT_FOR_EMBEDDINGS))} files is {EMBEDDING_TYPE} on both sides.")


if __name__ == "__main__":
    main()
