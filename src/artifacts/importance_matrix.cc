#include "artifacts/importance_matrix.h"

namespace tessera {

imatrix::ImatrixFile to_importance_file(const PlanImportance& importance, const QuantPlan& plan) {
  imatrix::ImatrixFile file;
  if (importance.origin) {
    file.datasets = importance.origin->datasets;
    file.chunk_count = importance.origin->chunk_count;
  }
  for (std::size_t i = 0; i < importance.tensors.size(); ++i) {
    if (importance.tensors[i]) file.entries[plan.tensors[i].source.name] = importance.tensors[i]->entry;
  }
  return file;
}

}  // namespace tessera
