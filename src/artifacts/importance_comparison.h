// How far two importance matrices agree, tensor by tensor: how stable importance is across calibration texts.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "foundation/formats/imatrix/importance_method.h"

namespace tessera {

/// Agreement of the mean importance of all columns of one tensor, experts that either matrix never saw left
/// out.
struct TensorAgreement {
  std::string name;
  std::uint64_t compared_columns = 0;
  /// 1 when the importance is the same up to a factor, 0 when no column matters to both; empty when either is
  /// zero everywhere.
  std::optional<double> cosine;
  /// Spearman's rank correlation, ties given their mean rank, -1 to 1; empty when either has the same value
  /// everywhere.
  std::optional<double> rank_correlation;
};

/// Of one measure over the tensors that have it.
struct AgreementRange {
  std::string worst_tensor;
  double worst = 1;
  double mean = 1;
};

struct ImportanceComparison {
  imatrix::ImportanceMethod first_method = imatrix::ImportanceMethod::activation;
  imatrix::ImportanceMethod second_method = imatrix::ImportanceMethod::activation;
  std::vector<TensorAgreement> tensors;  ///< in both, by name
  std::vector<std::string> only_in_first;
  std::vector<std::string> only_in_second;

  /// Empty when no tensor has the measure.
  std::optional<AgreementRange> cosine_range() const;
  std::optional<AgreementRange> rank_correlation_range() const;
};

nlohmann::json to_json(const ImportanceComparison& comparison);

}  // namespace tessera
