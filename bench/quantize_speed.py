#!/usr/bin/env python3
"""Compares `tessera quantize --pure` with `llama-quantize --pure`, whole process, on generated F16 models.

For every type the two programs, `cp` and a durable copy (`cp` and `sync` of the copy: Tessera's files are durable when
it ends, those of `cp` alone are not) run in turn, REPEAT times, on the same file in the page cache; each starts without
an output. The table gives medians of the wall clock, and the ratio of processor time, which other load on the machine
disturbs less. Without llama.cpp its columns are empty. Outputs are thrown away.

In a folder in memory (/dev/shm) nothing waits for a disk, so that a plain copy does what Tessera does there: read all
bytes and leave the result where a reader finds it. A llama.cpp in a root of its own does not see that folder.

    bench/quantize_speed.py --program build/tessera --make-model build/bench/make_model --weights 25e6 200e6
    bench/quantize_speed.py --types Q8_0 Q4_0 TQ1_0 TQ2_0 --folder /dev/shm --without-llama --repeat 21
"""
import argparse
import os
import tempfile

from peers import ALL_TYPES, NEEDS_IMATRIX, Peers, measure_in_turn, print_machine, print_table, run_measured


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--make-model", default="build/bench/make_model")
    parser.add_argument("--weights", type=float, nargs="+", default=[25e6, 200e6])
    parser.add_argument("--types", nargs="+", default=ALL_TYPES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--imatrix", choices=["required", "all"], default="required",
                        help="give the importance matrix only to types that need one, or to all")
    parser.add_argument("--folder", default="/tmp", help="where the model and the outputs go")
    parser.add_argument("--without-llama", action="store_true", help="measure Tessera and the copies only")
    return parser.parse_args()


def commands_for(type_name, arguments, peers, model, imatrix, output):
    use_imatrix = arguments.imatrix == "all" or type_name in NEEDS_IMATRIX
    commands = {"tessera": [arguments.program, "quantize", model, "-o", output, "--type", type_name, "--pure",
                            "--quiet", "--threads", arguments.threads,
                            *(["--imatrix", imatrix] if use_imatrix else [])]}
    if peers:
        commands["llama"] = peers.quantize_command(type_name, model, output, arguments.threads,
                                                   imatrix if use_imatrix else None)
    commands["cp"] = ["cp", model, output]
    commands["durable"] = ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", model, output]
    return commands


def compare_at(weights, arguments, peers, folder):
    model, imatrix, output = (os.path.join(folder, name) for name in ("model.gguf", "imatrix.gguf", "output.gguf"))
    run_measured([arguments.make_model, "-o", model, "--imatrix", imatrix, "--weights", weights])
    run_measured(["cat", model])  # into the page cache
    size = os.path.getsize(model)
    print(f"\n{weights / 1e6:.0f} M weights, {size / 1e6:.0f} MB in F16, {arguments.threads} threads, "
          f"median of {arguments.repeat}, importance matrix: {arguments.imatrix}\n", flush=True)
    rows = []
    for type_name in arguments.types:
        used = measure_in_turn(commands_for(type_name, arguments, peers, model, imatrix, output), arguments.repeat,
                               fresh=output)
        ours, llama = used["tessera"], used.get("llama")
        rows.append([type_name, f"{ours.seconds:.3f}", f"{llama.seconds:.3f}" if llama else "",
                     f"{llama.seconds / ours.seconds:.2f}" if llama else "",
                     f"{llama.processor_seconds / ours.processor_seconds:.2f}" if llama else "",
                     *(f"{value:.3f}" for copy in (used["cp"], used["durable"])
                       for value in (copy.seconds, ours.seconds / copy.seconds))])
        print("  " + "  ".join(rows[-1]), flush=True)
    print()
    print_table(["type", "tessera s", "llama-quantize s", "times faster", "less processor time", "cp s", "times cp",
                 "durable copy s", "times durable copy"], rows)


def main():
    arguments = parse_arguments()
    peers = None if arguments.without_llama else Peers()
    if not peers and not arguments.without_llama:
        print("llama-quantize was not found: its columns stay empty (put llama.cpp's tools in PATH)")
    print_machine()
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=arguments.folder) as folder:
        for weights in arguments.weights:
            compare_at(weights, arguments, peers, folder)


if __name__ == "__main__":
    main()
