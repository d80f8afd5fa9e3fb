// What a run report must have so that a page can be made of it, for each kind of run: the fields of
// docs/run-report.schema.json and docs/smoothquant-report.schema.json that are shown, with their types.
// Further fields are allowed anywhere.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tessera {

/// A report without "kind" is that of a quantization run. Throws BadFileError, naming `file` and the first
/// field that is missing or of the wrong type with its place, e.g. plan.tensors[3].name, or a kind that has
/// no page.
void check_run_report(const nlohmann::json& report, const std::string& file);

}  // namespace tessera
