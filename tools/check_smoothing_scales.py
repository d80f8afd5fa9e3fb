#!/usr/bin/env python3
"""The smoothing scales of `tessera smoothquant --scales FILE` against their formula in float64.

  check_smoothing_scales.py MODEL-FOLDER SCALES.json

For every fold: the weight ranges are taken from the folder's own tensors, the input ranges from the file, and

  s[j] = max|X_j|^alpha / max|W_j|^(1 - alpha),  1 where a range is 0,  kept within [1e-5, 1e5]

Prints the largest relative difference of a scale, or of a weight range. Needs torch and safetensors. Of folders of the
Llama and Qwen families, in one file.
"""
import json
import os
import sys

import numpy
from safetensors import safe_open

READERS = {"attention": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
           "attention_output": ["self_attn.o_proj"],
           "feed_forward": ["mlp.gate_proj", "mlp.up_proj"],
           "down": ["mlp.down_proj"]}


def head_shape(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    heads = config["num_attention_heads"]
    return config.get("head_dim") or config["hidden_size"] // heads, heads // config.get("num_key_value_heads", heads)


def weight_ranges(tensors, fold, head_size, group):
    """The largest magnitude of each column over all readers; of grouped heads, of the columns that share a channel."""
    ranges = None
    for reader in READERS[fold["fold"]]:
        weight = tensors.get_tensor(f"model.layers.{fold['layer']}.{reader}.weight").double().abs().amax(0).numpy()
        ranges = weight if ranges is None else numpy.maximum(ranges, weight)
    if fold["fold"] == "attention_output":
        ranges = ranges.reshape(-1, group, head_size).max(1).reshape(-1)
    return ranges


def main():
    folder, scales = sys.argv[1:]
    with open(scales) as file:
        folds = json.load(file)["folds"]
    worst = 0.0
    with safe_open(os.path.join(folder, "model.safetensors"), "pt") as tensors:
        for fold in folds:
            inputs = numpy.array(fold["input_maxima"], dtype=numpy.float64)
            weights = weight_ranges(tensors, fold, *head_shape(folder))
            expected = numpy.ones_like(inputs)
            both = (inputs > 0) & (weights > 0)
            expected[both] = inputs[both] ** fold["alpha"] / weights[both] ** (1 - fold["alpha"])
            expected = numpy.where(both, expected.clip(1e-5, 1e5), 1)
            worst = max(worst, numpy.abs(numpy.array(fold["scales"]) / expected - 1).max())
            given = numpy.array(fold["weight_maxima"])
            worst = max(worst, numpy.abs(given - weights).max() / max(weights.max(), 1e-30))
    print(worst)


if __name__ == "__main__":
    main()
