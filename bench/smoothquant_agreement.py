#!/usr/bin/env python3
"""Holds W8A8 folders that `tessera smoothquant` writes against the peers.

Of every model, and of one with activation outliers that make_outlier_model makes of it, with dynamic and with static
activations:

  layout      names, dtypes and shapes of all tensors, and all keys and values of config.json's quantization_config, are
              those of the folder that compressed-tensors itself writes of the same model (tools/reference_w8a8.py)
  perplexity  that of `tessera evaluate`, in integers, is within 1 % of transformers' on the same folder
  scales      every smoothing scale is max|X|^alpha / max|W|^(1 - alpha) in float64, from the written ranges and from
              the model's own weights, within 1e-6 (tools/check_smoothing_scales.py)

Fails when one does not hold.

    bench/smoothquant_agreement.py --program build/tessera --tools build/bench
"""
import json
import os
import shutil
import sys

from peers import print_table, required_peers, run_for_output, run_measured
from w8a8_agreement import Agreement, CONTEXT, LIMIT_PERCENT, parse_arguments
from workshop import text_name


def layout(folder):
    """Tensors and quantization_config of a folder with one safetensors file."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)["quantization_config"]
    return {name: (entry["dtype"], entry["shape"]) for name, entry in header.items() if name != "__metadata__"}, config


class Smoothing(Agreement):
    def __init__(self, arguments, peers):
        super().__init__(arguments, peers)
        self.scale_check = self.path("check_smoothing_scales.py")
        shutil.copyfile(os.path.join(os.path.dirname(__file__), "../tools/check_smoothing_scales.py"), self.scale_check)

    def outliers(self, model):
        """A folder of the model with outliers, in F32."""
        os.makedirs(self.path("made"), exist_ok=True)
        folder = self.path(f"made/{os.path.basename(model)}-outliers")
        if not os.path.exists(folder):
            run_measured([os.path.join(self.arguments.tools, "make_outlier_model"), model, "-o", folder + ".gguf"])
            run_measured([self.arguments.program, "convert", folder + ".gguf", "-o", folder, "--quiet"])
        return folder

    def smoothed(self, model, activations):
        folder = self.path(f"{os.path.basename(model)}-smoothed-{activations}")
        shutil.rmtree(folder, ignore_errors=True)
        run_measured([self.arguments.program, "smoothquant", model, "-o", folder, "-f", self.arguments.calibration,
                      "--samples", 32, "--quiet", "--scales", folder + ".scales.json",
                      *(["--static-activations"] if activations == "static" else [])])
        return folder

    def check(self, model, activations, text):
        """Cells of the table, and what does not hold."""
        wrong = []
        reference, folder = self.quantized(model, activations), self.smoothed(model, activations)
        if layout(reference) != layout(folder):
            wrong.append("layout")
        worst = float(self.reference_scales(model, folder + ".scales.json"))
        if worst > 1e-6:
            wrong.append("scales")
        report = json.loads(run_for_output([
            self.arguments.program, "evaluate", model, folder, "-f", text, "--ctx", CONTEXT, "--samples",
            self.arguments.chunks, "--precision", self.arguments.precision, "--quiet", "--json"])[0])
        ours = report["perplexity_quantized"]
        theirs = float(self.reference("perplexity", folder, self.windows(model, text)))
        percent = 100 * (ours / theirs - 1)
        if abs(percent) > LIMIT_PERCENT:
            wrong.append("perplexity")
        cells = [f"{report['perplexity_original']:.4f}", f"{ours:.4f}", f"{theirs:.4f}", f"{percent:+.3f}", f"{worst:.1e}",
                 ", ".join(wrong) or "agree"]
        return cells, wrong

    def reference_scales(self, model, scales):
        source = self.path(os.path.basename(model))
        return run_for_output(self.peers.command("python3", self.scale_check, source, scales))[0]


def main():
    arguments = parse_arguments(__doc__)
    smoothing = Smoothing(arguments, required_peers())
    rows, failed = [], False
    for model in arguments.models:
        for source in (model, smoothing.outliers(model)):
            for activations in ("dynamic", "static"):
                name = f"{os.path.basename(source)} {activations}, {text_name(arguments.texts[0])}"
                cells, wrong = smoothing.check(source, activations, arguments.texts[0])
                rows.append([name, *cells])
                failed = failed or bool(wrong)
                print("  " + "  ".join(rows[-1]), flush=True)
    print_table(["model, text", "original", "tessera W8A8", "transformers W8A8", "difference in %", "worst scale", ""], rows)
    if failed:
        sys.exit("not all agree")


if __name__ == "__main__":
    main()
