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

bool is_exempt(const PlannedTensor& tensor) {
  return tensor.place.role == model::TensorRole::token_embedding ||
         tensor.place.role == model::TensorRole::output;
}

std::optional<TensorImportance> match(const PlannedTensor& tensor, const imatrix::ImatrixFile& matrix,
                                      const std::string& file) {
  const auto found = matrix.entries.find(tensor.source.name);
  if (found == matrix.entries.end()) return std::nullopt;
  const auto matrices = matrix_count(tensor.source);
  if (auto entry = found->second.fitted_to(matrices, tensor.source.columns()))
    return TensorImportance{std::move(*entry)};
  if (tensor.place.role == model::TensorRole::token_embedding) return std::nullopt;
  throw BadFileError(
      {.file = file, .tensor = tensor.source.name},
      fmt::format("the entry has {} values, but the tensor needs {} ({} columns, {} {}); this importance "
                  "matrix was made for another model",
                  found->second.sums.size(), tensor.source.columns() * matrices, tensor.source.columns(),
                  matrices, matrices == 1 ? "matrix" : "matrices"));
}

void warn_of_unseen_experts(const PlannedTensor& tensor, const TensorImportance& importance,
                            ProgressObserver& progress) {
  const auto unseen = importance.unseen_experts();
  if (unseen.empty()) return;
  progress.warn(fmt::format("{}: calibration never reached expert{} {}; all their columns count the same",
                            printable(tensor.source.name), unseen.size() == 1 ? "" : "s",
                            fmt::join(unseen, ", ")));
}

}  // namespace

PlanImportance match_importance(const QuantPlan& plan, const imatrix::ImatrixFile& matrix,
                                const std::string& file, ProgressObserver& progress) {
  PlanImportance result;
  result.origin = ImportanceOrigin{file, matrix.datasets, matrix.chunk_count,
                                   static_cast<std::uint32_t>(matrix.entries.size())};
  bool any = false;
  bool any_needed = false;
  for (const auto& tensor : plan.tensors) {
    auto& importance = result.tensors.emplace_back();
    if (tensor.is_copied()) continue;
    importance = match(tensor, matrix, file);
    any_needed = any_needed || !is_exempt(tensor);
    any = any || importance.has_value();
    if (importance) warn_of_unseen_experts(tensor, *importance, progress);
  }
  if (any_needed && !any) {
    throw BadFileError({.file = file},
                       "none of its entries names a tensor of this model; it was made for another one");
  }
  return result;
}

void require_importance(const QuantPlan& plan, const PlanImportance& importance,
                        std::optional<ElementType> recipe_insists) {
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    const auto& tensor = plan.tensors[i];
    const bool insists =
        info(tensor.target).demand == ImportanceDemand::required || tensor.target == recipe_insists;
    if (!insists || tensor.is_copied() || is_exempt(tensor)) continue;
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
