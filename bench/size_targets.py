#!/usr/bin/env python3
"""How exactly dynamic plans meet the size asked for: TARGETS bits per weight from LOW to HIGH, and files of those sizes.

For each target `tessera plan` is asked twice: for bits per weight of all tensors, and for a file of that many bits per
weight in bytes. The table shows what of the target was used; the run fails when a plan is above its target or below
99.5 % of it.

    bench/size_targets.py --model ../shared/models/small
"""
import json
import os
import sys

from peers import print_table, run_measured
from workshop import Workshop, comparison_parser


def parse_arguments():
    parser = comparison_parser(__doc__, "/tmp/tessera-targets")
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--low", type=float, default=1.8)
    parser.add_argument("--high", type=float, default=8.0)
    return parser.parse_args()


class TargetWorkshop(Workshop):
    def plan(self, arguments, model, *target):
        """The "plan" of the report."""
        report = self.path("plan.json")
        run_measured([arguments.program, "plan", model, "--profile", arguments.profile, "-f", arguments.calibration,
                      "--samples", 64, "--quiet", "-o", report, *target])
        with open(report) as file:
            return json.load(file)["plan"]


def main():
    arguments = parse_arguments()
    workshop = TargetWorkshop(arguments.work)
    model = workshop.f16_model(arguments.program, arguments.model)
    step = (arguments.high - arguments.low) / (arguments.targets - 1)
    rows, misses = [], 0
    for i in range(arguments.targets):
        bpw = arguments.low + i * step
        by_bits = workshop.plan(arguments, model, "--target-bpw", f"{bpw:.6f}")
        size = int(bpw * by_bits["weights"] / 8) + os.path.getsize(model) - by_bits["source_bytes"]
        by_size = workshop.plan(arguments, model, "--target-size", size)
        used = [by_bits["bits_per_weight"] / bpw, by_size["file_bytes"] / size]
        misses += sum(not 0.995 <= part <= 1.0000001 for part in used)
        rows.append([f"{bpw:.3f}", f"{by_bits['bits_per_weight']:.4f}", f"{100 * used[0]:.3f} %", str(size),
                     str(by_size["file_bytes"]), f"{100 * used[1]:.3f} %"])
    print_table(["target bpw", "bpw", "used", "target bytes", "file bytes", "used"], rows)
    if misses:
        sys.exit(f"{misses} targets missed")


if __name__ == "__main__":
    main()
