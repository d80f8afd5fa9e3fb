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
import os

from peers import ALL_TYPES, print_table, required_peers, run_measured
from workshop import EMBEDDING_TYPE_WITHOUT_IMPORTANCE, DivergenceWorkshop, divergence_parser, text_name

# llama-quantize --pure ends with an assertion of ggml when it encodes one of these without importance, and
# llama-imatrix has none for the token embedding; of the other types the embedding is compared as well.
NOT_FOR_EMBEDDINGS = {"IQ1_S", "IQ2_XXS", "IQ2_XS"}


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-quality")
    parser.add_argument("--types", nargs="+", default=ALL_TYPES)
    return parser.parse_args()


class QualityWorkshop(DivergenceWorkshop):
    """Both sides' files, one type at a time."""

    def quantize(self, side, type_name):
        """Writes the file of one side and returns its path."""
        a = self.arguments
        output = self.path(f"{side}.gguf")
        embedding = []
        if type_name in NOT_FOR_EMBEDDINGS:
            embedding = ["--token-embedding-type", EMBEDDING_TYPE_WITHOUT_IMPORTANCE]
        if side == "llama":
            command = self.peers.quantize_command(type_name, self.model, output, a.threads, self.imatrix, embedding)
        else:
            command = [a.program, "quantize", self.model, "-o", output, "--type", type_name, "--pure", "--quiet",
                       "--threads", a.threads, "--imatrix", self.imatrix, *embedding]
        run_measured(command)
        return output

    def compare(self, type_name):
        """A row of the table: type, bytes of both files, then both divergences and their ratio for every text."""
        files = {side: self.quantize(side, type_name) for side in ("tessera", "llama")}
        row = [type_name, *(str(os.path.getsize(path)) for path in files.values())]
        for text in self.arguments.texts:
            ours, theirs = (self.figures(files[side], text)["kld"] for side in ("tessera", "llama"))
            row += [f"{ours:.6f}", f"{theirs:.6f}", f"{ours / theirs:.3f}"]
        return row


def main():
    arguments = parse_arguments()
    workshop = QualityWorkshop(arguments, required_peers())
    rows = []
    for type_name in arguments.types:
        rows.append(workshop.compare(type_name))
        print("  " + "  ".join(rows[-1]), flush=True)
    header = ["type", "tessera bytes", "llama bytes"]
    for text in arguments.texts:
        header += [f"{text_name(text)} KLD tessera", "llama-quantize", "ratio"]
    print()
    print_table(header, rows)


if __name__ == "__main__":
    main()
