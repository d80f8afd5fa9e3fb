#!/usr/bin/env python3
"""Compares `tessera quantize --encoder feedback` with llama-quantize's files of the same type, as llama.cpp measures it.

The model (a Hugging Face folder) is converted to F16. For every type both programs write a --pure file whose embeddings
and output stay F16, so that only the matrices of the layers differ. Both learn from the beginnings of the same texts:
Tessera from WINDOWS windows of 256 tokens, divided evenly among them; llama-quantize from llama-imatrix's matrix of as
many tokens of each, in windows of 512. `llama-perplexity --kl-divergence` gives mean KL divergence from the F16 model
and perplexity on the first CHUNKS windows of 512 tokens of each text. Ratios are Tessera's divergence over
llama-quantize's (below 1: Tessera is nearer to the original).

--ingredients adds a row for what is left when a part is left out: all of error feedback, the sweeps after its first
pass, and the correction for errors of earlier layers. --windows compares how much text both learn from; the texts that
judge are not those learnt from. With one --calibration text the table is that of calibration in one domain.

Results are kept in WORK/results.json under the hash of the quantized file, so a run can be stopped and continued, and
only files that changed are measured again. Without llama.cpp nothing is measured.

    bench/feedback_quality.py --types IQ2_XS Q2_K --ingredients
"""
import os

from peers import print_table, required_peers, run_measured
from workshop import DATA, DivergenceWorkshop, divergence_parser, text_name

TYPES = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "Q3_K", "Q4_K", "IQ4_XS"]
CONTEXT, LLAMA_CONTEXT = 256, 512

# What is left without a part, and at last with every part. Options of `tessera quantize`.
FEEDBACK = ["--encoder", "feedback"]
ALL_OPTIONS = "all"
VARIANTS = {"plain": [], "--sweeps 0": [*FEEDBACK, "--sweeps", 0], "--no-sequential": [*FEEDBACK, "--no-sequential"],
            ALL_OPTIONS: FEEDBACK}


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-feedback",
                               calibration=[f"{DATA}/books.calibration.txt", f"{DATA}/wiki.valid.txt"])
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--ingredients", action="store_true", help="further rows without each part of error feedback")
    parser.add_argument("--windows", nargs="+", type=int, default=[128], help="of 256 tokens, to learn from")
    arguments = parser.parse_args()
    least = LLAMA_CONTEXT // CONTEXT * len(arguments.calibration)
    if any(windows % least for windows in arguments.windows):
        parser.error(f"--windows: multiples of {least} divide evenly among the texts and into llama-imatrix's windows")
    return arguments


class FeedbackWorkshop(DivergenceWorkshop):
    """Both sides' files, one type at a time."""

    def llama(self, type_name, windows):
        a = self.arguments
        output = self.path("llama.gguf")
        chunks = windows * CONTEXT // LLAMA_CONTEXT // len(a.calibration)
        imatrix = self.joined_imatrix(self.peers, self.model, a.calibration, chunks, a.threads)
        run_measured(self.peers.quantize_command(type_name, self.model, output, a.threads, imatrix, [
            "--output-tensor-type", "F16", "--token-embedding-type", "F16"]))
        return output

    def tessera(self, type_name, windows, variant):
        a = self.arguments
        output = self.path("tessera.gguf")
        options = VARIANTS[variant]
        if options:
            options = [*options, "--feedback-samples", windows]
        run_measured([a.program, "quantize", self.model, "-o", output, "--type", type_name, "--pure",
                      "--output-tensor-type", "F16", "--token-embedding-type", "F16", *options,
                      *(option for text in a.calibration for option in ("-f", text)), "--ctx", CONTEXT,
                      "--samples", windows, "--quiet", "--threads", a.threads])
        return output

    def measured(self, path):
        """Bytes of a file, and its figures on every text."""
        return os.path.getsize(path), [self.figures(path, text) for text in self.texts]

    def compare(self, type_name, windows, variant, theirs):
        """A row of the table, and the ratios of divergence by text. `theirs` is what llama-quantize's file measures."""
        size, figures = self.measured(self.tessera(type_name, windows, variant))
        row = [type_name, str(windows), variant, str(size), str(theirs[0])]
        ratios = []
        for ours, llama in zip(figures, theirs[1]):
            ratios.append(ours["kld"] / llama["kld"])
            row += [f"{ours['kld']:.6f}", f"{llama['kld']:.6f}", f"{ratios[-1]:.3f}", f"{ours['ppl']:.3f}",
                    f"{llama['ppl']:.3f}", f"{ours['base ppl']:.3f}"]
        return row, ratios


def main():
    arguments = parse_arguments()
    workshop = FeedbackWorkshop(arguments, required_peers())
    variants = list(VARIANTS) if arguments.ingredients else [ALL_OPTIONS]
    ratios = {(windows, variant): [] for windows in arguments.windows for variant in variants}
    rows = []
    for type_name in arguments.types:
        for windows in arguments.windows:
            theirs = workshop.measured(workshop.llama(type_name, windows))
            for variant in variants:
                row, more = workshop.compare(type_name, windows, variant, theirs)
                rows.append(row)
                ratios[windows, variant] += more
                print("  " + "  ".join(row), flush=True)
    header = ["type", "windows", "tessera", "bytes", "llama-quantize"]
    for text in arguments.texts:
        header += [f"{text_name(text)} KLD tessera", "llama-quantize", "ratio", "PPL tessera", "llama-quantize", "F16"]
    print()
    print_table(header, rows)
    print()
    for (windows, variant), each in ratios.items():
        print(f"ratio of divergence, {windows} windows, {variant}: mean {sum(each) / len(each):.3f}, worst {max(each):.3f}")


if __name__ == "__main__":
    main()
