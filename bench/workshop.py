"""A folder in which a comparison keeps what it has made, so that it can be stopped and continued."""
import hashlib
import os

from peers import run_measured

# No token embedding has an entry in llama-imatrix's files, and llama-quantize ends with an assertion when it encodes
# a type that needs importance without it: the embedding gets this type then.
EMBEDDING_TYPE_WITHOUT_IMPORTANCE = "Q4_0"


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
