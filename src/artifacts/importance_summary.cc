#include "artifacts/importance_summary.h"

namespace tessera {
namespace {

using nlohmann::json;

json to_json(const ColumnValue& column) {
  return {{"expert", column.expert}, {"column", column.column}, {"value", column.value}};
}

json to_json(const TensorImportanceSummary& tensor) {
  json row = {{"name", tensor.name},
              {"experts", tensor.experts},
              {"columns", tensor.columns},
              {"total", tensor.total},
              {"share", tensor.share},
              {"entropy", nullptr},
              {"top", json::array()},
              {"dead_columns", tensor.dead_columns},
              {"least_count", tensor.least_count},
              {"most_count", tensor.most_count},
              {"unseen_experts", tensor.unseen_experts}};
  if (tensor.entropy) row["entropy"] = *tensor.entropy;
  for (const auto& column : tensor.top) row["top"].push_back(to_json(column));
  if (tensor.maximum) row["maximum"] = to_json(*tensor.maximum);
  if (tensor.sensitivity) row["sensitivity"] = *tensor.sensitivity;
  if (tensor.fisher) row["fisher"] = name_of(*tensor.fisher);
  return row;
}

}  // namespace

json to_json(const ImportanceSummary& summary) {
  json tensors = json::array();
  for (const auto& tensor : summary.tensors) tensors.push_back(to_json(tensor));
  return {{"method", name_of(summary.method)}, {"tensors", std::move(tensors)}};
}

}  // namespace tessera
