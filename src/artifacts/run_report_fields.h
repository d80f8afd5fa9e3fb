// What a run report must have so that a page can be made of it: the fields of docs/run-report.schema.json
// that are shown, with their types. Further fields are allowed anywhere.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tessera {

/// Throws BadFileError, naming `file` and the first field that is missing or of the wrong type with its
/// place, e.g. plan.tensors[3].name.
void check_run_report(const nlohmann::json& report, const std::string& file);

}  // namespace tessera
