// Bits by layer and role: a heat map of the matrices inside of layers, and those outside beside it.
import { element, table } from "./dom.js";
import { decimals, text } from "./format.js";
import { colours, heatMap, layersOf, scaleLegend } from "./heat_map.js";

/** In the order of the computation; roles that are not named come last, in the order of the file. */
const kRoleOrder = ["attn_q", "attn_k", "attn_v", "attn_qkv", "attn_latent", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

function rolesOf(cells) {
  const place = (role) => (kRoleOrder.includes(role) ? kRoleOrder.indexOf(role) : kRoleOrder.length);
  return [...new Set(cells.map((cell) => cell.group))].sort((a, b) => place(a) - place(b));
}

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
    group: group[0].role,
    layer: group[0].layer,
    value: bitsOf(group),
    types: [...new Set(group.map((tensor) => tensor.to))].join(", "),
  }));
}

const titleOf = (cell) => `${cell.group}, layer ${cell.layer}\n${cell.types}\n${decimals(cell.value, 3)} bits per weight`;

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
  const found = new Map(cells.map((cell) => [JSON.stringify([cell.group, cell.layer]), cell]));
  const valueOf = (role, layer) => {
    const cell = found.get(JSON.stringify([role, layer]));
    return cell ? `${cell.types} ${decimals(cell.value, 2)}` : text(null);
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
  const bits = [...cells.map((cell) => cell.value), ...outside.map((tensor) => bitsOf([tensor]))];
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
    legend: scaleLegend(colour, 2, "bits per weight"),
    draw: (width) => heatMap({ cells, groups: rolesOf(cells), colour, digits: 2, title: titleOf }, width),
    after,
    table: tableOf(cells),
  };
}
