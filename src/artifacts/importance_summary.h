// What an importance matrix says about every tensor, in a few figures a person can read.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "foundation/formats/imatrix/importance_method.h"
#include "foundation/tensor/element_type.h"

namespace tessera {

/// A column of one matrix of a tensor with the value it has.
struct ColumnValue {
  std::uint64_t expert = 0;  ///< 0 in a dense tensor
  std::uint64_t column = 0;
  double value = 0;

  bool operator==(const ColumnValue&) const = default;
};

/// Figures of one tensor. Columns of experts that calibration never saw are left out of all of them.
struct TensorImportanceSummary {
  std::string name;
  std::uint64_t experts = 0;
  std::uint64_t columns = 0;       ///< of one matrix
  double total = 0;                ///< sum of the mean importance over all columns
  double share = 0;                ///< of the sum of all tensors' totals, 0 to 1
  std::optional<double> entropy;   ///< of the columns' shares over that of equal shares, 0 (one column has
                                   ///< all) to 1 (all alike); empty for a total of 0 or a single column
  std::vector<ColumnValue> top;    ///< columns of the largest mean importance, largest first
  std::uint64_t dead_columns = 0;  ///< columns whose importance is exactly 0
  std::uint64_t least_count = 0;   ///< tokens of the expert that saw fewest
  std::uint64_t most_count = 0;    ///< tokens of the expert that saw most
  std::vector<std::uint64_t> unseen_experts;
  std::optional<ColumnValue> maximum;  ///< largest |activation|; empty when the file has none
  std::optional<double> sensitivity;   ///< as the file has it
  std::optional<ElementType> fisher;   ///< type of the per-weight Fisher diagonal, where there is one
};

struct ImportanceSummary {
  imatrix::ImportanceMethod method = imatrix::ImportanceMethod::activation;
  std::vector<TensorImportanceSummary> tensors;  ///< by name
};

nlohmann::json to_json(const ImportanceSummary& summary);

}  // namespace tessera
