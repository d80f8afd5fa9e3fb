// Bundles the report page's script with the charting library, and collects the licences of all that went in.
//
//   node build.mjs OUTPUT_DIR
//
// OUTPUT_DIR holds node_modules (npm ci) and receives page.js, a classic script that needs nothing else, and
// licences.txt. Packages are looked up there and not beside this file, so that nothing is written into the sources.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const output = path.resolve(process.argv[2]);
const sources = path.dirname(fileURLToPath(import.meta.url));
const esbuild = createRequire(path.join(output, "package.json"))("esbuild");

const result = esbuild.buildSync({
  entryPoints: [path.join(sources, "page.js")],
  outfile: path.join(output, "page.js"),
  absWorkingDir: output,
  nodePaths: [path.join(output, "node_modules")],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  legalComments: "none", // the whole licences are kept instead
  metafile: true,
});

/** The folder of the package that a bundled file belongs to, or null for our own. */
function packageOf(file) {
  return /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? null;
}

function licenceOf(folder) {
  const about = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
  const name = fs.readdirSync(folder).find((file) => /^(licen[cs]e|copying)/i.test(file));
  if (!name) throw new Error(`${about.name} has no licence file`);
  const text = fs.readFileSync(path.join(folder, name), "utf8").trim();
  return { about: `${about.name} ${about.version}`, text };
}

// Most packages carry the same text word for word: each text once, under the names of its packages.
const packagesOfText = new Map();
for (const folder of new Set(Object.keys(result.metafile.inputs).map(packageOf).filter(Boolean).sort())) {
  const { about, text } = licenceOf(path.join(output, folder));
  packagesOfText.set(text, [...(packagesOfText.get(text) ?? []), about]);
}
const sections = [...packagesOfText].map(([text, packages]) => `${packages.join(", ")}\n\n${text}\n`);
// Nothing in it may end the comment that it stands in.
fs.writeFileSync(path.join(output, "licences.txt"), sections.join("\n----\n\n").replaceAll("--", "- -"));
