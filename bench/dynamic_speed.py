#!/usr/bin/env python3
"""Times a whole dynamic quantization beside llama-imatrix followed by llama-quantize, on a generated F16 model.

Tessera computes importance (WINDOWS windows of 512 tokens), sensitivities (a backward walk over at most 32 of them) and
the allocation, and encodes to the size of llama-quantize's file; nothing comes from its cache. llama-imatrix sees the
same windows. The generated model gets the vocabulary of MODEL. The programs run in turn, REPEAT times; the table gives medians, and the ratio of the two sums.

    bench/dynamic_speed.py --weights 200e6
"""
import os
import statistics

from peers import print_table, required_peers, run_measured
from workshop import Workshop, comparison_parser


def parse_arguments():
    parser = comparison_parser(__doc__, "/tmp/tessera-dynamic-speed")
    parser.add_argument("--make-model", default="build/bench/make_model")
    parser.add_argument("--weights", type=float, default=200e6)
    parser.add_argument("--mixture", default="Q2_K")
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=1)
    return parser.parse_args()


class SpeedWorkshop(Workshop):
    def __init__(self, arguments, peers):
        super().__init__(arguments.work)
        self.arguments, self.peers = arguments, peers
        tokenizer = self.f16_model(arguments.program, arguments.model)
        model = self.path(f"{arguments.weights:.0f}.gguf")
        self.model = self.make_once(model, [arguments.make_model, "-o", model, "--tokenizer", tokenizer, "--weights",
                                            arguments.weights])
        self.text = self.copied_text(arguments.calibration)

    def run_llama(self):
        """{step: seconds}"""
        a, matrix, output = self.arguments, self.path("llama.imatrix.gguf"), self.path("llama.gguf")
        return {
            "llama-imatrix": run_measured(self.peers.command(
                "llama-imatrix", "-m", self.model, "-f", self.text, "--process-output", "--no-ppl", "--chunks", a.windows,
                "-c", 512, "-t", a.threads, "-o", matrix)).seconds,
            "llama-quantize": run_measured(self.peers.command(
                "llama-quantize", "--imatrix", matrix, self.model, output, a.mixture, a.threads)).seconds}

    def run_tessera(self):
        a, output = self.arguments, self.path("tessera.gguf")
        size = os.path.getsize(self.path("llama.gguf"))
        return {"tessera --dynamic": run_measured([
            a.program, "quantize", self.model, "-o", output, "--target-size", size, "-f", self.text, "--samples", a.windows,
            "--no-cache", "--quiet", "--threads", a.threads]).seconds}


def main():
    arguments = parse_arguments()
    workshop = SpeedWorkshop(arguments, required_peers())
    runs = [{**workshop.run_llama(), **workshop.run_tessera()} for _ in range(arguments.repeat)]
    medians = {step: statistics.median(run[step] for run in runs) for step in runs[0]}
    print_table(["step", "seconds"], [[step, f"{seconds:.1f}"] for step, seconds in medians.items()])
    theirs = medians["llama-imatrix"] + medians["llama-quantize"]
    print(f"\n{theirs / medians['tessera --dynamic']:.2f} times faster")


if __name__ == "__main__":
    main()
