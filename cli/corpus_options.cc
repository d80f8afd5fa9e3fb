#include "corpus_options.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "foundation/base/error.h"

namespace tessera::cli {
namespace {

/// "FILE=WEIGHT"; a file that is there under the whole text has no weight.
model::CorpusFile parse_file(const std::string& text) {
  const auto equals = text.rfind('=');
  std::error_code unreadable;
  if (equals == std::string::npos || std::filesystem::exists(text, unreadable)) return {.path = text};
  model::CorpusFile file{.path = text.substr(0, equals)};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + equals + 1, end, file.weight);
  if (error != std::errc() || rest != end) {
    throw UsageError(fmt::format("-f '{}': write FILE or FILE=WEIGHT, for example wiki.txt=2", text));
  }
  return file;
}

}  // namespace

void add_corpus_options(CLI::App& command, CorpusOptions& options) {
  auto& settings = options.settings;
  command
      .add_option("-f,--file", options.files,
                  "Text to read: plain, .json or .jsonl; may be repeated, FILE=WEIGHT sets a file's share")
      ->required()
      ->allow_extra_args(false);
  command.add_option("-c,--ctx,--ctx-size", settings.context, "Tokens per window")->capture_default_str();
  command
      .add_option("--samples,--chunks", settings.samples,
                  "Windows to use (128 to 1024 are advised for calibration); 0: all")
      ->capture_default_str();
  command.add_option("--sampling", options.sampling, "consecutive windows from the start, or random ones")
      ->check(CLI::IsMember({"consecutive", "random"}))
      ->capture_default_str();
  command.add_option("--seed", settings.seed, "Seed of random sampling")->capture_default_str();
  command.add_option("--field", settings.field,
                     "Key of a JSON record's text or messages (otherwise text, else messages)");
  command.add_flag("--parse-special", settings.parse_special,
                   "Special tokens spelled in the text become those tokens");
}

model::CorpusSettings corpus_settings(const CorpusOptions& options) {
  auto settings = options.settings;
  settings.sampling =
      options.sampling == "random" ? model::WindowSampling::random : model::WindowSampling::consecutive;
  for (const auto& text : options.files) settings.files.push_back(parse_file(text));
  return settings;
}

}  // namespace tessera::cli
