// The report page: reads the run report that stands in the page and builds everything.
import { element } from "./dom.js";
import { quantizePage } from "./quantize_page.js";
import { smoothquantPage } from "./smoothquant_page.js";

/** On paper everything is open; afterwards it is as the reader had it. */
function openDetailsForPrint() {
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
}

function build(report) {
  const name = report.model.split("/").filter(Boolean).pop() ?? report.model;
  document.title = `${name}: Tessera report`;
  const made = [report.created ? `made ${report.created}` : null, `by Tessera ${report.tessera_version}`, `from ${report.model}`];
  const page = report.kind === "smoothquant" ? smoothquantPage(report) : quantizePage(report);
  document.getElementById("page").append(
    element("header", {},
      element("h1", {}, name),
      element("p", { class: "subtitle" }, `${page.what}, ${made.filter(Boolean).join(" ")}`)),
    ...page.sections);
  for (const chart of page.charts) chart.fit();
}

build(JSON.parse(document.getElementById("run-report").textContent));
openDetailsForPrint();
