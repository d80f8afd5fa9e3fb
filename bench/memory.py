#!/usr/bin/env python3
"""Peak resident memory and time of `tessera quantize` at three model sizes, the largest 8 GB of F16.

Memory must stay bounded and time grow linearly. Models are generated and deleted; the disk needs room for 1.3 times the largest.

    bench/memory.py --program build/tessera --make-model build/bench/make_model --type Q4_K
"""
import argparse
import os
import tempfile

from peers import NEEDS_IMATRIX, print_machine, print_table, run_measured


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--make-model", default="build/bench/make_model")
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[2, 4, 8], help="sizes of the F16 model")
    parser.add_argument("--type", default="Q4_K")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default="/tmp", help="where the model and the output go")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    print_machine()
    rows = []
    for gigabytes in arguments.gigabytes:
        with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=arguments.folder) as folder:
            model, imatrix, output = (os.path.join(folder, name) for name in ("m.gguf", "i.gguf", "o.gguf"))
            run_measured([arguments.make_model, "-o", model, "--imatrix", imatrix, "--weights", gigabytes * 5e8])
            use_imatrix = ["--imatrix", imatrix] if arguments.type in NEEDS_IMATRIX else []
            usage = run_measured([arguments.program, "quantize", model, "-o", output, "--type", arguments.type,
                                  "--pure", "--quiet", "--threads", arguments.threads, *use_imatrix])
            size = os.path.getsize(model)
            rows.append([f"{size / 1e9:.2f}", f"{usage.peak_bytes / 1e6:.0f}", f"{usage.seconds:.1f}",
                         f"{usage.processor_seconds:.1f}", f"{usage.seconds / (size / 1e9):.2f}"])
    print(f"{arguments.type}, {arguments.threads} threads\n")
    print_table(["F16 GB", "peak resident MB", "seconds", "processor seconds", "seconds per GB"], rows)


if __name__ == "__main__":
    main()
