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

--list names a list of super weights; without one the run finds them, with --options for how. Without llama.cpp nothing
is measured.

    bench/super_weight_quality.py --model ../shared/models/small
    bench/super_weight_quality.py --model /tmp/planted-F16.gguf --list /tmp/planted/super-weights.json
"""
import json
import os
import re

from peers import print_table, printed, required_peers, run_measured
from workshop import FIGURES, DivergenceWorkshop, divergence_parser, sha256, text_name

TYPES = ["IQ2_XXS", "Q2_K", "IQ1_M"]
METHODS = ["block", "tensor", "sidecar"]
# Beyond any sidecar.
NO_LIMIT = ["--sidecar-bits", 16, "--sidecar-rank", 1024]


def parse_arguments():
    parser = divergence_parser(__doc__, "/tmp/tessera-super-weights")
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--list")
    parser.add_argument("--options", nargs="*", default=[], help="further options of `tessera quantize` where it protects")
    parser.add_argument("--samples", type=int, default=64, help="windows of 512 tokens of the calibration text")
    return parser.parse_args()


class SuperWeightWorkshop(DivergenceWorkshop):
    def protection(self, method):
        a = self.arguments
        return [f"--protect-super-weights={method}", *(["--super-weights", a.list] if a.list else []), *a.options]

    def quantize(self, name, options):
        """The file, and its sidecar or None."""
        a = self.arguments
        output, sidecar = self.path(f"{name}.gguf"), self.path(f"{name}.sidecar.gguf")
        if os.path.exists(sidecar):
            os.unlink(sidecar)
        run_measured([a.program, "quantize", self.model, "-o", output, *options, "-f", a.calibration, "--ctx", 512,
                      "--samples", a.samples, "--quiet", "--threads", a.threads])
        return output, sidecar if os.path.exists(sidecar) else None

    def divergence(self, output, sidecar):
        """Mean over the texts."""
        return sum(self.divergence_on(text, output, sidecar) for text in self.texts) / len(self.texts)

    def divergence_on(self, text, output, sidecar):
        if sidecar is None:
            return self.figures(output, text)["kld"]
        key = f"{sha256(output)} {sha256(sidecar)} {text_name(text)} {self.arguments.chunks} kld"
        if key not in self.results:
            a = self.arguments
            said = printed(self.peers.command(
                "llama-perplexity", "-m", output, "--lora", sidecar, "-t", a.threads, "-c", 512, "--chunks", a.chunks,
                "--kl-divergence", "--kl-divergence-base", self.base_logits(text)), FIGURES["kld"])
            self.results[key] = float(re.search(FIGURES["kld"], said)[1])
            with open(self.results_path, "w") as file:
                json.dump(self.results, file, indent=1)
        return self.results[key]

    def compare(self, type_name):
        """Rows of the table of one type."""
        uniform = ["--type", type_name, "--pure"]
        made = {f"plain, {type_name}": self.quantize("plain", uniform),
                f"block, {type_name}": self.quantize("plain-block", [*uniform, *self.protection("block")])}
        size = os.path.getsize(made[f"plain, {type_name}"][0])
        dynamic = ["--dynamic", "--profile", "compression-max", "--target-size", size]
        made["dynamic"] = self.quantize("dynamic", dynamic)
        for method in METHODS:
            try:
                made[f"dynamic, {method}"] = self.quantize(f"dynamic-{method}", [*dynamic, *self.protection(method)])
            except RuntimeError as error:
                if "cannot be reached" not in str(error):
                    raise
                print(f"  {type_name}: {method} does not fit into the size", flush=True)
        free = self.exact()
        figures = {name: self.divergence(*files) for name, files in made.items()}
        exact = self.divergence(*free)
        rows = []
        for name, (output, sidecar) in made.items():
            total = os.path.getsize(output) + (os.path.getsize(sidecar) if sidecar else 0)
            kld, base = figures[name], figures["dynamic" if name.startswith("dynamic") else f"plain, {type_name}"]
            cost = figures["dynamic"] - exact
            closed = f"{100 * (base - kld) / cost:.0f} %" if name.startswith("dynamic,") and cost > 0 else ""
            rows.append([type_name, name, str(total), f"{kld:.6f}", f"{kld / base:.3f}", closed])
        rows.append([type_name, "exact", "", f"{exact:.6f}", f"{exact / figures['dynamic']:.3f}", ""])
        return rows

    def exact(self):
        """The same plan, with a sidecar that costs nothing."""
        a = self.arguments
        plan = self.path("plan.yaml")
        size = os.path.getsize(self.path("plain.gguf"))
        run_measured([a.program, "plan", self.model, "-o", plan, "--dynamic", "--profile", "compression-max", "--target-size",
                      size, "-f", a.calibration, "--ctx", 512, "--samples", a.samples, "--quiet", "--threads", a.threads])
        return self.quantize("exact", ["--plan", plan, *self.protection("sidecar"), *NO_LIMIT])


def main():
    arguments = parse_arguments()
    workshop = SuperWeightWorkshop(arguments, required_peers())
    rows = []
    for type_name in arguments.types:
        for row in workshop.compare(type_name):
            rows.append(row)
            print("  " + "  ".join(row), flush=True)
    print()
    print_table(["size of", "file", "total bytes", "mean KL divergence", "ratio", "closed"], rows)


if __name__ == "__main__":
    main()
