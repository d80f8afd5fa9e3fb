#!/usr/bin/env python3
"""What W8A8 costs with and without smoothing, in integer arithmetic: the tables in docs/smoothquant.md.

Of a model, and of a model with activation outliers that make_outlier_model makes of it, `tessera smoothquant` writes
W8A8 folders without smoothing, with alpha 0.5 and with alpha searched for; `tessera evaluate` runs them in integers and
gives perplexity and mean KL divergence from the original on the first CHUNKS windows of each text.

    bench/smoothquant_quality.py --tools build/bench --models ../shared/models/small
"""
import argparse
import json
import os
import shutil

from peers import print_table, run_measured
from workshop import DATA, Workshop, text_name

ALPHAS = {"naive": "none", "alpha 0.5": "0.5", "alpha auto": "auto"}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--tools", default="build/bench", help="folder with make_outlier_model")
    parser.add_argument("--models", nargs="+", default=["../shared/models/small", "../shared/models/tiny"])
    parser.add_argument("--factors", type=float, nargs="+", default=[200], help="how far outlier channels stand out")
    parser.add_argument("--calibration", nargs="+",
                        default=[f"{DATA}/wiki.valid.txt", f"{DATA}/books.calibration.txt"])
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--texts", nargs="+", default=[f"{DATA}/wiki.test.txt", f"{DATA}/books.test.txt"])
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--static-activations", action="store_true")
    parser.add_argument("--work", default="/tmp/tessera-smoothquant")
    return parser.parse_args()


def w8a8(arguments, workshop, model, alpha):
    output = workshop.path("w8a8")
    shutil.rmtree(output, ignore_errors=True)
    command = [arguments.program, "smoothquant", model, "-o", output, "--alpha", alpha, "--samples", arguments.samples,
               "--quiet"]
    for text in arguments.calibration:
        command += ["-f", text]
    if arguments.static_activations:
        command.append("--static-activations")
    run_measured(command)
    return output


def figures(arguments, workshop, original, model, text):
    report = workshop.path("evaluation.json")
    run_measured([arguments.program, "evaluate", original, model, "-f", text, "--samples", arguments.chunks, "--quiet",
                  "--report", report])
    with open(report) as file:
        evaluation = json.load(file)
    return evaluation["perplexity_original"], evaluation["perplexity_quantized"], evaluation["kl_divergence_mean"]


def judge(arguments, workshop, name, model):
    rows = []
    for label, alpha in ALPHAS.items():
        output = w8a8(arguments, workshop, model, alpha)
        row = [name, label]
        for text in arguments.texts:
            original, perplexity, divergence = figures(arguments, workshop, model, output, text)
            row += [f"{original:.3f}", f"{perplexity:.3f}", f"{100 * (perplexity / original - 1):+.3f} %",
                    f"{divergence:.6f}"]
        rows.append(row)
        print("  " + "  ".join(row), flush=True)
    return rows


def main():
    arguments = parse_arguments()
    workshop = Workshop(arguments.work)
    rows = []
    for model in arguments.models:
        name = os.path.basename(model)
        rows += judge(arguments, workshop, name, model)
        for factor in arguments.factors:
            outliers = workshop.path(f"{name}-outliers.gguf")
            run_measured([os.path.join(arguments.tools, "make_outlier_model"), model, "-o", outliers, "--factor", factor])
            rows += judge(arguments, workshop, f"{name}, outliers x {factor:g}", outliers)
    header = ["model", "W8A8"]
    for text in arguments.texts:
        header += [f"{text_name(text)}: original", "W8A8", "change", "KL divergence"]
    print()
    print_table(header, rows)


if __name__ == "__main__":
    main()
