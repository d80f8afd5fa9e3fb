#include "foundation/codecs/protected_block.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <vector>

namespace tessera::codecs {
namespace {

/// How far protected weights are drawn in, in units of the largest other one.
constexpr std::array kReaches = {std::numeric_limits<float>::infinity(), 8.0f, 4.0f, 2.0f, 1.0f};

class Candidates {
 public:
  Candidates(const EncodeFunction& encode, const Codec& codec, const ProtectedBlock& input,
             std::span<std::byte> block)
      : encode_(encode), codec_(codec), input_(input), best_(block), factors_(input.weights.size(), 1.0f) {
    const auto count = input.weights.size();
    importance_.assign(input.importance.begin(), input.importance.end());
    // As the encoders take it: without any, all columns count the same.
    if (std::ranges::all_of(importance_, [](float value) { return value == 0; }))
      importance_.assign(count, 1);
    set_factors();
    draw_in();
    decoded_.resize(rows_.size());
    blocks_.resize(rows_.size() / count * block.size());
    least_error_ = error_of(block);
  }

  void choose() {
    for (const float power : {0.0f, 0.5f, 1.0f}) try_raised(power);
  }

 private:
  void set_factors() {
    std::vector<bool> is_protected(factors_.size());
    for (const auto& weight : input_.protected_columns) is_protected[weight.column] = true;
    double energy = 0;
    std::size_t others = 0;
    for (std::size_t i = 0; i < factors_.size(); ++i) {
      if (is_protected[i]) continue;
      energy += energy_of(i);
      largest_other_ = std::max(largest_other_, std::abs(input_.weights[i]));
      ++others;
    }
    const double mean = others == 0 ? 0 : energy / static_cast<double>(others);
    for (const auto& [column, restored] : input_.protected_columns) {
      const double raise =
          mean > 0 ? std::clamp(std::sqrt(energy_of(column) / mean), 1.0, kLargestRaise) : 1.0;
      factors_[column] = restored ? 0.0f : static_cast<float>(raise);
    }
  }

  double energy_of(std::size_t column) const {
    const double weight = input_.weights[column];
    return importance_[column] * weight * weight;
  }

  /// The rows to encode: one for every reach that changes something.
  void draw_in() {
    for (const float reach : kReaches) {
      std::vector<float> row(input_.weights.begin(), input_.weights.end());
      for (const auto& [column, restored] : input_.protected_columns) {
        const float limit = reach * largest_other_;
        if (!std::isnan(limit)) row[column] = std::clamp(row[column], -limit, limit);
      }
      const bool is_new = rows_.empty() || !std::ranges::equal(row, std::span(rows_).last(row.size()));
      if (is_new) rows_.insert(rows_.end(), row.begin(), row.end());
    }
  }

  void try_raised(float power) {
    const std::size_t count = input_.weights.size();
    std::vector<float> raised(count);
    for (std::size_t i = 0; i < count; ++i) raised[i] = importance_[i] * std::pow(factors_[i], power);
    encode_({rows_, count, raised}, blocks_);
    const std::span<const std::byte> all(blocks_);
    for (std::size_t first = 0; first < blocks_.size(); first += best_.size()) {
      const auto candidate = all.subspan(first, best_.size());
      const double error = error_of(candidate);
      if (!(error < least_error_)) continue;
      least_error_ = error;
      std::ranges::copy(candidate, best_.begin());
    }
  }

  double error_of(std::span<const std::byte> candidate) {
    const auto decoded = std::span(decoded_).first(input_.weights.size());
    codec_.decode(candidate, decoded);
    double error = 0;
    for (std::size_t i = 0; i < decoded.size(); ++i) {
      const double difference = double{input_.weights[i]} - double{decoded[i]};
      error += double{importance_[i]} * factors_[i] * difference * difference;
    }
    return error;
  }

  const EncodeFunction& encode_;
  const Codec& codec_;
  const ProtectedBlock& input_;
  std::span<std::byte> best_;
  std::vector<float> factors_;     ///< by column
  std::vector<float> importance_;  ///< by column
  float largest_other_ = 0;
  std::vector<float> rows_;  ///< [reaches, columns]
  std::vector<std::byte> blocks_;
  std::vector<float> decoded_;
  double least_error_ = 0;
};

}  // namespace

void protect_block(const EncodeFunction& encode, const Codec& codec, const ProtectedBlock& input,
                   std::span<std::byte> block) {
  assert(input.weights.size() == info(codec.type()).block_weights);
  assert(block.size() == info(codec.type()).block_bytes);
  Candidates(encode, codec, input, block).choose();
}

}  // namespace tessera::codecs
