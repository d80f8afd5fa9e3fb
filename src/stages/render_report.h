// A run report as one HTML page that needs nothing else: tables, charts, and the script that draws them, with
// the report itself inside as JSON (docs/report.md).
//
// The page is report/page.html with its {{NAME}} replaced once, from the start to the end: by the style
// sheet, by the script that report/build.mjs bundles, by the licences of what is in it, and by the report.
// The JSON stands in a <script> element that browsers do not run; "<" is written \u003c there, so that no
// text in it can end the element.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tessera::stages {

/// `report` follows docs/run-report.schema.json, or docs/smoothquant-report.schema.json where its "kind" is
/// "smoothquant"; check_run_report tells. Numbers that are not finite become null, bytes that are no UTF-8
/// are replaced.
std::string render_report(const nlohmann::json& report);

}  // namespace tessera::stages
