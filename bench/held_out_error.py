#!/usr/bin/env python3
"""Compares the errors at the outputs of linears that plain encoding and error feedback leave, on the tokens that both
learnt from and on others. held_out_error.sh makes the files and calls it.

  held_out_error.py MODEL.gguf WORK WINDOWS...

WORK has the files plain-WINDOWS.gguf and feedback-WINDOWS.gguf, and the folders learnt-WINDOWS and held-out of second
moments H (--keep-hessians). The error of a tensor is the mean of |(W - Q) x|^2 = sum over rows e of e H e^T. Prints for each
number of windows the geometric mean over tensors of feedback's error over the plain one, the largest, and how many tensors
have more than 1. Needs numpy and llama.cpp's gguf.
"""
import pathlib
import statistics
import sys

import numpy
from gguf import GGUFReader
from gguf.quants import dequantize


def matrices(path):
    """{name: float32 [rows, columns]} of the matrices of the layers."""
    return {tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32).reshape(-1, int(tensor.shape[0]))
            for tensor in GGUFReader(path).tensors if len(tensor.shape) == 2 and tensor.name.startswith("blk.")}


def moments(folder):
    """{tensor: float32 [columns, columns]}"""
    result = {}
    for path in pathlib.Path(folder).glob("*.hessian.gguf"):
        reader = GGUFReader(path)
        hessian = next(tensor.data for tensor in reader.tensors if tensor.name == "hessian")
        names = reader.fields["tessera.hessian.tensors"]
        for index in names.data:
            result[bytes(names.parts[index]).decode()] = hessian
    return result


def errors(original, quantized, hessians):
    """By tensor, in the original's order."""
    result = []
    for name, weights in original.items():
        error = weights - quantized[name]
        result.append(float(numpy.einsum("rc,rc->", error @ hessians[name], error, dtype=numpy.float64)))
    return result


def main():
    model, work, windows = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    original = matrices(model)
    print("| windows | learnt from: mean | worst | above 1 | held out: mean | worst | above 1 |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for count in windows:
        plain, feedback = (matrices(work / f"{encoder}-{count}.gguf") for encoder in ("plain", "feedback"))
        row = [count]
        for folder in (f"learnt-{count}", "held-out"):
            hessians = moments(work / folder)
            ratios = [ours / theirs for ours, theirs in zip(errors(original, feedback, hessians),
                                                            errors(original, plain, hessians))]
            row += [f"{statistics.geometric_mean(ratios):.3f}", f"{max(ratios):.3f}",
                    f"{sum(ratio > 1 for ratio in ratios)} of {len(ratios)}"]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
