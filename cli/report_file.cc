#include "report_file.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <span>
#include <utility>

#include "foundation/base/atomic_file.h"
#include "stages/render_report.h"

namespace tessera::cli {
namespace {

void date(nlohmann::json& report) {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  report["created"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

}  // namespace

std::string report_text(nlohmann::json report) {
  date(report);
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void write_report(nlohmann::json report, const std::filesystem::path& path) {
  std::string text;
  if (path.extension() == ".html") {
    date(report);
    text = stages::render_report(report);
  } else {
    text = report_text(std::move(report));
  }
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace tessera::cli
