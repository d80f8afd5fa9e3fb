// What pages of all kinds of runs have beside the charts: key figures, settings, provenance, wall times.
import { element, table } from "./dom.js";
import { count, seconds, text } from "./format.js";

export function keyFigure(name, value, detail) {
  return element("div", {}, element("dt", {}, name), element("dd", { class: "value" }, value),
    detail ? element("dd", { class: "detail" }, detail) : null);
}

export const keyFigureList = (...figures) => element("dl", { class: "key-figures" }, ...figures);

const settingText = (value) => (Array.isArray(value) ? value.map(text).join(", ") : value !== null && typeof value === "object" ? JSON.stringify(value) : text(value));

export function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}

/** entries: [name, value]. */
export function settingsSection(entries) {
  return section("Settings", table("What was asked for", [
    { title: "Setting", value: ([name]) => name },
    { title: "Value", kind: "long", value: ([, value]) => settingText(value) },
  ], entries));
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

/** read: {purpose, path, bytes, xxh128}; written: {path, bytes}. */
export function provenanceSection(read, written) {
  const columns = [
    { title: "What", value: (row) => row.purpose },
    { title: "File", kind: "long", value: (row) => row.path },
    { title: "Bytes", kind: "number", value: (row) => count(row.bytes) },
    { title: "XXH3-128", kind: "hash", value: (row) => row.xxh128 ?? "\u2013" },
  ];
  return section("Provenance", table("Files read and written", columns, [...read, ...written.map((file) => ({ purpose: "written", xxh128: null, ...file }))]));
}
