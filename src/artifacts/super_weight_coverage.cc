#include "artifacts/super_weight_coverage.h"

#include "artifacts/super_weight_list.h"

namespace tessera {

nlohmann::json to_json(const SuperWeightCoverage& coverage) {
  const auto search = to_json(coverage.search);
  nlohmann::json result = {
      {"method", name_of(coverage.method)},
      {"list", coverage.list.empty() ? nlohmann::json(nullptr) : nlohmann::json(coverage.list.string())},
      {"asked",
       coverage.search.coverage ? nlohmann::json(coverage.search.coverage->asked) : nlohmann::json()},
      {"found", coverage.found},
      {"protected", coverage.protected_places()},
      {"unquantized", coverage.unquantized},
      {"promoted", coverage.promoted},
      {"restored", coverage.restored},
      {"in_blocks", coverage.in_blocks},
      {"promoted_tensors", coverage.promoted_tensors},
      {"sidecar", nullptr},
      {"relative_error",
       coverage.relative_error ? nlohmann::json(*coverage.relative_error) : nlohmann::json()},
      {"coverage", search.at("coverage")},
      {"activation_spikes", search.at("activation_spikes")}};
  if (!coverage.sidecar.empty())
    result["sidecar"] = {{"path", coverage.sidecar.string()}, {"bytes", coverage.sidecar_bytes}};
  return result;
}

}  // namespace tessera
