// A figure before and after, by layer, one panel for each fold: two dots for each layer on a logarithmic axis that all
// panels share, and the way between them. A row is {layer, fold, before, after}.
import * as Plot from "@observablehq/plot";
import { legend, sparseTicks } from "./chart.js";
import { table } from "./dom.js";
import { figure, isNumber, logTicks, shortened } from "./format.js";

const kPanelHeight = 120;
const kMarginLeft = 56;
const kNameLength = 40; // of a fold over its panel; names come from files

/** Zero has no place on a logarithmic axis, and what is not finite on none. */
const hasPlace = (value) => isNumber(value) && value > 0;

function domainOf(points) {
  const values = points.map((point) => point.value);
  return [Math.min(...values) / 1.5, Math.max(...values) * 1.5];
}

function dots(points, fill, stroke, radius) {
  return Plot.dot(points, { x: "layer", y: "value", fy: "fold", r: radius, fill, stroke, strokeWidth: 1.5 });
}

function draw({ rows, label }, width) {
  const folds = [...new Set(rows.map((row) => row.fold))];
  const layers = [...new Set(rows.map((row) => row.layer))].sort((a, b) => a - b);
  const pointsOf = (key) => rows.filter((row) => hasPlace(row[key])).map((row) => ({ ...row, value: row[key] }));
  const [before, after] = [pointsOf("before"), pointsOf("after")];
  const domain = domainOf([...before, ...after]);
  const ticks = sparseTicks(logTicks(...domain), kPanelHeight, 20);
  const radius = Math.min(4, Math.max(1.5, (0.35 * (width - kMarginLeft)) / layers.length));
  const title = (row) => `${row.fold}, layer ${row.layer}\n${figure(row.before)} \u2192 ${figure(row.after)}`;
  return Plot.plot({
    width, height: 60 + folds.length * (kPanelHeight + 24), marginLeft: kMarginLeft, marginTop: 36, marginBottom: 36, marginRight: 8,
    x: { type: "point", domain: layers, ticks: sparseTicks(layers, width - kMarginLeft, 26), tickFormat: String, tickSize: 0, label: "layer", labelAnchor: "right" },
    y: { type: "log", domain, ticks, tickFormat: (value) => figure(value, 1), grid: true, label },
    fy: { domain: folds, axis: null, padding: 0.2 },
    marks: [
      Plot.text(folds, { fy: (fold) => fold, text: (fold) => shortened(fold, kNameLength), frameAnchor: "top-left", dy: -15, fontWeight: 600 }),
      Plot.link(rows.filter((row) => hasPlace(row.before) && hasPlace(row.after)), { x: "layer", y1: "before", y2: "after", fy: "fold", stroke: "var(--line)", strokeWidth: 2 }),
      dots(before, "var(--surface)", "var(--muted)", radius),
      dots(after, "var(--accent)", "var(--accent)", radius),
      Plot.tip(after, Plot.pointer({ x: "layer", y: "value", fy: "fold", title })),
    ],
  });
}

function tableOf({ title, names, rows }) {
  return table(title, [
    { title: "Layer", value: (row) => String(row.layer) },
    { title: "Fold", value: (row) => row.fold },
    { title: names.before, kind: "number", value: (row) => figure(row.before, 4) },
    { title: names.after, kind: "number", value: (row) => figure(row.after, 4) },
  ], rows);
}

/** The largest figure and where it is; null where none has a place. */
function largest(rows, key) {
  const worst = rows.filter((row) => hasPlace(row[key])).reduce((a, b) => (a === null || b[key] > a[key] ? b : a), null);
  return worst === null ? null : `${figure(worst[key])} (${shortened(worst.fold, kNameLength)}, layer ${worst.layer})`;
}

/** chart: {id, title, what, label, names: {before, after}, rows, missing}; `what` says what the figures are. */
export function beforeAfterChart(chart) {
  const { id, title, what, names, rows, missing } = chart;
  const [before, after] = [largest(rows, "before"), largest(rows, "after")];
  if (before === null && after === null) return { id, title, missing };
  return {
    id,
    title,
    summary: `${what} Largest ${names.before.toLowerCase()}: ${before ?? "none"}; ${names.after.toLowerCase()}: ${after ?? "none"}.`,
    legend: legend(["var(--muted)", names.before, "ring"], ["var(--accent)", names.after, "dot"]),
    draw: (width) => draw(chart, width),
    table: tableOf(chart),
  };
}
