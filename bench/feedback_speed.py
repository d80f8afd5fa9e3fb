#!/usr/bin/env python3
"""Times `tessera quantize --encoder feedback` beside the plain run of the same windows, on generated F16 models.

The plain run computes importance from WINDOWS windows of 512 tokens and encodes; the feedback run walks the same
windows. Nothing comes from the cache. The generated models get the vocabulary of MODEL. With --hidden the models have
that many hidden dimensions (the feed-forward has three times as many) in LAYERS layers instead: how time and memory grow
with the width.

    bench/feedback_speed.py --types Q2_K IQ2_XS
    bench/feedback_speed.py --types IQ2_XS --hidden 1024 2048 4096 --layers 1 --windows 16
"""
import json
import statistics

from peers import print_table, run_measured
from workshop import DATA, Workshop, comparison_parser


def parse_arguments():
    parser = comparison_parser(__doc__, "/tmp/tessera-feedback-speed",
                               calibration=[f"{DATA}/books.calibration.txt", f"{DATA}/wiki.valid.txt"])
    parser.add_argument("--make-model", default="build/bench/make_model")
    parser.add_argument("--types", nargs="+", default=["Q2_K", "IQ2_XS"])
    parser.add_argument("--weights", type=float, default=200e6)
    parser.add_argument("--hidden", type=int, nargs="+", default=[0], help="0: as --weights makes it")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=1)
    return parser.parse_args()


class SpeedWorkshop(Workshop):
    def __init__(self, arguments):
        super().__init__(arguments.work)
        self.arguments = arguments
        self.tokenizer = self.f16_model(arguments.program, arguments.model)

    def generated(self, hidden):
        a = self.arguments
        shape = ["--hidden", hidden, "--layers", a.layers] if hidden else ["--weights", a.weights]
        model = self.path("-".join(str(part).strip("-") for part in shape) + ".gguf")
        return self.make_once(model, [a.make_model, "-o", model, "--tokenizer", self.tokenizer, *shape])

    def run(self, model, type_name, encoder):
        """Usage, and seconds by step."""
        a = self.arguments
        report = self.path("report.json")
        usage = run_measured([
            "sh", "-c", 'exec "$@" > "$0"', report, a.program, "quantize", model, "-o", self.path("out.gguf"), "--type", type_name, *encoder,
            *(option for text in a.calibration for option in ("-f", text)), "--samples", a.windows, "--no-cache",
            "--json", "--quiet", "--threads", a.threads])
        with open(report, encoding="utf-8") as file:
            return usage, {step["step"]: step["seconds"] for step in json.load(file)["wall_seconds"]}


def median_run(runs):
    seconds = statistics.median_low(usage.seconds for usage, _ in runs)
    return next(run for run in runs if run[0].seconds == seconds)


def main():
    arguments = parse_arguments()
    workshop = SpeedWorkshop(arguments)
    rows, parts = [], []
    for hidden in arguments.hidden:
        model = workshop.generated(hidden)
        for type_name in arguments.types:
            plain, feedback = [], []
            for _ in range(arguments.repeat):
                plain.append(workshop.run(model, type_name, []))
                feedback.append(workshop.run(model, type_name, [
                    "--encoder", "feedback", "--feedback-samples", arguments.windows]))
            (ours, steps), (theirs, _) = median_run(feedback), median_run(plain)
            name = [str(hidden or f"{arguments.weights:.0f} weights"), type_name]
            rows.append([*name, f"{theirs.seconds:.1f}", f"{ours.seconds:.1f}", f"{ours.seconds / theirs.seconds:.2f}",
                         f"{theirs.peak_bytes / 1e6:.0f}", f"{ours.peak_bytes / 1e6:.0f}"])
            parts += [[*name, step, f"{seconds:.1f}"] for step, seconds in steps.items()]
    print_table(["model", "type", "plain s", "feedback s", "times", "plain MB", "feedback MB"], rows)
    print()
    print_table(["model", "type", "step of the feedback run", "seconds"], parts)


if __name__ == "__main__":
    main()
