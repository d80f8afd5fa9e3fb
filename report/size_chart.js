// Size against quality: the curve of the dynamic allocation, every tensor at one type, and this run.
import * as Plot from "@observablehq/plot";
import { table } from "./dom.js";
import { bytes, decimals, figure, isNumber, logTicks, sizeUnit } from "./format.js";
import { placeLabels } from "./labels.js";

const kMargin = { left: 56, right: 20, top: 24, bottom: 40 };

/** A logarithmic axis has no place for a loss of zero. */
const drawable = (point) => isNumber(point.loss) && point.loss > 0 && isNumber(point.size);

function pointsOf(report) {
  const { plan, evaluation } = report;
  const point = (kind, label, from) =>
    ({ kind, label, size: from.file_bytes, bpw: from.bits_per_weight, loss: from.predicted_loss });
  const points = [
    point("predicted", "predicted", plan),
    { ...point("measured", "measured", plan), loss: evaluation?.kl_divergence_mean },
    ...report.uniform.map((row) => point("uniform", row.type, row)),
    ...report.size_curve.map((row) => point("curve", "dynamic allocation", row)),
  ];
  return points.filter(drawable);
}

const nameOf = (point) => (point.kind === "predicted" || point.kind === "measured" ? `this run, ${point.label}` : point.label);

/** The places along the curve that a label must not cover, in pixels. */
function alongCurve(curve, x, y) {
  const places = curve.map((point) => ({ x: x(point), y: y(point) }));
  return places.flatMap((place, index) => {
    if (index === 0) return [place];
    const before = places[index - 1];
    const steps = Math.max(1, Math.ceil(Math.hypot(place.x - before.x, place.y - before.y) / 8));
    return Array.from({ length: steps }, (_, step) => {
      const share = (step + 1) / steps;
      return { x: before.x + share * (place.x - before.x), y: before.y + share * (place.y - before.y) };
    });
  });
}

function marksOf(points, unit) {
  const of = (kind) => points.filter((point) => point.kind === kind);
  const place = { x: (point) => point.size / unit.bytes, y: "loss" };
  const title = (point) =>
    `${nameOf(point)}\n${bytes(point.size)}, ${decimals(point.bpw, 3)} bits per weight\nKL divergence ${figure(point.loss)}`;
  return [
    Plot.line(of("curve"), { ...place, sort: "size", stroke: "var(--muted)", strokeWidth: 2 }),
    Plot.dot(of("uniform"), { ...place, r: 4, stroke: "var(--ink)", fill: "var(--surface)" }),
    Plot.dot(of("predicted"), { ...place, r: 8, stroke: "var(--accent)", strokeWidth: 2.5 }),
    Plot.dot(of("measured"), { ...place, r: 5, symbol: "diamond", fill: "var(--accent)", stroke: "var(--surface)" }),
    Plot.tip(points, Plot.pointer({ ...place, title })),
  ];
}

function labelMarks(points, unit, drawn, width, height) {
  const [xScale, yScale] = [drawn.scale("x"), drawn.scale("y")];
  const x = (point) => xScale.apply(point.size / unit.bytes);
  const y = (point) => yScale.apply(point.loss);
  const curve = points.filter((point) => point.kind === "curve").sort((a, b) => a.size - b.size);
  const named = points.filter((point) => point.kind !== "curve");
  const frame = { left: kMargin.left, right: width - 4, top: 4, bottom: height - kMargin.bottom };
  const labels = placeLabels(named.map((point) => ({ ...point, x: x(point), y: y(point), radius: point.kind === "uniform" ? 4 : 9 })), alongCurve(curve, x, y), frame);
  return labels.map((label) => {
    const own = label.kind === "uniform" ? { fill: "var(--ink)" } : { fill: "var(--accent)", fontWeight: 600 };
    return Plot.text([label], {
      ...own, x: (point) => point.size / unit.bytes, y: "loss", text: "label", fontSize: 11,
      textAnchor: label.place.anchor, dx: label.place.dx, dy: label.place.dy, stroke: "var(--surface)", strokeWidth: 3,
    });
  });
}

function draw(points, width) {
  const unit = sizeUnit(Math.max(...points.map((point) => point.size)));
  const height = Math.round(Math.min(440, Math.max(300, width * 0.55)));
  const losses = points.map((point) => point.loss);
  const domain = [Math.min(...losses) / 1.4, Math.max(...losses) * 1.4];
  const options = {
    width, height, marginLeft: kMargin.left, marginRight: kMargin.right, marginTop: kMargin.top, marginBottom: kMargin.bottom,
    x: { label: `file size, ${unit.name}`, labelAnchor: "right", ticks: Math.max(3, Math.floor(width / 110)), nice: true, inset: 8 },
    y: { type: "log", domain, ticks: logTicks(...domain), tickFormat: (d) => figure(d, 1), label: "KL divergence, nats per token", grid: true },
  };
  const marks = marksOf(points, unit);
  const drawn = Plot.plot({ ...options, marks });
  return Plot.plot({ ...options, marks: [...marks, ...labelMarks(points, unit, drawn, width, height)] });
}

function summaryOf(report, points) {
  const measured = points.find((point) => point.kind === "measured");
  const predicted = points.find((point) => point.kind === "predicted");
  const losses = [
    predicted ? `predicted KL divergence ${figure(predicted.loss)}` : null,
    measured ? `measured ${figure(measured.loss)}` : null,
  ].filter(Boolean);
  const run = `This run (blue): ${bytes(report.plan.file_bytes)}${losses.length ? ", " : ""}${losses.join(", ")}.`;
  const rest = [
    points.some((point) => point.kind === "curve") ? "The line is what the dynamic allocation is predicted to lose at other sizes." : null,
    points.some((point) => point.kind === "uniform") ? "Named after a type: every tensor at that type, predicted alike." : null,
  ];
  return [run, ...rest].filter(Boolean).join(" ");
}

export function sizeChart(report) {
  const chart = { id: "size", title: "Size against quality" };
  const points = pointsOf(report);
  if (points.length === 0) return { ...chart, missing: "No loss was predicted or measured in this run." };
  return {
    ...chart,
    summary: summaryOf(report, points),
    draw: (width) => draw(points, width),
    table: table("File size and KL divergence", [
      { title: "What", value: nameOf },
      { title: "File", kind: "number", value: (point) => bytes(point.size) },
      { title: "Bits per weight", kind: "number", value: (point) => decimals(point.bpw, 3) },
      { title: "KL divergence", kind: "number", value: (point) => figure(point.loss) },
    ], points),
  };
}
