#include "stages/render_report.h"

#include <algorithm>
#include <cassert>
#include <string_view>

#include "artifacts/embedded_files.h"

namespace tessera::stages {
namespace {

std::string_view page_part(std::string_view name) {
  const auto parts = embedded_report_page();
  const auto found = std::ranges::find(parts, name, &EmbeddedFile::name);
  assert(found != parts.end());
  return found->text;
}

void replace_all(std::string& text, std::string_view old, std::string_view replacement) {
  for (std::size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + replacement.size()))
    text.replace(at, old.size(), replacement);
}

/// JSON has "<" and the two line separators in strings alone, where an escape means the same.
std::string json_for_html(const nlohmann::json& report) {
  std::string text = report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  replace_all(text, "<", "\\u003c");
  replace_all(text, "\u2028", "\\u2028");
  replace_all(text, "\u2029", "\\u2029");
  return text;
}

}  // namespace

std::string render_report(const nlohmann::json& report) {
  std::string_view rest = page_part("page.html");
  std::string page;
  for (std::size_t open = rest.find("{{"); open != std::string_view::npos; open = rest.find("{{")) {
    const std::size_t close = rest.find("}}", open);
    assert(close != std::string_view::npos);
    const std::string_view name = rest.substr(open + 2, close - open - 2);
    page += rest.substr(0, open);
    if (name == "report") {
      page += json_for_html(report);
    } else {
      page += page_part(name);
    }
    rest = rest.substr(close + 2);
  }
  return page.append(rest);
}

}  // namespace tessera::stages
