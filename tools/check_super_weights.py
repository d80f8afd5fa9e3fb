#!/usr/bin/env python3
"""The weights that `tessera superweights MODEL --notion coverage -o LIST` finds against sorting all scores with numpy.

  check_super_weights.py MODEL.gguf [--imatrix FILE.gguf] LIST.json...

MODEL is a GGUF file of plain floats (F32, F16, BF16). The set must be the same, scores must be equal bit for bit, and of
equal scores the earlier weight counts first (in the order of tensors, rows and columns). Prints a line for each list; ends
with status 1 at the first difference. Needs numpy and llama.cpp's gguf. check_super_weights.sh makes the lists, too.
"""
import argparse
import json
import sys

import numpy
from gguf import GGUFReader

# Parts of the names of matrices that quantizers leave alone (src/model/architecture/kept_tensors.cc), of the models here.
KEPT = ("_norm.weight", "ffn_gate_inp.weight")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("lists", nargs="+")
    parser.add_argument("--imatrix")
    return parser.parse_args()


def matrices(path):
    """Name and float32 values, [rows, columns], of every matrix that may be quantized."""
    for tensor in GGUFReader(path).tensors:
        if len(tensor.shape) < 2 or not tensor.name.endswith("weight") or any(part in tensor.name for part in KEPT):
            continue
        data = tensor.data
        if tensor.tensor_type.name == "BF16":
            data = (data.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
        yield tensor.name, data.astype(numpy.float32).reshape(-1, int(tensor.shape[0]))


def factors_of(path):
    """The root mean square of the inputs of every column, by tensor."""
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(path).tensors}
    return {name.removesuffix(".in_sum2"):
            numpy.sqrt((sums.reshape(-1).astype(numpy.float64) / float(tensors[name.replace(".in_sum2", ".counts")].ravel()[0]))
                       .astype(numpy.float32))
            for name, sums in tensors.items() if name.endswith(".in_sum2")}


def scored(model, imatrix):
    """Names of the matrices, their columns, where each starts among all scores, and all scores."""
    factors = factors_of(imatrix) if imatrix else None
    names, columns, starts, scores = [], [], [0], []
    for name, weights in matrices(model):
        if factors is not None and name not in factors:
            continue
        names.append(name)
        columns.append(weights.shape[1])
        score = numpy.abs(weights) * (factors[name] if factors is not None else numpy.float32(1))
        assert score.dtype == numpy.float32
        scores.append(score.ravel())
        starts.append(starts[-1] + score.size)
    return names, columns, starts, numpy.concatenate(scores)


def fence_of(scores):
    positive = scores[scores > 0]
    middle, upper = len(positive) // 2, 3 * len(positive) // 4
    ranked = numpy.partition(positive, [middle, upper])[[middle, upper]]
    median, quartile = (ranked.view(numpy.uint32) & 0xFFFF0000).view(numpy.float32).astype(numpy.float64)
    return quartile * (quartile / median) ** 3


def expected(scores, coverage, fence):
    """Indices of the best, best first."""
    count = max(1, int(coverage * len(scores)))
    threshold = numpy.partition(scores, len(scores) - count)[len(scores) - count]
    candidates = numpy.flatnonzero(scores >= threshold)
    best = candidates[numpy.argsort(-scores[candidates], kind="stable")][:count]
    return best[(scores[best] > 0) & (scores[best] >= fence)], threshold


def main():
    settings = options()
    names, columns, starts, scores = scored(settings.model, settings.imatrix)
    fence = fence_of(scores)
    places = {name: (start, width) for name, start, width in zip(names, starts, columns)}
    for path in settings.lists:
        with open(path) as file:
            found = json.load(file)
        outcome = found["coverage"]
        whole = outcome["fence"] is None
        best, threshold = expected(scores, outcome["asked"], 0 if whole else fence)
        given = [places[weight["tensor"]][0] + weight["row"] * places[weight["tensor"]][1] + weight["column"]
                 for weight in found["weights"]]
        same = (given == best.tolist() and outcome["considered"] == len(scores)
                and [weight["score"] for weight in found["weights"]] == scores[best].astype(float).tolist()
                and outcome["threshold"] == float(threshold) and (whole or outcome["fence"] == fence))
        print(f"{outcome['asked']:g}{' whole' if whole else ''}, score {outcome['score']}: {len(given)} of {len(scores)} "
              f"weights, threshold {threshold:.6g}, fence {fence:.6g}: {'the same' if same else 'DIFFERENT'}")
        if not same:
            sys.exit(1)


if __name__ == "__main__":
    main()
