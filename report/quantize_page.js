// The page of a quantization run (docs/run-report.schema.json).
import { bitsChart } from "./bits_chart.js";
import { chartSection } from "./chart.js";
import { divergenceChart } from "./divergence_chart.js";
import { details, element, table } from "./dom.js";
import { errorChart } from "./error_chart.js";
import { bytes, count, counted, decimals, figure, isNumber, percent, signedPercent } from "./format.js";
import { sensitivityChart } from "./sensitivity_chart.js";
import { sizeChart } from "./size_chart.js";
import { keyFigure, keyFigureList, provenanceSection, section, settingsSection, timesSection } from "./tables.js";

function qualityFigures(report) {
  const { evaluation, plan } = report;
  if (!isNumber(evaluation?.kl_divergence_mean)) {
    return isNumber(plan.predicted_loss) ? [keyFigure("KL divergence", figure(plan.predicted_loss), "predicted, nats per token")] : [];
  }
  const change = evaluation.perplexity_delta_pct;
  return [
    keyFigure("Perplexity", figure(evaluation.perplexity_quantized, 4),
      `before ${figure(evaluation.perplexity_original, 4)}${isNumber(change) ? `, ${signedPercent(change)}` : ""}`),
    keyFigure("Mean KL divergence", figure(evaluation.kl_divergence_mean),
      isNumber(plan.predicted_loss) ? `nats per token; predicted ${figure(plan.predicted_loss)}` : "nats per token"),
    keyFigure("Top-1 agreement", percent(evaluation.top_1_agreement_pct), `of ${count(evaluation.scored_tokens)} tokens`),
  ];
}

function keyFigures(report) {
  const { plan } = report;
  const saved = plan.weights > 0 ? 100 * (1 - plan.file_bytes / (2 * plan.weights)) : null;
  return keyFigureList(
    keyFigure("File size", bytes(plan.file_bytes), `${count(plan.file_bytes)} bytes`),
    keyFigure("Bits per weight", decimals(plan.bits_per_weight, 3), `${count(plan.weights)} weights`),
    keyFigure("Saved", percent(saved), "against 16 bits per weight"),
    ...qualityFigures(report));
}

function tensorsSection(report) {
  const { tensors } = report.plan;
  return section("All tensors", details(counted(tensors.length, "tensor"), table("Every tensor of the file", [
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

/** What the page is of, its sections in their order, and its charts. */
export function quantizePage(report) {
  const charts = [sizeChart, bitsChart, errorChart, divergenceChart, sensitivityChart].map((chart) => chartSection(chart(report)));
  const [size, bits, errors, divergence, sensitivity] = charts.map((chart) => chart.section);
  return {
    what: "Quantized model",
    charts,
    sections: [
      keyFigures(report),
      size,
      bits,
      element("div", { class: "columns" }, errors, divergence),
      sensitivity,
      element("div", { class: "columns" }, settingsSection(Object.entries(report.settings)), timesSection(report)),
      provenanceSection(report.provenance.files, report.files),
      tensorsSection(report),
    ],
  };
}
