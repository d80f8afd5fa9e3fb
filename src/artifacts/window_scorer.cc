#include "artifacts/window_scorer.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/kernels/logit_statistics.h"

namespace tessera {
namespace {

/// Where a row stands, for messages.
struct RowPlace {
  std::size_t window;
  std::size_t position;
};

void require_finite(const kernels::LogitStatistics& row, const std::string& model, const RowPlace& place) {
  if (std::isfinite(row.log_sum_exp)) return;
  throw BadFileError(
      {.file = model},
      fmt::format("its logits at position {} of window {} are not finite; the weights are damaged or too "
                  "large for the precision of this run",
                  place.position, place.window));
}

TokenScore score_row(std::span<const float> logits, std::size_t target, const ScoringSettings& settings,
                     const RowPlace& place) {
  const auto row = kernels::logit_statistics(logits, target);
  require_finite(row, settings.original, place);
  return {.original_log_probability = static_cast<float>(row.target_log_probability)};
}

TokenScore score_pair(std::span<const float> original, std::span<const float> quantized, std::size_t target,
                      const ScoringSettings& settings, const RowPlace& place) {
  const auto pair = kernels::compare_logits(original, quantized, target);
  require_finite(pair.original, settings.original, place);
  require_finite(pair.quantized, settings.quantized, place);
  return {.original_log_probability = static_cast<float>(pair.original.target_log_probability),
          .quantized_log_probability = static_cast<float>(pair.quantized.target_log_probability),
          .kl_divergence = static_cast<float>(pair.kl_divergence),
          .same_top = pair.original.top == pair.quantized.top};
}

}  // namespace

WindowScorer::WindowScorer(ScoringSettings settings)
    : settings_(std::move(settings)), scores_(settings_.windows * (end_position() - first_position())) {
  assert(settings_.windows > 0 && settings_.context >= 3);
}

void WindowScorer::add_rows(const WindowRows& rows) {
  const std::size_t count = rows.targets.size();
  assert(rows.window < settings_.windows && count > 0);
  assert(rows.first_position >= first_position() && rows.first_position + count <= end_position());
  assert(rows.original.size() % count == 0);
  assert(rows.quantized.empty() || rows.quantized.size() == rows.original.size());
  const std::size_t vocabulary = rows.original.size() / count;
  const std::size_t scored = end_position() - first_position();
  const std::size_t first_score = rows.window * scored + rows.first_position - first_position();
  for (std::size_t row = 0; row < count; ++row) {
    const RowPlace place = {rows.window, rows.first_position + row};
    const auto target = static_cast<std::size_t>(rows.targets[row]);
    const auto original = rows.original.subspan(row * vocabulary, vocabulary);
    scores_[first_score + row] =
        rows.quantized.empty() ? score_row(original, target, settings_, place)
                               : score_pair(original, rows.quantized.subspan(row * vocabulary, vocabulary),
                                            target, settings_, place);
  }
}

}  // namespace tessera
