// A chart on the page: heading, what it says in a sentence, the drawing at the width of its box, its figures as a
// table. A chart is {id, title, summary, legend, draw: (width) => svg, table, after} or {id, title,
// missing, after}, where `missing` says why there is nothing to draw.
import { details, element } from "./dom.js";

/** Groups of marks that stand for figures, by the names that the library gives them. */
const kMarks = ["dot", "line", "bar", "rect", "cell"];
const kPrintWidth = 680; // CSS pixels that fit on A4 and Letter

/** Each panel of a chart has its marks in a group of its own. */
function countMarks(svg) {
  return svg.querySelectorAll(kMarks.map((name) => `g[aria-label="${name}"] :not(g)`).join(",")).length;
}

function redraw(figure, box, chart, width) {
  const svg = chart.draw(Math.max(width, 240));
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${chart.title}. ${chart.summary}`);
  box.replaceChildren(svg);
  figure.dataset.marks = countMarks(svg);
  figure.dataset.width = width;
}

/** Gives the function that draws for the first time, once the box is in the page and has a width. */
function keepDrawn(figure, box, chart) {
  const fit = () => {
    const width = Math.floor(box.clientWidth);
    if (width > 0 && String(width) !== figure.dataset.width) redraw(figure, box, chart, width);
  };
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(box); // drawing changes sizes: not while they are told
  window.addEventListener("beforeprint", () => redraw(figure, box, chart, kPrintWidth));
  window.addEventListener("afterprint", fit);
  return fit;
}

/** The section, and what draws it once it is in the page. */
export function chartSection(chart) {
  const heading = element("h2", { id: `${chart.id}-title` }, chart.title);
  const section = element("section", { id: chart.id, "aria-labelledby": `${chart.id}-title` }, heading);
  if (chart.missing) {
    section.append(element("p", { class: "note" }, chart.missing), ...(chart.after ?? []));
    return { section, fit: () => {} };
  }
  const box = element("div", { class: "chart" });
  const figure = element("figure", {}, element("figcaption", {}, chart.summary), chart.legend ?? null, box);
  figure.dataset.marks = 0;
  section.append(figure, ...(chart.after ?? []), details("The figures as a table", chart.table));
  return { section, fit: keepDrawn(figure, box, chart) };
}

/** entries: [css colour, label, shape: undefined (a square) | "dot" | "ring"]. */
export function legend(...entries) {
  const items = entries.map(([colour, label, shape = ""]) => {
    const key = element("span", { class: `key ${shape}`, "aria-hidden": "true" });
    key.style.color = colour;
    return element("li", {}, key, label);
  });
  return element("ul", { class: "legend" }, ...items);
}

/** Which of `values` get a tick so that ticks are at least `least` pixels apart. */
export function sparseTicks(values, pixels, least) {
  const stride = Math.max(1, Math.ceil((values.length * least) / Math.max(pixels, 1)));
  const round = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((step) => step >= stride) ?? stride;
  return values.filter((_, index) => index % round === 0);
}
