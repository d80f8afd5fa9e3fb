// Bits by layer and role: a heat map of the matrices inside of layers, and those outside beside it.
import * as Plot from "@observablehq/plot";
import { sparseTicks } from "./chart.js";
import { element, table } from "./dom.js";
import { decimals, text } from "./format.js";

const kNarrow = 560; // below it layers go down the page
const kTextWidth = 32; // that "2.06" needs in a cell

/** In the order of the computation; roles that are not named come last, in the order of the file. */
const kRoleOrder = ["attn_q", "attn_k", "attn_v", "attn_qkv", "attn_latent", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

function rolesOf(cells) {
  const place = (role) => (kRoleOrder.includes(role) ? kRoleOrder.indexOf(role) : kRoleOrder.length);
  return [...new Set(cells.map((cell) => cell.role))].sort((a, b) => place(a) - place(b));
}

const layersOf = (cells) => [...new Set(cells.map((cell) => cell.layer))].sort((a, b) => a - b);

/** What is kept as it is are vectors, norms and routers, which hold next to nothing. */
export const isMatrix = (tensor) => tensor.reason !== "kept";

const bitsOf = (tensors) => {
  const sum = (key) => tensors.reduce((total, tensor) => total + tensor[key], 0);
  return sum("weights") > 0 ? (8 * sum("bytes")) / sum("weights") : 0;
};

function cellsOf(tensors) {
  const groups = new Map();
  for (const tensor of tensors) {
    const key = JSON.stringify([tensor.role, tensor.layer]);
    groups.set(key, [...(groups.get(key) ?? []), tensor]);
  }
  return [...groups.values()].map((group) => ({
    role: group[0].role,
    layer: group[0].layer,
    bits: bitsOf(group),
    types: [...new Set(group.map((tensor) => tensor.to))].join(", "),
  }));
}

/** From the fewest bits to the most, as colours that follow light and dark; letters on them stay readable. */
function colours(bits) {
  const [low, high] = [Math.min(...bits), Math.max(...bits)];
  const share = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  return {
    low,
    high,
    fill: (value) => `color-mix(in oklab, var(--accent) ${(100 * share(value)).toFixed(1)}%, var(--low))`,
    ink: (value) => {
      // Where black and white have the same contrast to the colour, 4.5 : 1, in each of the two modes.
      const [light, dark] = [share(value) > 0.8 ? "#fff" : "#000", share(value) > 0.58 ? "#000" : "#fff"];
      return `light-dark(${light}, ${dark})`;
    },
  };
}

function draw(cells, colour, width) {
  const [roles, layers] = [rolesOf(cells), layersOf(cells)];
  const isTall = width < kNarrow && layers.length > 8;
  const [x, y] = isTall ? ["role", "layer"] : ["layer", "role"];
  const longest = Math.max(...roles.map((role) => role.length));
  const margin = isTall ? { left: 44, top: 14 + 5.4 * longest, right: 3.4 * longest } : { left: 12 + 7 * longest, top: 40, right: 4 };
  const [columns, rows] = isTall ? [roles, layers] : [layers, roles];
  const inner = width - margin.left - margin.right;
  const axis = { [isTall ? "y" : "x"]: { domain: layers, label: "layer", labelArrow: "none", labelOffset: isTall ? 40 : 34, labelAnchor: isTall ? "top" : "center" }, [isTall ? "x" : "y"]: { domain: roles, label: null } };
  axis.x = { ...axis.x, axis: "top", tickSize: 0, padding: 0.04, round: false, ticks: isTall ? roles : sparseTicks(layers, inner, 26), tickRotate: isTall ? -55 : 0 };
  axis.y = { ...axis.y, tickSize: 0, padding: 0.04, round: false };
  const place = { x, y };
  const title = (cell) => `${cell.role}, layer ${cell.layer}\n${cell.types}\n${decimals(cell.bits, 3)} bits per weight`;
  return Plot.plot({
    width, height: margin.top + 4 + rows.length * (isTall ? 20 : 28),
    marginLeft: margin.left, marginTop: margin.top, marginBottom: 4, marginRight: margin.right, ...axis,
    color: { type: "identity" },
    marks: [
      Plot.cell(cells, { ...place, fill: (cell) => colour.fill(cell.bits) }),
      inner / columns.length < kTextWidth
        ? null
        : Plot.text(cells, { ...place, text: (cell) => decimals(cell.bits, 2), fill: (cell) => colour.ink(cell.bits), fontSize: 10 }),
      Plot.tip(cells, Plot.pointer({ ...place, title })),
    ],
  });
}

function legendOf(colour) {
  const bar = element("span", { class: "scale", "aria-hidden": "true" });
  return element("p", { class: "legend" }, element("span", {}, decimals(colour.low, 2), bar, `${decimals(colour.high, 2)} bits per weight`));
}

function outsideList(tensors, colour) {
  const items = tensors.map((tensor) => {
    const bits = bitsOf([tensor]);
    const item = element("li", {}, `${tensor.name}: ${tensor.to}, ${decimals(bits, 2)}`);
    item.style.background = colour.fill(bits);
    item.style.color = colour.ink(bits);
    return item;
  });
  return [element("h3", {}, "Outside of the layers"), element("ul", { class: "outside" }, ...items)];
}

function tableOf(cells) {
  const [roles, layers] = [rolesOf(cells), layersOf(cells)];
  const found = new Map(cells.map((cell) => [JSON.stringify([cell.role, cell.layer]), cell]));
  const valueOf = (role, layer) => {
    const cell = found.get(JSON.stringify([role, layer]));
    return cell ? `${cell.types} ${decimals(cell.bits, 2)}` : text(null);
  };
  return table("Types and bits per weight by layer and role", [
    { title: "Layer", value: String },
    ...roles.map((role) => ({ title: role, value: (layer) => valueOf(role, layer) })),
  ], layers);
}

export function bitsChart(report) {
  const chart = { id: "bits", title: "Bits by layer and role" };
  const matrices = report.plan.tensors.filter(isMatrix);
  const cells = cellsOf(matrices.filter((tensor) => tensor.layer !== null));
  const outside = matrices.filter((tensor) => tensor.layer === null);
  if (matrices.length === 0) return { ...chart, missing: "No tensor was quantized." };
  const bits = [...cells.map((cell) => cell.bits), ...outside.map((tensor) => bitsOf([tensor]))];
  const colour = colours(bits);
  const after = outside.length > 0 ? outsideList(outside, colour) : [];
  const range = `Between ${decimals(colour.low, 2)} and ${decimals(colour.high, 2)} bits per weight`;
  const norms = "Norms and other tensors that are kept as they are have no cell.";
  if (cells.length === 0) {
    return { ...chart, missing: `No tensor belongs to a layer. ${norms}`, after };
  }
  return {
    ...chart,
    summary: `${range}; ${decimals(report.plan.bits_per_weight, 3)} over all tensors. ${norms}`,
    legend: legendOf(colour),
    draw: (width) => draw(cells, colour, width),
    after,
    table: tableOf(cells),
  };
}
