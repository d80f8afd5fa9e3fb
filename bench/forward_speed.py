#!/usr/bin/env python3
"""Compares `tessera imatrix` with llama-imatrix, and `tessera evaluate` of one F16 model with llama-perplexity.

Whole processes, in turn, REPEAT times, on the same windows of 512 tokens and the same files in the page cache: a trained
model (a Hugging Face folder) and a generated one of as many weights as asked, with the same vocabulary. The table gives
medians of the wall clock and of processor time, and their ratios. --onednn-max-isa lowers what Tessera's matrix products
may use (for example AVX512_CORE) and leaves llama.cpp as it is. Without llama.cpp its columns are empty.

    bench/forward_speed.py --program build/tessera --make-model build/bench/make_model
"""
import argparse
import os

from peers import Peers, measure_in_turn, print_machine, print_table, run_measured
from workshop import Workshop

DATA = "../shared/data"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--make-model", default="build/bench/make_model")
    parser.add_argument("--model", default="../shared/models/small")
    parser.add_argument("--weights", type=float, nargs="*", default=[200e6], help="sizes of generated models")
    parser.add_argument("--tasks", nargs="+", choices=["imatrix", "evaluate"], default=["imatrix", "evaluate"])
    parser.add_argument("--calibration", default=f"{DATA}/books.calibration.txt")
    parser.add_argument("--text", default=f"{DATA}/wiki.test.txt")
    parser.add_argument("--chunks", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--precision", default="auto", choices=["auto", "f32", "bf16"])
    parser.add_argument("--onednn-max-isa", help="ONEDNN_MAX_CPU_ISA of Tessera's runs")
    parser.add_argument("--work", default="/tmp/tessera-forward", help="below /tmp, or wherever llama.cpp can read")
    return parser.parse_args()


def commands_for(task, model, arguments, peers, workshop):
    a = arguments
    text = workshop.copied_text(a.calibration if task == "imatrix" else a.text)
    ours = [a.program, task, model, "-f", text, "--ctx", 512, "--samples", a.chunks, "--precision", a.precision,
            "--threads", a.threads, "--quiet"]
    theirs = ["-m", model, "-f", text, "-c", 512, "--chunks", a.chunks, "-t", a.threads]
    if task == "imatrix":
        ours += ["-o", workshop.path("ours.gguf"), "--no-cache"]
        theirs = ["llama-imatrix", *theirs, "--no-ppl", "-o", workshop.path("theirs.gguf")]
    else:
        theirs = ["llama-perplexity", *theirs]
    return {"tessera": ours, **({"llama": peers.command(*theirs)} if peers else {})}


def row_for(name, ours, llama):
    row = [name, f"{ours.seconds:.2f}", f"{ours.processor_seconds:.2f}", f"{ours.peak_bytes / 1e6:.0f}"]
    if llama is None:
        return [*row, "", "", "", ""]
    return [*row, f"{llama.seconds:.2f}", f"{llama.processor_seconds:.2f}", f"{llama.seconds / ours.seconds:.2f}",
            f"{llama.processor_seconds / ours.processor_seconds:.2f}"]


def main():
    arguments = parse_arguments()
    peers = Peers()
    if not peers:
        print("llama.cpp was not found: its columns stay empty (put its tools in PATH, or set PEERS_ROOT)")
    print_machine()
    workshop = Workshop(arguments.work)
    models = [workshop.f16_model(arguments.program, arguments.model)]
    for weights in arguments.weights:
        path = workshop.path(f"generated-{weights / 1e6:.0f}M.gguf")
        models.append(workshop.make_once(path, [arguments.make_model, "-o", path, "--weights", weights,
                                                "--tokenizer", models[0]]))
    isa = {"ONEDNN_MAX_CPU_ISA": arguments.onednn_max_isa} if arguments.onednn_max_isa else {}
    rows = []
    for model in models:
        run_measured(["cat", model])  # into the page cache
        for task in arguments.tasks:
            used = measure_in_turn(commands_for(task, model, arguments, peers, workshop), arguments.repeat,
                                   {"tessera": isa})
            rows.append(row_for(f"{task} {os.path.basename(model)}", used["tessera"], used.get("llama")))
            print("  " + "  ".join(rows[-1]), flush=True)
    print(f"\n{arguments.chunks} windows of 512 tokens, {arguments.threads} threads, median of {arguments.repeat}, "
          f"precision {arguments.precision}, ONEDNN_MAX_CPU_ISA {arguments.onednn_max_isa or 'not set'}\n")
    print_table(["task, model", "tessera s", "processor s", "peak MB", "llama.cpp s", "processor s", "times faster",
                 "less processor time"], rows)


if __name__ == "__main__":
    main()
