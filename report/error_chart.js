// Error by layer: of the residual stream where the run was evaluated, else of the layer's weights.
import * as Plot from "@observablehq/plot";
import { sparseTicks } from "./chart.js";
import { isMatrix } from "./bits_chart.js";
import { table } from "./dom.js";
import { figure, isNumber } from "./format.js";

const kMarginLeft = 56;

/** Mean over a layer's matrices, each counting as many times as it has weights. */
function weightErrors(tensors, key) {
  const layers = new Map();
  for (const tensor of tensors.filter((one) => isMatrix(one) && one.layer !== null && isNumber(one[key]))) {
    const sums = layers.get(tensor.layer) ?? { error: 0, weights: 0 };
    layers.set(tensor.layer, { error: sums.error + tensor.weights * tensor[key], weights: sums.weights + tensor.weights });
  }
  return [...layers]
    .map(([layer, sums]) => ({ layer, error: sums.weights > 0 ? sums.error / sums.weights : null }))
    .sort((a, b) => a.layer - b.layer);
}

/** The first of the kinds of error that this report has. */
function errorsOf(report) {
  const kinds = [
    {
      what: "Squared error of the residual stream after each layer over its energy, of this layer and all before it",
      rows: (report.evaluation?.layer_errors ?? []).map((row) => ({ layer: row.layer, error: row.output_relative_error })),
    },
    {
      what: "Squared error of each layer's weights over their energy, weighted with the importance of their columns",
      rows: weightErrors(report.plan.tensors, "weighted_relative_error"),
    },
    {
      what: "Squared error of each layer's weights over their energy",
      rows: weightErrors(report.plan.tensors, "relative_error"),
    },
  ];
  return kinds.map((kind) => ({ ...kind, rows: kind.rows.filter((row) => isNumber(row.error)) })).find((kind) => kind.rows.length > 0);
}

function draw(rows, width) {
  const layers = rows.map((row) => row.layer);
  const title = (row) => `layer ${row.layer}\nrelative error ${figure(row.error)}`;
  return Plot.plot({
    width, height: 280, marginLeft: kMarginLeft, marginBottom: 40, marginTop: 24,
    x: { type: "band", domain: layers, ticks: sparseTicks(layers, width - kMarginLeft, 26), tickSize: 0, label: "layer", labelAnchor: "right", padding: 0.15 },
    y: { label: "relative squared error", grid: true, zero: true, ticks: 5, tickFormat: (d) => figure(d, 2) },
    marks: [
      Plot.barY(rows, { x: "layer", y: "error", fill: "var(--accent)" }),
      Plot.ruleY([0], { stroke: "var(--ink)" }),
      Plot.tip(rows, Plot.pointerX({ x: "layer", y: "error", title })),
    ],
  });
}

export function errorChart(report) {
  const chart = { id: "errors", title: "Error by layer" };
  const errors = errorsOf(report);
  if (!errors) return { ...chart, missing: "No errors of layers were measured in this run." };
  const worst = errors.rows.reduce((a, b) => (b.error > a.error ? b : a));
  return {
    ...chart,
    summary: `${errors.what}. The largest is ${figure(worst.error)}, in layer ${worst.layer}.`,
    draw: (width) => draw(errors.rows, width),
    table: table("Relative squared error by layer", [
      { title: "Layer", value: (row) => String(row.layer) },
      { title: "Error", kind: "number", value: (row) => figure(row.error, 4) },
    ], errors.rows),
  };
}
