#!/usr/bin/env python3
"""Chooses what the scale searches of the simple block formats try, on random weights (needs numpy).

For Q4_0, Q5_0 and Q8_0: candidates one after the other, each the one that lowers the squared error of normal weights most,
with uniform and with log-normal importance; a candidate is the code on which the weight of largest magnitude falls
(src/foundation/codecs/symmetric_fit-inl.h). Every line gives the error after it, and after one refinement, as shares of the
error of the lowest code alone; the last line those of the list that is in use.

For the ternary types: the relative error with lists of thresholds (src/foundation/codecs/ternary_fit-inl.h) and two
refinements, over distributions of weights.

    tools/choose_candidates.py
"""
import numpy

# format: lowest and highest code, candidates to choose from, how many, and what src/foundation/codecs/symmetric.cc uses
FORMATS = {
    "Q4_0": (-8, 7, numpy.arange(5, 14.01, 0.25), 12, {
        "uniform": [-8.25, -7.75, -7.25, -8.75],
        "log-normal": [-8.25, -7.75, -7.25, -6.75, -6.25, -8.75, -9.25, -9.75, -10.5, -12, 8.75, 9.75]}),
    "Q5_0": (-16, 15, numpy.arange(9, 24, 0.25), 12, {
        "uniform": [-16, -15.75, -15.25, -15, -14.75, -14, -16.25, -16.5],
        "log-normal": [-20, -18.5, -17.5, -16.7, -16, -15.5, -15, -14.5, -14, -13, -12, -11, -10, 15, 13.5, 12]}),
    "Q8_0": (-128, 127, numpy.arange(118, 136, 0.25), 8, {
        "uniform": [-128, -127, -126, -125],
        "log-normal": [-128, -127, -126, -125, -124, -123, -122, -120]}),
}
THRESHOLDS = [[0.5, 0.65, 0.8, 0.95, 1.15, 1.4, 1.8, 2.4], [0.65, 0.85, 1.2, 2.4], [0.65, 0.8, 0.95, 1.4],
              [0.5, 0.8, 1.2, 2.0]]


class Block:
    """Blocks of 32 weights relative to their extreme ones, and the best sums of each so far."""

    def __init__(self, low, high, importance, random, blocks=8000):
        weights = random.standard_normal((blocks, 32))
        self.w = numpy.ones_like(weights) if importance == "uniform" else numpy.exp(1.5 * random.standard_normal(weights.shape))
        self.w /= self.w.mean(1, keepdims=True)
        self.extreme = weights[numpy.arange(blocks), numpy.abs(weights).argmax(1)]
        self.u = weights / self.extreme[:, None]
        self.low, self.high = low, high
        self.nothing = numpy.zeros(blocks), numpy.full(blocks, 1e-30)

    def sums(self, factor):
        codes = numpy.clip(numpy.rint(self.u * factor), self.low, self.high)
        return (self.w * codes * self.u).sum(1), (self.w * codes * codes).sum(1)

    @staticmethod
    def better(best, other):
        is_better = other[0] ** 2 * best[1] > best[0] ** 2 * other[1]
        return numpy.where(is_better, other[0], best[0]), numpy.where(is_better, other[1], best[1])

    def refined(self, best):
        return self.better(best, self.sums((best[1] / best[0])[:, None]))

    def error(self, best):
        return (((self.w * self.u ** 2).sum(1) - best[0] ** 2 / best[1]) * self.extreme ** 2).sum()

    def best_of(self, candidates):
        best = self.nothing
        for candidate in candidates:
            best = self.better(best, self.sums(candidate))
        return best


def choose(name, importance):
    low, high, magnitudes, count, in_use = FORMATS[name]
    block = Block(low, high, importance, numpy.random.default_rng(2))
    unit = block.error(block.sums(float(low)))

    def line(label, best):
        print(f"{name} {importance:10} {label:>8} {block.error(best) / unit:.5f} refined "
              f"{block.error(block.refined(best)) / unit:.5f}", flush=True)

    sums = {sign * magnitude: block.sums(sign * magnitude) for magnitude in magnitudes for sign in (-1, 1)}
    best = block.nothing
    for _ in range(count):
        candidate = min(sums, key=lambda c: block.error(block.better(best, sums[c])))
        best = block.better(best, sums.pop(candidate))
        line(f"{candidate:g}", best)
    line("in use", block.best_of(in_use[importance]))


def ternary_error(magnitudes, thresholds):
    mean, energy = magnitudes.mean(1), (magnitudes ** 2).sum(1)

    def sums(threshold):
        above = magnitudes > threshold[:, None]
        return (magnitudes * above).sum(1), above.sum(1).astype(float)

    best = numpy.zeros(len(magnitudes)), numpy.full(len(magnitudes), 1e-30)
    for threshold in thresholds:
        best = Block.better(best, sums(threshold * mean))
    for _ in range(2):
        best = Block.better(best, sums(0.5 * best[0] / best[1]))
    return (energy - best[0] ** 2 / best[1]).sum() / energy.sum()


def compare_thresholds():
    random = numpy.random.default_rng(3)
    shape = (4000, 256)
    distributions = {
        "normal": random.standard_normal(shape), "laplace": random.laplace(size=shape), "t3": random.standard_t(3, shape),
        "sparse": (random.random(shape) < 0.05) + 0.03 * random.standard_normal(shape),
        "ternary": (random.random(shape) < 0.6) + 0.1 * random.standard_normal(shape),
        "outliers": numpy.where(random.random(shape) < 0.01, 8, 1) * random.standard_normal(shape)}
    print("thresholds", *distributions)
    for thresholds in THRESHOLDS:
        print(thresholds, *(f"{ternary_error(numpy.abs(weights), thresholds):.5f}" for weights in distributions.values()))


if __name__ == "__main__":
    for format_name in FORMATS:
        for kind in ("uniform", "log-normal"):
            choose(format_name, kind)
    compare_thresholds()
