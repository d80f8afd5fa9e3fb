// The report page: reads the run report (docs/run-report.schema.json) that stands in the page and builds everything.
import { bitsChart } from "./bits_chart.js";
import { chartSection } from "./chart.js";
import { divergenceChart } from "./divergence_chart.js";
import { element } from "./dom.js";
import { errorChart } from "./error_chart.js";
import { sensitivityChart } from "./sensitivity_chart.js";
import { sizeChart } from "./size_chart.js";
import { keyFigures, provenanceSection, settingsSection, tensorsSection, timesSection } from "./tables.js";

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
  const charts = [sizeChart, bitsChart, errorChart, divergenceChart, sensitivityChart].map((chart) => chartSection(chart(report)));
  const [size, bits, errors, divergence, sensitivity] = charts.map((chart) => chart.section);
  document.getElementById("page").append(
    element("header", {},
      element("h1", {}, name),
      element("p", { class: "subtitle" }, `Quantized model, ${made.filter(Boolean).join(" ")}`)),
    keyFigures(report),
    size,
    bits,
    element("div", { class: "columns" }, errors, divergence),
    sensitivity,
    element("div", { class: "columns" }, settingsSection(report), timesSection(report)),
    provenanceSection(report),
    tensorsSection(report));
  for (const chart of charts) chart.fit();
}

build(JSON.parse(document.getElementById("run-report").textContent));
openDetailsForPrint();
