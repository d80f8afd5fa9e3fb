#include "pipeline/report_page.h"

#include <span>
#include <string>

#include "artifacts/run_report_fields.h"
#include "foundation/base/atomic_file.h"
#include "foundation/formats/json/json_object.h"
#include "foundation/formats/json/strict_json.h"
#include "pipeline/output_guard.h"
#include "stages/render_report.h"

namespace tessera::pipeline {

void write_report_page(const std::filesystem::path& input, const std::filesystem::path& output) {
  refuse_writing_over_inputs({output}, {input});
  const std::string text = json::read_text_file(input);
  const auto report = parse_json(std::as_bytes(std::span(text)), input.string());
  check_run_report(report, input.string());
  const std::string page = stages::render_report(report);
  write_file_atomically(output, std::as_bytes(std::span(page)));
}

}  // namespace tessera::pipeline
