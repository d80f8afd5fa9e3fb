// A heat map: a figure for each layer and each of a few groups, as a colour between two ends and, where it has room, as a
// number. Layers go across the page, down it where that is narrow. A cell is {layer, group, value}.
import * as Plot from "@observablehq/plot";
import { sparseTicks } from "./chart.js";
import { element } from "./dom.js";
import { decimals, shortened } from "./format.js";

const kNarrow = 560; // below it layers go down the page
const kTextWidth = 32; // that "2.06" needs in a cell
const kNameLength = 24; // of a group beside the map; names come from files

export const layersOf = (cells) => [...new Set(cells.map((cell) => cell.layer))].sort((a, b) => a - b);

/** From the smallest of `values` to the largest, as colours that follow light and dark; letters on them stay readable. */
export function colours(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
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

/** `groups` in their order; `title` tells a cell to who points at it. */
export function heatMap({ cells, groups, colour, digits, title }, width) {
  const layers = layersOf(cells);
  const isTall = width < kNarrow && layers.length > 8;
  const [x, y] = isTall ? ["group", "layer"] : ["layer", "group"];
  const nameOf = (group) => shortened(group, kNameLength);
  const longest = Math.max(...groups.map((group) => nameOf(group).length));
  const margin = isTall ? { left: 44, top: 14 + 5.4 * longest, right: 3.4 * longest } : { left: 12 + 7 * longest, top: 40, right: 4 };
  const [columns, rows] = isTall ? [groups, layers] : [layers, groups];
  const inner = width - margin.left - margin.right;
  const axis = { [isTall ? "y" : "x"]: { domain: layers, label: "layer", labelArrow: "none", labelOffset: isTall ? 40 : 34, labelAnchor: isTall ? "top" : "center" }, [isTall ? "x" : "y"]: { domain: groups, label: null, tickFormat: nameOf } };
  axis.x = { ...axis.x, axis: "top", tickSize: 0, padding: 0.04, round: false, ticks: isTall ? groups : sparseTicks(layers, inner, 26), tickRotate: isTall ? -55 : 0 };
  axis.y = { ...axis.y, tickSize: 0, padding: 0.04, round: false };
  const place = { x, y };
  return Plot.plot({
    width, height: margin.top + 4 + rows.length * (isTall ? 20 : 28),
    marginLeft: margin.left, marginTop: margin.top, marginBottom: 4, marginRight: margin.right, ...axis,
    color: { type: "identity" },
    marks: [
      Plot.cell(cells, { ...place, fill: (cell) => colour.fill(cell.value) }),
      inner / columns.length < kTextWidth
        ? null
        : Plot.text(cells, { ...place, text: (cell) => decimals(cell.value, digits), fill: (cell) => colour.ink(cell.value), fontSize: 10 }),
      Plot.tip(cells, Plot.pointer({ ...place, title })),
    ],
  });
}

/** What the ends of the colours stand for. */
export function scaleLegend(colour, digits, unit) {
  const bar = element("span", { class: "scale", "aria-hidden": "true" });
  return element("p", { class: "legend" }, element("span", {}, decimals(colour.low, digits), bar, `${decimals(colour.high, digits)} ${unit}`));
}
