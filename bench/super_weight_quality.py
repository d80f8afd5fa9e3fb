#!/usr/bin/env python3
"""Compares the ways to protect super weights at the same total bytes, as llama.cpp measures it.

For every type the model (an F16 GGUF file, or a folder) is quantized with --type TYPE --pure; the size of that file is
the target of all others, sidecars counted (promoted tensors may not fit into it):

    plain, TYPE          the file itself, without protection
    block, TYPE          --protect-super-weights=block, the same type: what it adds is metadata
    dynamic              --dynamic --target-size of the plain file, without protection
    dynamic, METHOD      the same with --protect-super-weights=METHOD, for every method
    exact                --dynamic as above, with the exact super weights put back for nothing: the sidecar of a rank
                         without limits, whose bytes do not count. What the super weights cost is dynamic - exact

`llama-perplexity --kl-divergence` gives the mean KL divergence from the model on the first CHUNKS windows of 512 tokens of
each text, of a file with its sidecar as --lora. "closed" is the share of what the super weights cost that the method
regains: (dynamic - method) / (dynamic - exact). Importance and sensitivities come from the same text for all.

A few bytes more or less change an allocation, and with it the divergence of a badly damaged model, for no reason that
concerns super weights. So all is done for each number of calibration windows of --samples, and the table has means over
these; "ratio" is the geometric mean of the divergence over that of the file without protection, with the least and the
largest.

--list names a list of super weights; without one the run finds them, with --options for how. Without llama.cpp nothing
is measured.

    bench/super_weight_quality.py --model ../shared/models/small
    bench/super_weight_quality.py --model /tmp/planted-F16.gguf --list /tmp/planted/super-weights.json \
        --embedding F16 --samples 24 32 48 64
"""
import json
import os
import shlex
import statistics

from peers import print_table, required_peers, run_measured
from workshop import DivergenceWorkshop, divergence_parser

TYPES = ["IQ2_XXS", "Q2_K", "IQ1_M"]
METHODS = ["block", "tensor", "sidecar"]
# Beyond any sidecar.
NO_LIMIT = ["--sidecar-bits", 16, "--sidecar-rank", 1024]


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-super-weights")
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--list")
    parser.add_argument("--options", type=shlex.split, default=[],
                        help="further options of `tessera quantize` where it protects")
    parser.add_argument("--embedding", help="type of the token embedding in all files, instead of TYPE and of what is planned")
    parser.add_argument("--samples", type=int, nargs="+", default=[64], help="windows of 512 tokens of the calibration text")
    return parser.parse_args()


class SuperWeightWorkshop(DivergenceWorkshop):
    def protection(self, method):
        a = self.arguments
        return [f"--protect-super-weights={method}", *(["--super-weights", a.list] if a.list else []), *a.options]

    def learning(self, samples):
        a = self.arguments
        return ["-f", a.calibration, "--ctx", 512, "--samples", samples, "--quiet", "--threads", a.threads]

    def uniform(self, type_name):
        embedding = self.arguments.embedding
        return ["--type", type_name, "--pure", *(["--token-embedding-type", embedding] if embedding else [])]

    def dynamic(self, size):
        policy = {"profile": "compression-max"}
        if self.arguments.embedding:
            policy["rules"] = [{"roles": "token_embd", "type": self.arguments.embedding}]
        with open(self.path("policy.json"), "w") as file:
            json.dump(policy, file)
        return ["--dynamic", "--config", self.path("policy.json"), "--target-size", size]

    def quantize(self, name, options, samples):
        """The file, and its sidecar or None."""
        output, sidecar = self.path(f"{name}.gguf"), self.path(f"{name}.sidecar.gguf")
        if os.path.exists(sidecar):
            os.unlink(sidecar)
        run_measured([self.arguments.program, "quantize", self.model, "-o", output, *options, *self.learning(samples)])
        return output, sidecar if os.path.exists(sidecar) else None

    def divergence(self, output, sidecar):
        """Mean over the texts."""
        return sum(self.figures(output, text, sidecar)["kld"] for text in self.texts) / len(self.texts)

    def measure(self, type_name, samples):
        """{file: (total bytes, divergence)}, "exact" without bytes."""
        uniform = self.uniform(type_name)
        made = {f"plain, {type_name}": self.quantize("plain", uniform, samples),
                f"block, {type_name}": self.quantize("plain-block", [*uniform, *self.protection("block")], samples)}
        size = os.path.getsize(made[f"plain, {type_name}"][0])
        dynamic = self.dynamic(size)
        made["dynamic"] = self.quantize("dynamic", dynamic, samples)
        for method in METHODS:
            try:
                made[f"dynamic, {method}"] = self.quantize(f"dynamic-{method}", [*dynamic, *self.protection(method)], samples)
            except RuntimeError as error:
                if "cannot be reached" not in str(error):
                    raise
                print(f"  {type_name}: {method} does not fit into the size", flush=True)
        made["exact"] = self.exact(dynamic, samples)
        measured = {name: (total_bytes(files), self.divergence(*files)) for name, files in made.items()}
        for name, (total, kld) in measured.items():
            print(f"  {type_name}, {samples} windows: {name}: {total} bytes, {kld:.6f}", flush=True)
        return measured

    def exact(self, dynamic, samples):
        """The same plan, with a sidecar that costs nothing."""
        plan = self.path("plan.yaml")
        run_measured([self.arguments.program, "plan", self.model, "-o", plan, *dynamic, *self.learning(samples)])
        return self.quantize("exact", ["--plan", plan, *self.protection("sidecar"), *NO_LIMIT], samples)


def total_bytes(files):
    return sum(os.path.getsize(file) for file in files if file)


def rows_of(type_name, measured):
    """Of the table, from what `measure` gave for each number of windows."""
    rows = []
    for name in measured[0]:
        runs = [figures for figures in measured if name in figures]
        base = f"plain, {type_name}" if type_name in name else "dynamic"
        ratios = [run[name][1] / run[base][1] for run in runs]
        cost, gain = (statistics.mean(run["dynamic"][1] - run[other][1] for run in runs) for other in ("exact", name))
        rows.append([type_name, name, "" if name == "exact" else str(runs[-1][name][0]),
                     f"{statistics.mean(run[name][1] for run in runs):.6f}", f"{statistics.geometric_mean(ratios):.3f}",
                     f"{min(ratios):.3f} to {max(ratios):.3f}",
                     f"{100 * gain / cost:.0f} %" if name.startswith("dynamic,") and cost > 0 else ""])
    return rows


def main():
    arguments = parse_arguments()
    workshop = SuperWeightWorkshop(arguments, required_peers())
    rows = []
    for type_name in arguments.types:
        rows += rows_of(type_name, [workshop.measure(type_name, samples) for samples in arguments.samples])
    print()
    print_table(["size of", "file", "total bytes", "mean KL divergence", "ratio", "from, to", "closed"], rows)


if __name__ == "__main__":
    main()
