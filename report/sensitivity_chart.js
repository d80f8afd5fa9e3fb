// The tensors that would cost most at the fewest bits, and what they cost at the type that they got.
import * as Plot from "@observablehq/plot";
import { legend } from "./chart.js";
import { table } from "./dom.js";
import { figure, isNumber, shortened } from "./format.js";

const kShown = 15;
const kFiguresWidth = 110; // that "0.00012 \u2192 0.000034" needs after the longest bar
const kMethods = {
  fisher: "Predicted from the Fisher information of the model's own predictions",
  measured: "Measured by a walk of the model with this tensor alone at a probe type",
  prior: "Supposed from role and depth alone",
};

function rowsOf(report) {
  const planned = new Map(report.plan.tensors.map((tensor) => [tensor.name, tensor]));
  const rows = report.sensitivity.tensors.map((tensor) => {
    const known = tensor.candidates.filter((candidate) => isNumber(candidate.loss));
    if (known.length === 0) return null;
    const smallest = known.reduce((a, b) => (b.bits_per_weight < a.bits_per_weight ? b : a));
    const chosenType = planned.get(tensor.name)?.to ?? null;
    const chosen = known.find((candidate) => candidate.type === chosenType)?.loss ?? planned.get(tensor.name)?.predicted_loss ?? null;
    return { name: tensor.name, smallest: smallest.loss, smallestType: smallest.type, chosen, chosenType };
  });
  return rows.filter(Boolean).sort((a, b) => b.smallest - a.smallest).slice(0, kShown);
}

function draw(rows, width) {
  const letters = width < 560 ? 22 : 34;
  const label = new Map(rows.map((row) => [row.name, shortened(row.name.replace(/\.weight$/, ""), letters)]));
  const longest = Math.max(...[...label.values()].map((name) => Array.from(name).length));
  const margin = { left: 14 + 6.4 * longest, right: 8 };
  const inner = width - margin.left - margin.right;
  const scale = Math.max(...rows.map((row) => Math.max(row.smallest, row.chosen ?? 0)));
  const domain = [0, (scale * inner) / Math.max(inner - kFiguresWidth, inner / 3) || 1];
  const title = (row) =>
    `${row.name}\n${row.chosenType ?? "not planned"}: ${figure(row.chosen)}\n${row.smallestType}: ${figure(row.smallest)}`;
  return Plot.plot({
    width, height: 44 + 24 * rows.length, marginLeft: margin.left, marginRight: margin.right, marginTop: 4, marginBottom: 40,
    x: { label: "KL divergence, nats per token", labelAnchor: "right", grid: true, domain, ticks: Math.max(2, Math.floor(width / 180)), tickFormat: (d) => figure(d, 2) },
    y: { domain: rows.map((row) => row.name), tickFormat: (name) => label.get(name), tickSize: 0, label: null, padding: 0.2 },
    marks: [
      Plot.barX(rows, { y: "name", x: "smallest", fill: "var(--line)" }),
      Plot.barX(rows.filter((row) => isNumber(row.chosen)), { y: "name", x: "chosen", fill: "var(--accent)", insetTop: 4, insetBottom: 4 }),
      Plot.text(rows, {
        y: "name", x: "smallest", dx: 6, textAnchor: "start", fill: "var(--muted)",
        text: (row) => `${figure(row.smallest, 2)} \u2192 ${figure(row.chosen, 2)}`,
      }),
      Plot.ruleX([0], { stroke: "var(--ink)" }),
      Plot.tip(rows, Plot.pointerY({ y: "name", x: "smallest", title })),
    ],
  });
}

function methodText({ method, with_feedback }) {
  return `${kMethods[method] ?? method}${with_feedback ? ", for encoding with error feedback" : ""}`;
}

export function sensitivityChart(report) {
  const chart = { id: "sensitivity", title: "Top sensitivities" };
  const rows = report.sensitivity ? rowsOf(report) : [];
  if (rows.length === 0) return { ...chart, missing: "No sensitivities were needed or found in this run." };
  return {
    ...chart,
    summary: `${methodText(report.sensitivity)}: the ${rows.length} tensors that would lose most in the smallest type.`,
    legend: legend(["var(--accent)", "in the type it got"], ["var(--line)", "in the smallest candidate"]),
    draw: (width) => draw(rows, width),
    table: table("Loss of single tensors, KL divergence in nats per token", [
      { title: "Tensor", value: (row) => row.name },
      { title: "Type", value: (row) => row.chosenType ?? "\u2013" },
      { title: "Loss", kind: "number", value: (row) => figure(row.chosen) },
      { title: "Smallest", value: (row) => row.smallestType },
      { title: "Loss there", kind: "number", value: (row) => figure(row.smallest) },
    ], rows),
  };
}
