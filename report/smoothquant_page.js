// The page of a smoothing run (docs/smoothquant-report.schema.json).
import { beforeAfterChart } from "./before_after_chart.js";
import { chartSection } from "./chart.js";
import { details, element, table } from "./dom.js";
import { bytes, count, counted, figure, isNumber, percent, signedPercent, text } from "./format.js";
import { colours, heatMap, layersOf, scaleLegend } from "./heat_map.js";
import { keyFigure, keyFigureList, provenanceSection, section, settingsSection, timesSection } from "./tables.js";

/** Of what is a number; null where nothing is. */
function mean(values) {
  const numbers = values.filter(isNumber);
  return numbers.length > 0 ? numbers.reduce((sum, value) => sum + value, 0) / numbers.length : null;
}

const meanError = (linears, key) => mean(linears.map((linear) => linear[key]));
const linearsOf = (report) => report.folds.flatMap((fold) => fold.linears.map((linear) => ({ ...fold, ...linear })));

/** The measured models, the original first. */
const modelsOf = ({ original, variants }) => [{ model: "original", ...original }, ...variants];

function perplexityFigure(model) {
  const detail = isNumber(model.kl_divergence) ? `${signedPercent(model.perplexity_delta_pct)}, KL divergence ${figure(model.kl_divergence)}` : null;
  return keyFigure(`Perplexity, ${model.model}`, figure(model.perplexity, 5), detail);
}

function keyFigures(report) {
  const read = report.provenance.files.filter((file) => file.purpose === "model").reduce((sum, file) => sum + file.bytes, 0);
  const linears = linearsOf(report);
  return keyFigureList(
    keyFigure("Size", bytes(report.bytes), `read: ${bytes(read)}`),
    ...(report.evaluation ? modelsOf(report.evaluation).map(perplexityFigure) : []),
    keyFigure("Mean W8A8 error", figure(meanError(linears, "smoothed_error")), `without smoothing ${figure(meanError(linears, "naive_error"))}`));
}

function qualitySection({ evaluation }) {
  if (!evaluation) return section("Quality", element("p", { class: "note" }, "The models were not evaluated in this run."));
  const { windows, context, scored_tokens: tokens } = evaluation;
  return section("Quality", table(`On ${count(tokens)} tokens in ${count(windows)} windows of ${count(context)}; changes and divergence against the original`, [
    { title: "Model", value: (row) => row.model },
    { title: "Perplexity", kind: "number", value: (row) => figure(row.perplexity, 6) },
    { title: "Standard error", kind: "number", value: (row) => figure(row.perplexity_standard_error) },
    { title: "Change", kind: "number", value: (row) => signedPercent(row.perplexity_delta_pct) },
    { title: "KL divergence, nats per token", kind: "number", value: (row) => figure(row.kl_divergence) },
    { title: "Top-1 agreement", kind: "number", value: (row) => percent(row.top_1_agreement_pct, 2) },
  ], modelsOf(evaluation)));
}

function errorChart({ folds }) {
  return beforeAfterChart({
    id: "w8a8-errors",
    title: "W8A8 error by layer and fold",
    what: "Squared error of a token's output in 8-bit arithmetic over its energy: mean over sampled tokens and the linears that read a fold.",
    label: "relative squared error",
    names: { before: "Without smoothing", after: "Smoothed" },
    rows: folds.map((fold) => ({ layer: fold.layer, fold: fold.fold, before: meanError(fold.linears, "naive_error"), after: meanError(fold.linears, "smoothed_error") })),
    missing: "No errors above zero were measured in this run.",
  });
}

function outlierChart({ folds }) {
  return beforeAfterChart({
    id: "outliers",
    title: "Outliers of inputs by layer and fold",
    what: "How far a fold's input stands out: its largest channel over the median one.",
    label: "largest over median",
    names: { before: "Original", after: "Smoothed" },
    rows: folds.map((fold) => ({ layer: fold.layer, fold: fold.fold, before: fold.original.input.outlier_ratio, after: fold.smoothed.input.outlier_ratio })),
    missing: "No input of a fold has an outlier ratio.",
  });
}

