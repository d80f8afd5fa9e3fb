#include "artifacts/importance_comparison.h"

namespace tessera {
namespace {

using nlohmann::json;

std::optional<AgreementRange> range_of(const std::vector<TensorAgreement>& tensors,
                                       std::optional<double> TensorAgreement::*measure) {
  std::optional<AgreementRange> range;
  double sum = 0;
  std::size_t count = 0;
  for (const auto& tensor : tensors) {
    const auto& value = tensor.*measure;
    if (!value) continue;
    sum += *value;
    ++count;
    if (!range || *value < range->worst) range = AgreementRange{tensor.name, *value, 0};
  }
  if (range) range->mean = sum / static_cast<double>(count);
  return range;
}

json value_or_null(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

json to_json(const std::optional<AgreementRange>& range) {
  if (!range) return nullptr;
  return {{"worst", range->worst}, {"worst_tensor", range->worst_tensor}, {"mean", range->mean}};
}

}  // namespace

std::optional<AgreementRange> ImportanceComparison::cosine_range() const {
  return range_of(tensors, &TensorAgreement::cosine);
}

std::optional<AgreementRange> ImportanceComparison::rank_correlation_range() const {
  return range_of(tensors, &TensorAgreement::rank_correlation);
}

json to_json(const ImportanceComparison& comparison) {
  json tensors = json::array();
  for (const auto& tensor : comparison.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"compared_columns", tensor.compared_columns},
                       {"cosine", value_or_null(tensor.cosine)},
                       {"rank_correlation", value_or_null(tensor.rank_correlation)}});
  }
  return {{"methods", {name_of(comparison.first_method), name_of(comparison.second_method)}},
          {"tensors", std::move(tensors)},
          {"only_in_first", comparison.only_in_first},
          {"only_in_second", comparison.only_in_second},
          {"cosine", to_json(comparison.cosine_range())},
          {"rank_correlation", to_json(comparison.rank_correlation_range())}};
}

}  // namespace tessera
