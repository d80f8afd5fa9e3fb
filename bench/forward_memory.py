#!/usr/bin/env python3
"""Peak resident memory and time of `tessera imatrix` on generated F16 models, the largest of 8 GB.

Memory must stay below LIMIT however large the model is, and time must grow linearly: first with the number of layers
(all windows, models of the given numbers of layers, one after the other on disk), then with the number of windows (the
smallest model). Fails when memory is above the limit. The disk needs room for the largest model.

    bench/forward_memory.py --program build/tessera --make-model build/bench/make_model --tokenizer /tmp/small-f16.gguf
"""
import argparse
import os
import sys
import tempfile

from peers import print_machine, print_table, run_measured


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--make-model", default="build/bench/make_model")
    parser.add_argument("--tokenizer", help="GGUF file whose vocabulary the models get; without it one is made up")
    parser.add_argument("--text", default="../shared/data/books.calibration.txt")
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--layers", type=int, nargs="+", default=[5, 10, 21], help="21 of the default width: 8 GB")
    parser.add_argument("--windows", type=int, nargs="+", default=[16, 32, 64], help="of 512 tokens")
    parser.add_argument("--limit", type=float, default=1.5, help="GB resident")
    parser.add_argument("--memory", help="passed to tessera: how much hidden states may take before they are spilled")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default="/tmp", help="where the models go")
    return parser.parse_args()


def measure(arguments, model, layers, windows, output):
    """A row of the table, and the peak in bytes."""
    spill = ["--memory", arguments.memory] if arguments.memory else []
    usage = run_measured([arguments.program, "imatrix", model, "-f", arguments.text, "-o", output, "--ctx", 512,
                          "--samples", windows, "--threads", arguments.threads, "--no-cache", "--quiet", *spill])
    row = [f"{os.path.getsize(model) / 1e9:.2f}", str(layers), str(windows), f"{usage.peak_bytes / 1e6:.0f}",
           f"{usage.seconds:.1f}", f"{usage.processor_seconds:.1f}",
           f"{1000 * usage.seconds / (layers * windows):.1f}"]
    print("  " + "  ".join(row), flush=True)
    return row, usage.peak_bytes


def main():
    arguments = parse_arguments()
    print_machine()
    rows, peaks = [], []
    for layers in arguments.layers:
        with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=arguments.folder) as folder:
            model, output = os.path.join(folder, "model.gguf"), os.path.join(folder, "imatrix.gguf")
            donor = ["--tokenizer", arguments.tokenizer] if arguments.tokenizer else []
            run_measured([arguments.make_model, "-o", model, "--hidden", arguments.hidden, "--layers", layers, *donor])
            all_windows = layers == min(arguments.layers)
            for windows in arguments.windows if all_windows else [max(arguments.windows)]:
                row, peak = measure(arguments, model, layers, windows, output)
                rows.append(row)
                peaks.append(peak)
    print(f"\n{arguments.threads} threads, hidden size {arguments.hidden}\n")
    print_table(["F16 GB", "layers", "windows", "peak resident MB", "seconds", "processor seconds",
                 "ms per layer and window"], rows)
    if max(peaks) > arguments.limit * 1e9:
        sys.exit(f"above the limit of {arguments.limit} GB resident")


if __name__ == "__main__":
    main()
