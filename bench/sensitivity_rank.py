#!/usr/bin/env python3
"""How well predicted losses rank plans: Spearman's correlation of prediction and measurement over random plans.

PLANS random plans of one size (BPW bits per weight within half a percent: where size says nothing, only the prediction
can rank) and as many of any size are drawn with a fixed seed: every matrix gets a random type around a random level,
and in the first group random matrices are then moved up or down until the size is met. Each plan is encoded with
`tessera quantize --plan`, and `llama-perplexity --kl-divergence` measures its mean KL divergence from the F16 model.
The prediction is the sum over the matrices of the losses that `tessera plan` reports, by each of the three methods.
The last column is the prediction over the measurement, geometric mean.

    bench/sensitivity_rank.py --model ../shared/models/small --plans 40
"""
import json
import math
import random

from peers import print_table, required_peers, run_measured
from workshop import DATA, DivergenceWorkshop, divergence_parser, text_name

METHODS = ["fisher", "measured", "prior"]


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-rank")
    parser.set_defaults(texts=[f"{DATA}/wiki.test.txt"])
    parser.add_argument("--plans", type=int, default=40, help="in each of the two groups")
    parser.add_argument("--bpw", type=float, default=3.0)
    return parser.parse_args()


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    for rank, index in enumerate(order):
        result[index] = rank
    return result


def spearman(left, right):
    left, right = ranks(left), ranks(right)
    mean = (len(left) - 1) / 2
    covariance = sum((a - mean) * (b - mean) for a, b in zip(left, right))
    return covariance / sum((a - mean) ** 2 for a in left)


class RankWorkshop(DivergenceWorkshop):
    def losses(self, method):
        """{tensor: {type: loss}} and {tensor: (weights, bytes as they are)} by this method."""
        a = self.arguments
        report = self.path(f"{method}.json")
        run_measured([a.program, "plan", self.model, "--target-bpw", 6, "--sensitivity", method, "-f", a.calibration,
                      "--samples", 64, "--imatrix", self.imatrix, "--quiet", "--threads", a.threads, "-o", report])
        with open(report) as file:
            run = json.load(file)
        self.tensors = {tensor["name"]: tensor["weights"] for tensor in run["plan"]["tensors"]}
        self.bits = {candidate["type"]: candidate["bits_per_weight"]
                     for tensor in run["sensitivity"]["tensors"] for candidate in tensor["candidates"]}
        return {tensor["name"]: {candidate["type"]: candidate["loss"] for candidate in tensor["candidates"]}
                for tensor in run["sensitivity"]["tensors"]}

    def measured(self, plan):
        """The mean divergence over the texts."""
        a = self.arguments
        path = self.path("plan.yaml")
        with open(path, "w") as file:
            file.write("tensors:\n" + "".join(f"  {name}: {kind}\n" for name, kind in plan.items()))
        output = self.path("random.gguf")
        run_measured([a.program, "quantize", self.model, "-o", output, "--plan", path, "-f", a.calibration, "--samples",
                      64, "--imatrix", self.imatrix, "--quiet", "--threads", a.threads])
        return sum(self.figures(output, text)["kld"] for text in a.texts) / len(a.texts)

    def bpw(self, plan):
        weights = {name: self.tensors[name] for name in plan}
        return sum(weights[name] * self.bits[kind] for name, kind in plan.items()) / sum(weights.values())


def random_plan(losses, bits, generator):
    """Types around a random level, at most three steps off."""
    plan = {}
    level = generator.random()
    for name, candidates in losses.items():
        kinds = sorted(candidates, key=bits.__getitem__)
        center = round(level * (len(kinds) - 1)) + generator.randint(-3, 3)
        plan[name] = kinds[min(max(center, 0), len(kinds) - 1)]
    return plan


def moved_to_size(plan, losses, workshop, target, generator):
    """Moves random matrices by one type until the plan has `target` bits per weight within half a percent."""
    plan = dict(plan)
    while abs(workshop.bpw(plan) / target - 1) > 0.005:
        name = generator.choice(list(plan))
        kinds = sorted(losses[name], key=workshop.bits.__getitem__)
        step = 1 if workshop.bpw(plan) < target else -1
        plan[name] = kinds[min(max(kinds.index(plan[name]) + step, 0), len(kinds) - 1)]
    return plan


def main():
    arguments = parse_arguments()
    workshop = RankWorkshop(arguments, required_peers())
    losses = {method: workshop.losses(method) for method in METHODS}
    generator = random.Random(1)
    drawn = [random_plan(losses["fisher"], workshop.bits, generator) for _ in range(2 * arguments.plans)]
    groups = {f"{arguments.bpw} bpw": [moved_to_size(plan, losses["fisher"], workshop, arguments.bpw, generator)
                                       for plan in drawn[:arguments.plans]],
              "any size": drawn[arguments.plans:]}
    rows = []
    for group, plans in groups.items():
        measured = [workshop.measured(plan) for plan in plans]
        print(f"{group}: measured divergence {min(measured):.5f} to {max(measured):.5f}", flush=True)
        rows.append([group, "size alone", f"{spearman([-workshop.bpw(plan) for plan in plans], measured):.3f}", ""])
        for method in METHODS:
            predicted = [sum(losses[method][name][kind] for name, kind in plan.items()) for plan in plans]
            ratio = sum(math.log(p / m) for p, m in zip(predicted, measured)) / len(plans)
            rows.append([group, method, f"{spearman(predicted, measured):.3f}", f"{math.exp(ratio):.2f}"])
    print()
    print_table([f"{arguments.plans} plans on {', '.join(map(text_name, arguments.texts))}", "method", "rank correlation",
                 "predicted / measured"], rows)


if __name__ == "__main__":
    main()
