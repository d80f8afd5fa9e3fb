// The report of a run as --report and --json give it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace tessera::cli {

/// `report` with the time of now as "created", as text. Names in it come from files and may be no valid
/// UTF-8; such bytes are replaced.
std::string report_text(nlohmann::json report);

/// Writes the same: a page when the name ends in .html, else JSON. Throws UsageError or IoError.
void write_report(nlohmann::json report, const std::filesystem::path& path);

}  // namespace tessera::cli