function alphaTable(folds) {
  const names = [...new Set(folds.map((fold) => fold.fold))];
  const alphaOf = (name, layer) => folds.find((fold) => fold.fold === name && fold.layer === layer)?.alpha;
  return table("Alpha by layer and fold", [
    { title: "Layer", value: String },
    ...names.map((name) => ({ title: name, kind: "number", value: (layer) => text(alphaOf(name, layer)) })),
  ], layersOf(folds));
}

function alphaChart({ folds }) {
  const chart = { id: "alphas", title: "Chosen alphas" };
  const cells = folds.filter((fold) => isNumber(fold.alpha)).map((fold) => ({ layer: fold.layer, group: fold.fold, value: fold.alpha }));
  if (cells.length === 0) return { ...chart, missing: "No fold was smoothed." };
  const colour = colours([0, 1, ...cells.map((cell) => cell.value)]);
  const groups = [...new Set(cells.map((cell) => cell.group))];
  const title = (cell) => `${cell.group}, layer ${cell.layer}\nalpha ${figure(cell.value)}`;
  return {
    ...chart,
    summary: `How much of the outliers moved into the weights. ${count(cells.length)} of ${count(folds.length)} folds were smoothed; those left alone have no cell.`,
    legend: scaleLegend(colour, 0, "alpha"),
    draw: (width) => heatMap({ cells, groups, colour, digits: 2, title }, width),
    table: alphaTable(folds),
  };
}

/** A column of what `pick` takes from a fold before and after. */
const change = (title, pick) => ({ title, kind: "number", value: (fold) => `${figure(pick(fold.original))} \u2192 ${figure(pick(fold.smoothed))}` });

const foldTable = ({ folds }) => table("Every fold, original \u2192 smoothed: largest magnitudes, and the largest channel over the median one", [
  { title: "Layer", value: (fold) => String(fold.layer) },
  { title: "Fold", value: (fold) => fold.fold },
  { title: "Alpha", kind: "number", value: (fold) => text(fold.alpha) },
  change("Input largest", (side) => side.input.maximum),
  change("over median", (side) => side.input.outlier_ratio),
  change("Weights largest", (side) => side.weights.maximum),
  change("over median", (side) => side.weights.outlier_ratio),
], folds);

const linearTable = (linears) => table("Every linear: relative squared error of its output in 8-bit arithmetic", [
  { title: "Tensor", value: (row) => row.tensor },
  { title: "Layer", kind: "number", value: (row) => String(row.layer) },
  { title: "Fold", value: (row) => row.fold },
  { title: "Alpha", kind: "number", value: (row) => text(row.alpha) },
  { title: "Without smoothing", kind: "number", value: (row) => figure(row.naive_error) },
  { title: "Smoothed", kind: "number", value: (row) => figure(row.smoothed_error) },
  { title: "Ratio", kind: "number", value: (row) => figure(row.naive_error > 0 ? row.smoothed_error / row.naive_error : null) },
], linears);

function everythingSection(report) {
  const linears = linearsOf(report);
  return section("All folds and linears",
    details(counted(report.folds.length, "fold"), foldTable(report)),
    details(counted(linears.length, "linear"), linearTable(linears)));
}

const settingsOf = (report) => [
  ...Object.entries(report.settings),
  ["output", report.form],
  ["type of floats", report.float_type],
  ["evaluated on", report.evaluation?.datasets ?? null],
];

/** What the page is of, its sections in their order, and its charts. */
export function smoothquantPage(report) {
  const charts = [errorChart, outlierChart, alphaChart].map((chart) => chartSection(chart(report)));
  const [errors, outliers, alphas] = charts.map((chart) => chart.section);
  return {
    what: report.form === "w8a8" ? "Smoothed model in 8 bits (W8A8)" : "Smoothed model",
    charts,
    sections: [
      keyFigures(report),
      qualitySection(report),
      element("div", { class: "columns" }, errors, outliers),
      alphas,
      element("div", { class: "columns" }, settingsSection(settingsOf(report)), timesSection(report)),
      provenanceSection(report.provenance.files, [{ path: report.output, bytes: report.bytes }]),
      everythingSection(report),
    ],
  };
}
