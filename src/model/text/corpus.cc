#include "model/text/corpus.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "foundation/base/error.h"
#include "model/text/corpus_text.h"
#include "model/text/window_sampling.h"

namespace tessera::model {
namespace {

constexpr std::uint32_t kLeastContext = 2;

void check(const CorpusSettings& settings) {
  if (settings.files.empty()) throw UsageError("no data file is given");
  for (const CorpusFile& file : settings.files) {
    if (!std::isfinite(file.weight) || file.weight <= 0) {
      throw UsageError(
          fmt::format("the weight {} of {} is not a number above 0", file.weight, file.path.string()));
    }
  }
  if (settings.context < kLeastContext) {
    throw UsageError(
        fmt::format("a context of {} tokens is too small: the least is {}", settings.context, kLeastContext));
  }
}

std::vector<TokenId> read_tokens(const CorpusFile& file, const CorpusSettings& settings,
                                 const Tokenizer& tokenizer) {
  const std::string text = read_corpus_text(file.path, settings.field);
  if (text.empty()) throw BadFileError({.file = file.path.string()}, "there is no text in this file");
  return tokenizer.encode(text, {.add_special = true, .parse_special = settings.parse_special});
}

std::vector<std::vector<TokenId>> read_all(const CorpusSettings& settings, const Tokenizer& tokenizer,
                                           ProgressObserver& progress) {
  std::vector<std::uint64_t> bytes;
  for (const CorpusFile& file : settings.files) {
    std::error_code unreadable;  // reading the file will say it
    const auto size = std::filesystem::file_size(file.path, unreadable);
    bytes.push_back(unreadable ? 0 : size);
  }
  progress.begin("tokenize", std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}));
  std::vector<std::vector<TokenId>> texts;
  std::uint64_t done = 0;
  for (std::size_t i = 0; i < settings.files.size(); ++i) {
    texts.push_back(read_tokens(settings.files[i], settings, tokenizer));
    done += bytes[i];
    progress.advance(done);
  }
  progress.end();
  return texts;
}

void warn_of_shortage(const CorpusSettings& settings, const std::vector<std::uint64_t>& available,
                      const std::vector<std::uint64_t>& wanted, ProgressObserver& progress) {
  for (std::size_t i = 0; i < available.size(); ++i) {
    if (wanted[i] <= available[i]) continue;
    progress.warn(fmt::format("{} holds {} windows, {} would be its share: the other files make up for it",
                              settings.files[i].path.string(), available[i], wanted[i]));
  }
}

/// What is to be taken from each file.
std::vector<std::uint64_t> shares(const CorpusSettings& settings, const std::vector<std::uint64_t>& available,
                                  std::uint64_t total, ProgressObserver& progress) {
  if (settings.samples == 0 || settings.samples >= total) return available;
  std::vector<double> weights;
  for (const CorpusFile& file : settings.files) weights.push_back(file.weight);
  const std::vector<std::uint64_t> enough(available.size(), settings.samples);
  warn_of_shortage(settings, available, windows_per_file(weights, enough, settings.samples), progress);
  return windows_per_file(weights, available, settings.samples);
}

std::vector<std::uint64_t> chosen(const CorpusSettings& settings, std::uint64_t available,
                                  std::uint64_t count, std::size_t file) {
  // Files of one run draw from different streams.
  if (settings.sampling == WindowSampling::random)
    return draw_ascending(available, count, settings.seed + file);
  std::vector<std::uint64_t> first(count);
  std::iota(first.begin(), first.end(), std::uint64_t{0});
  return first;
}

}  // namespace

TokenWindows read_windows(const CorpusSettings& settings, const Tokenizer& tokenizer,
                          ProgressObserver& progress) {
  check(settings);
  const auto texts = read_all(settings, tokenizer, progress);
  TokenWindows windows{.context = settings.context};
  std::vector<std::uint64_t> available;
  for (const auto& text : texts) available.push_back(text.size() / settings.context);
  windows.available = std::accumulate(available.begin(), available.end(), std::uint64_t{0});
  for (const CorpusFile& file : settings.files) windows.datasets.push_back(file.path.string());
  if (windows.available == 0) {
    std::size_t most = 0;
    for (const auto& text : texts) most = std::max(most, text.size());
    throw BadFileError(
        {.file = fmt::format("{}", fmt::join(windows.datasets, ", "))},
        fmt::format("the text has {} tokens, but a window of this context needs {}: give more text or a "
                    "smaller context",
                    most, settings.context));
  }
  if (settings.samples > windows.available) {
    progress.warn(
        fmt::format("{} windows of {} tokens were asked for, but the data hold {}: all of them are used",
                    settings.samples, settings.context, windows.available));
  }
  const auto counts = shares(settings, available, windows.available, progress);
  for (std::size_t file = 0; file < texts.size(); ++file) {
    for (const std::uint64_t window : chosen(settings, available[file], counts[file], file)) {
      const auto tokens = std::span(texts[file]).subspan(window * settings.context, settings.context);
      windows.tokens.insert(windows.tokens.end(), tokens.begin(), tokens.end());
      if (tokenizer.adds_bos()) windows.tokens[windows.tokens.size() - settings.context] = *tokenizer.bos();
    }
  }
  return windows;
}

}  // namespace tessera::model
