#include "stages/match_importance.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera::stages {
namespace {

/// Matrices stacked in one tensor.
std::uint64_t matrix_count(const TensorDescriptor& tensor) {
  return tensor.rows() / tensor.rows_per_matrix();
}

bool is_exempt(const TensorDescriptor& tensor) {
  const auto role = model::place_of(tensor.name).role;
  return role == model::TensorRole::token_embedding || role == model::TensorRole::output;
}

std::optional<TensorImportance> match(const TensorDescriptor& tensor, const imatrix::ImatrixFile& matrix,
                                      const std::string& file) {
  const auto found = matrix.entries.find(tensor.name);
  if (found == matrix.entries.end()) return std::nullopt;
  const auto matrices = matrix_count(tensor);
  if (auto entry = found->second.fitted_to(matrices, tensor.columns()))
    return TensorImportance{std::move(*entry)};
  if (model::place_of(tensor.name).role == model::TensorRole::token_embedding) return std::nullopt;
  throw BadFileError(
      {.file = file, .tensor = tensor.name},
      fmt::format("the entry has {} values, but the tensor needs {} ({} columns, {} {}); this importance "
                  "matrix was made for another model",
                  found->second.sums.size(), tensor.columns() * matrices, tensor.columns(), matrices,
                  matrices == 1 ? "matrix" : "matrices"));
}

void warn_of_unseen_experts(const TensorDescriptor& tensor, const TensorImportance& importance,
                            ProgressObserver& progress) {
  const auto unseen = importance.unseen_experts();
  if (unseen.empty()) return;
  progress.warn(fmt::format("{}: calibration never reached expert{} {}; all their columns count the same",
                            printable(tensor.name), unseen.size() == 1 ? "" : "s", fmt::join(unseen, ", ")));
}

}  // namespace

PlanImportance match_importance(std::span<const TensorDescriptor> tensors, const std::vector<bool>& wanted,
                                const imatrix::ImatrixFile& matrix, const std::string& file,
                                ProgressObserver& progress) {
  PlanImportance result;
  result.origin = ImportanceOrigin{file, matrix.datasets, matrix.chunk_count,
                                   static_cast<std::uint32_t>(matrix.entries.size())};
  bool any = false;
  bool any_needed = false;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    auto& importance = result.tensors.emplace_back();
    if (!wanted[i]) continue;
    importance = match(tensors[i], matrix, file);
    any_needed = any_needed || !is_exempt(tensors[i]);
    any = any || importance.has_value();
    if (importance) warn_of_unseen_experts(tensors[i], *importance, progress);
  }
  if (any_needed && !any) {
    throw BadFileError({.file = file},
                       "none of its entries names a tensor of this model; it was made for another one");
  }
  return result;
}

PlanImportance match_importance(const QuantPlan& plan, const imatrix::ImatrixFile& matrix,
                                const std::string& file, ProgressObserver& progress) {
  std::vector<TensorDescriptor> tensors;
  std::vector<bool> encoded;
  for (const auto& tensor : plan.tensors) {
    tensors.push_back(tensor.source);
    encoded.push_back(!tensor.is_copied());
  }
  return match_importance(tensors, encoded, matrix, file, progress);
}

void require_importance(const QuantPlan& plan, const PlanImportance& importance,
                        std::optional<ElementType> recipe_insists) {
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    const auto& tensor = plan.tensors[i];
    const bool insists =
        info(tensor.target).demand == ImportanceDemand::required || tensor.target == recipe_insists;
    if (!insists || tensor.is_copied() || is_exempt(tensor.source)) continue;
    if (!importance.origin) {
      throw UsageError(fmt::format(
          "{} is unusable without an importance matrix (tensor '{}'): make one from text with "
          "'tessera imatrix MODEL -f text.txt -o imatrix.gguf' and give it with --imatrix imatrix.gguf",
          name_of(tensor.target), printable(tensor.source.name)));
    }
    if (!importance.tensors[i]) {
      throw BadFileError(
          {.file = importance.origin->file, .tensor = tensor.source.name},
          fmt::format("no entry for this tensor, but {} is unusable without one; make the importance "
                      "matrix from more text, or choose another type with --tensor-type",
                      name_of(tensor.target)));
    }
  }
}

}  // namespace tessera::stages
