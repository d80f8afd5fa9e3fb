// What is on the page beside the charts: key figures, settings, provenance, wall times, all tensors.
import { details, element, table } from "./dom.js";
import { bytes, count, decimals, figure, isNumber, percent, seconds, text } from "./format.js";

function keyFigure(name, value, detail) {
  return element("div", {}, element("dt", {}, name), element("dd", { class: "value" }, value),
    detail ? element("dd", { class: "detail" }, detail) : null);
}

function qualityFigures(report) {
  const { evaluation, plan } = report;
  if (!isNumber(evaluation?.kl_divergence_mean)) {
    return isNumber(plan.predicted_loss) ? [keyFigure("KL divergence", figure(plan.predicted_loss), "predicted, nats per token")] : [];
  }
  const change = evaluation.perplexity_delta_pct;
  return [
    keyFigure("Perplexity", figure(evaluation.perplexity_quantized, 4),
      `before ${figure(evaluation.perplexity_original, 4)}${isNumber(change) ? `, ${change >= 0 ? "+" : "\u2212"}${figure(Math.abs(change))}\u00a0%` : ""}`),
    keyFigure("Mean KL divergence", figure(evaluation.kl_divergence_mean),
      isNumber(plan.predicted_loss) ? `nats per token; predicted ${figure(plan.predicted_loss)}` : "nats per token"),
    keyFigure("Top-1 agreement", percent(evaluation.top_1_agreement_pct), `of ${count(evaluation.scored_tokens)} tokens`),
  ];
}

export function keyFigures(report) {
  const { plan } = report;
  const saved = plan.weights > 0 ? 100 * (1 - plan.file_bytes / (2 * plan.weights)) : null;
  return element("dl", { class: "key-figures" },
    keyFigure("File size", bytes(plan.file_bytes), `${count(plan.file_bytes)} bytes`),
    keyFigure("Bits per weight", decimals(plan.bits_per_weight, 3), `${count(plan.weights)} weights`),
    keyFigure("Saved", percent(saved), "against 16 bits per weight"),
    ...qualityFigures(report));
}

const settingText = (value) => (Array.isArray(value) ? value.map(text).join(", ") : value !== null && typeof value === "object" ? JSON.stringify(value) : text(value));

function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}

export function settingsSection(report) {
  return section("Settings", table("What was asked for", [
    { title: "Setting", value: ([name]) => name },
    { title: "Value", kind: "long", value: ([, value]) => settingText(value) },
  ], Object.entries(report.settings)));
}

export function timesSection(report) {
  const times = report.wall_seconds;
  if (times.length === 0) return section("Wall times", element("p", { class: "note" }, "No step of this run was timed."));
  const total = { step: "total", seconds: times.reduce((sum, row) => sum + (row.seconds ?? 0), 0) };
  return section("Wall times", table("By step", [
    { title: "Step", value: (row) => row.step },
    { title: "Time", kind: "number", value: (row) => seconds(row.seconds) },
  ], [...times, total]));
}

export function provenanceSection(report) {
  const columns = [
    { title: "What", value: (row) => row.purpose },
    { title: "File", kind: "long", value: (row) => row.path },
    { title: "Bytes", kind: "number", value: (row) => count(row.bytes) },
    { title: "XXH3-128", kind: "hash", value: (row) => row.xxh128 ?? "\u2013" },
  ];
  const written = report.files.map((file) => ({ purpose: "written", xxh128: "\u2013", ...file }));
  return section("Provenance", table("Files read and written", columns, [...report.provenance.files, ...written]));
}

export function tensorsSection(report) {
  const { tensors } = report.plan;
  return section("All tensors", details(`${count(tensors.length)} ${tensors.length === 1 ? "tensor" : "tensors"}`, table("Every tensor of the file", [
    { title: "Tensor", value: (row) => row.name },
    { title: "From", value: (row) => row.from },
    { title: "To", value: (row) => row.to },
    { title: "Weights", kind: "number", value: (row) => count(row.weights) },
    { title: "Bytes", kind: "number", value: (row) => count(row.bytes) },
    { title: "Bits", kind: "number", value: (row) => decimals(row.bits_per_weight, 3) },
    { title: "Reason", value: (row) => row.reason },
    { title: "Predicted loss", kind: "number", value: (row) => figure(row.predicted_loss) },
    { title: "Relative error", kind: "number", value: (row) => figure(row.relative_error) },
    { title: "Weighted", kind: "number", value: (row) => figure(row.weighted_relative_error) },
  ], tensors)));
}
