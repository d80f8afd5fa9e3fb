// How the KL divergence is distributed over tokens: a histogram, or percentiles where a report has none.
import * as Plot from "@observablehq/plot";
import { table } from "./dom.js";
import { count, figure, isNumber, logTicks } from "./format.js";

const kBinRatio = 10 ** 0.25; // of the ends of a bin (docs/evaluation-report.schema.json)
const kMarginLeft = 56;

function binsOf(histogram) {
  return histogram.map((bin, index) => ({
    lower: index > 0 ? histogram[index - 1].upper : bin.upper / kBinRatio,
    upper: bin.upper,
    tokens: bin.tokens,
  }));
}

function drawBins(bins, mean, width) {
  const domain = [bins[0].lower, bins[bins.length - 1].upper];
  const title = (bin) => `${figure(bin.lower)} to ${figure(bin.upper)}\n${count(bin.tokens)} tokens`;
  const marked = isNumber(mean) && mean >= domain[0] && mean <= domain[1] ? [mean] : [];
  const isRight = marked.length > 0 && Math.log(mean / domain[0]) > 0.7 * Math.log(domain[1] / domain[0]);
  return Plot.plot({
    width, height: 280, marginLeft: kMarginLeft, marginBottom: 40, marginTop: 24,
    x: { type: "log", domain, ticks: logTicks(...domain).filter((tick) => /^1(e|$)|^0\.0*1$|^10*$/.test(String(tick))), tickFormat: (d) => figure(d, 1), label: "KL divergence, nats", labelAnchor: "right" },
    y: { domain: [0, 1.15 * Math.max(...bins.map((bin) => bin.tokens))], label: "tokens", grid: true, ticks: 5 },
    marks: [
      Plot.rectY(bins, { x1: "lower", x2: "upper", y: "tokens", fill: "var(--muted)", insetLeft: 0.5, insetRight: 0.5 }),
      Plot.ruleY([0], { stroke: "var(--ink)" }),
      Plot.ruleX(marked, { stroke: "var(--accent)", strokeWidth: 2 }),
      Plot.text(marked, {
        x: (d) => d, frameAnchor: "top", text: (d) => `mean ${figure(d)}`, fill: "var(--accent)", fontWeight: 600, fontSize: 11,
        textAnchor: isRight ? "end" : "start", dx: isRight ? -6 : 6, stroke: "var(--surface)", strokeWidth: 3,
      }),
      Plot.tip(bins, Plot.pointerX({ x: (bin) => Math.sqrt(bin.lower * bin.upper), y: "tokens", title })),
    ],
  });
}

function histogramChart(chart, evaluation) {
  const bins = binsOf(evaluation.kl_divergence_histogram);
  return {
    ...chart,
    summary: `Scored tokens by the divergence of their prediction: median ${figure(evaluation.kl_divergence_median)}, mean ${figure(evaluation.kl_divergence_mean)}, 99 % at most ${figure(evaluation.kl_divergence_p99)}. The first bar also counts what is below it.`,
    draw: (width) => drawBins(bins, evaluation.kl_divergence_mean, width),
    table: table("Tokens by KL divergence", [
      { title: "At most", value: (bin) => figure(bin.upper, 4) },
      { title: "Tokens", kind: "number", value: (bin) => count(bin.tokens) },
    ], bins),
  };
}

function percentilesOf(evaluation) {
  const names = { median: "50 %", p90: "90 %", p95: "95 %", p99: "99 %", p99_9: "99.9 %", maximum: "all" };
  return Object.entries(names)
    .map(([key, share]) => ({ share, value: evaluation[`kl_divergence_${key}`] }))
    .filter((row) => isNumber(row.value) && row.value > 0);
}

function drawPercentiles(rows, width) {
  const values = rows.map((row) => row.value);
  const domain = [Math.min(...values) / 1.5, Math.max(...values) * 1.5];
  return Plot.plot({
    width, height: 280, marginLeft: kMarginLeft, marginBottom: 40, marginTop: 24,
    x: { type: "point", domain: rows.map((row) => row.share), label: "share of tokens" },
    y: { type: "log", domain, ticks: logTicks(...domain), tickFormat: (d) => figure(d, 1), label: "KL divergence at most, nats", grid: true },
    marks: [
      Plot.line(rows, { x: "share", y: "value", stroke: "var(--muted)" }),
      Plot.dot(rows, { x: "share", y: "value", r: 5, fill: "var(--accent)" }),
      Plot.tip(rows, Plot.pointerX({ x: "share", y: "value", title: (row) => `${row.share} of tokens\nat most ${figure(row.value)}` })),
    ],
  });
}

function percentileChart(chart, rows) {
  return {
    ...chart,
    summary: "Percentiles of the divergence over scored tokens.",
    draw: (width) => drawPercentiles(rows, width),
    table: table("Percentiles of the KL divergence", [
      { title: "Share of tokens", value: (row) => row.share },
      { title: "At most", kind: "number", value: (row) => figure(row.value, 4) },
    ], rows),
  };
}

export function divergenceChart(report) {
  const chart = { id: "divergence", title: "KL divergence over tokens" };
  const { evaluation } = report;
  if (evaluation?.kl_divergence_histogram?.length > 0) return histogramChart(chart, evaluation);
  const rows = evaluation ? percentilesOf(evaluation) : [];
  if (rows.length > 0) return percentileChart(chart, rows);
  return { ...chart, missing: "The model was not evaluated against its original in this run." };
}
