// The report of a finished run as a page.
#pragma once

#include <filesystem>

namespace tessera::pipeline {

/// Reads the run report `input` (JSON) and writes it as an HTML page to `output`. Throws BadFileError when
/// `input` is no run report, UsageError when `output` is `input` or its folder does not exist, IoError as
/// AtomicFile does.
void write_report_page(const std::filesystem::path& input, const std::filesystem::path& output);

}  // namespace tessera::pipeline
