"""A folder in which a comparison keeps what it has made, so that it can be stopped and continued."""
import argparse
import hashlib
import json
import os
import re

from peers import printed, run_measured

# No token embedding has an entry in llama-imatrix's files, and llama-quantize ends with an assertion when it encodes
# a type that needs importance without it: the embedding gets this type then.
EMBEDDING_TYPE_WITHOUT_IMPORTANCE = "Q4_0"


# What llama-perplexity --kl-divergence prints at its end.
FIGURES = {"kld": r"Mean\s+KLD:\s+(\S+)", "ppl": r"Mean PPL\(Q\)\s+:\s+(\S+)",
           "base ppl": r"Mean PPL\(base\)\s+:\s+(\S+)"}

DATA = "../shared/data"


def comparison_parser(description, work, calibration=f"{DATA}/books.calibration.txt"):
    """The options of every comparison on a model; `work` is the default folder of its workshop, `calibration` the default
    text, or a list where several are taken."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--model", default="../shared/models/small")
    parser.add_argument("--calibration", default=calibration, nargs="+" if isinstance(calibration, list) else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", default=work, help="below /tmp, or wherever llama.cpp can read")
    return parser


def divergence_parser(description, work, **options):
    """The same for comparisons by divergence, on the first windows of some texts."""
    parser = comparison_parser(description, work, **options)
    parser.add_argument("--texts", nargs="+", default=[f"{DATA}/wiki.test.txt", f"{DATA}/books.test.txt"])
    parser.add_argument("--chunks", type=int, default=20)
    return parser


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_name(path):
    return os.path.basename(path).removesuffix(".txt")


class Workshop:
    """The folder, and how its files are made. It lies below /tmp, or wherever llama.cpp can read."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_once(self, path, command):
        """Runs `command`, which writes `path`, under another name until it is whole; unless it exists already."""
        if not os.path.exists(path):
            base, extension = os.path.splitext(path)
            partial = f"{base}.making{extension}"  # programs tell the form of a file from its extension
            run_measured([partial if part == path else part for part in command])
            os.rename(partial, path)
        return path

    def copied_text(self, text):
        copy = self.path(os.path.basename(text))
        return self.make_once(copy, ["cp", text, copy])

    def f16_model(self, program, model):
        """The F16 file of a Hugging Face folder; a GGUF file is taken as it is."""
        if os.path.isfile(model):
            return model
        output = self.path(os.path.basename(os.path.normpath(model)) + "-f16.gguf")
        return self.make_once(output, [program, "convert", model, "-o", output, "--type", "f16", "--quiet"])

    def llama_imatrix(self, peers, model, text, chunks, threads):
        """llama-imatrix's file of the first windows of 512 tokens of `text`."""
        output = self.path(f"{os.path.basename(model)}.{text_name(text)}.{chunks}.imatrix.gguf")
        return self.make_once(output, peers.command(
            "llama-imatrix", "-m", model, "-f", self.copied_text(text), "--process-output", "--no-ppl",
            "--chunks", chunks, "-c", 512, "-t", threads, "-o", output))

    def joined_imatrix(self, peers, model, texts, chunks, threads):
        """llama-imatrix's file of the first `chunks` windows of 512 tokens of each text."""
        parts = [self.llama_imatrix(peers, model, text, chunks, threads) for text in texts]
        if len(parts) == 1:
            return parts[0]
        names = "+".join(text_name(text) for text in texts)
        output = self.path(f"{os.path.basename(model)}.{names}.{chunks}.imatrix.gguf")
        files = [option for part in parts for option in ("--in-file", part)]
        return self.make_once(output, peers.command("llama-imatrix", "-m", model, *files, "-o", output))


class DivergenceWorkshop(Workshop):
    """Measures with llama-perplexity how far quantized files are from an F16 model on the first CHUNKS windows of 512
    tokens of some texts. Results are kept under the hash of the file, so that only files that changed are measured
    again."""

    def __init__(self, arguments, peers):
        """`arguments` of divergence_parser. Makes the F16 file, llama-imatrix's matrix of 64 windows where there is one
        calibration text, and the file's logits on all texts."""
        super().__init__(arguments.work)
        self.arguments = arguments
        self.peers = peers
        self.texts = arguments.texts
        self.results_path = self.path("results.json")
        self.results = {}
        if os.path.exists(self.results_path):
            with open(self.results_path) as file:
                self.results = json.load(file)

        self.model = self.f16_model(arguments.program, arguments.model)
        if isinstance(arguments.calibration, str):
            self.imatrix = self.llama_imatrix(peers, self.model, arguments.calibration, 64, arguments.threads)
        for text in self.texts:
            self.make_once(self.base_logits(text), peers.command(
                "llama-perplexity", "-m", self.model, "-f", self.copied_text(text), "-c", 512, "--chunks",
                arguments.chunks, "-t", arguments.threads, "--save-all-logits", self.base_logits(text)))

    def base_logits(self, text):
        return self.path(f"{os.path.basename(self.model)}.{text_name(text)}.{self.arguments.chunks}.logits")

    def figures(self, path, text, sidecar=None):
        """{"kld", "ppl", "base ppl"} of the file, with its sidecar if it has one, on `text`, measured or remembered."""
        hashes = " ".join(sha256(file) for file in (path, sidecar) if file)
        key = f"{hashes} {text_name(text)} {self.arguments.chunks} figures"
        if key not in self.results:
            command = self.peers.command(
                "llama-perplexity", "-m", path, *(["--lora", sidecar] if sidecar else []), "-t", self.arguments.threads, "-c", 512,
                "--chunks", self.arguments.chunks, "--kl-divergence", "--kl-divergence-base", self.base_logits(text))
            output = printed(command, r"Mean\s+KLD:\s+\S+")
            self.results[key] = {name: float(re.search(pattern, output)[1]) for name, pattern in FIGURES.items()}
            with open(self.results_path + ".making", "w") as file:
                json.dump(self.results, file, indent=1)
            os.rename(self.results_path + ".making", self.results_path)
        return self.results[key]
