#include "pipeline/feedback_shares.h"

#include <cstring>

namespace tessera::pipeline {

FeedbackShares all_plain_shares(std::span<const TensorCandidates> candidates) {
  FeedbackShares shares;
  for (const auto& candidate : candidates) shares.emplace_back(candidate.types.size(), 1.0);
  return shares;
}

std::vector<double> flat_shares(const FeedbackShares& shares) {
  std::vector<double> values;
  for (const auto& of_tensor : shares) values.insert(values.end(), of_tensor.begin(), of_tensor.end());
  return values;
}

bool fill_shares(std::span<const std::byte> bytes, FeedbackShares& shares) {
  std::size_t size = 0;
  for (const auto& of_tensor : shares) size += of_tensor.size() * sizeof(double);
  if (bytes.size() != size) return false;
  for (auto& of_tensor : shares) {
    if (of_tensor.empty()) continue;
    std::memcpy(of_tensor.data(), bytes.data(), of_tensor.size() * sizeof(double));
    bytes = bytes.subspan(of_tensor.size() * sizeof(double));
  }
  return true;
}

}  // namespace tessera::pipeline
