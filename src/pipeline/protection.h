// Protecting super weights in a quantization: what is decided before the plan, what of the plan changes, how
// blocks are encoded, and what is written beside the output.
//
//   method     decided first             then
//   block      crowded tensors           those are promoted, in the others blocks with super weights are
//                                        encoded with care
//   tensor     tensors to promote        those are promoted
//   sidecar    weights to restore        blocks are encoded as if those weights were not there; afterwards
//                                        the sidecar is written
//
// What a method does not reach is encoded as always. A dynamic plan pays for promoted tensors and the sidecar
// from the size it is given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/quant_config.h"
#include "artifacts/quant_plan.h"
#include "artifacts/sidecar.h"
#include "artifacts/super_weight.h"
#include "artifacts/super_weight_coverage.h"
#include "artifacts/weight_protection.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "model/source/open_model.h"
#include "pipeline/super_weights.h"
#include "stages/plan_sidecar.h"
#include "stages/promote_tensors.h"

namespace tessera::pipeline {

struct ProtectionSettings {
  ProtectionMethod method = ProtectionMethod::block;
  std::optional<std::filesystem::path> list = std::nullopt;  ///< found before; empty: found in the run
  /// For finding them. Without texts spikes are not looked for unless they alone are.
  SuperWeightSettings find = {};
  stages::PromotionSettings promotion = {};
  stages::SidecarSettings sidecar = {};
};

/// Where the sidecar of an output goes: OUT.gguf has OUT.sidecar.gguf.
std::filesystem::path sidecar_path(const std::filesystem::path& output);

/// Reads the list, or finds the weights. `imatrix` as the run has it. Throws as read_super_weights and
/// find_super_weights.
SuperWeightList list_to_protect(const ProtectionSettings& settings, const TextWalkJob& walks,
                                const std::optional<std::filesystem::path>& imatrix,
                                ProgressObserver& progress, const StopFlag& stop);

class Protection {
 public:
  /// Refers to settings and model. Throws BadFileError when the list is of another model.
  Protection(const ProtectionSettings& settings, SuperWeightList list, const model::OpenedModel& model,
             std::filesystem::path output);

  /// Pins the tensors to promote, but for those that the policy keeps at as many bits.
  void add_rules(QuantPolicy& policy) const;
  /// What the output has to leave room for.
  std::uint64_t sidecar_bytes() const;
  /// Why nothing is protected though it was asked, for a warning; empty: something is.
  std::string shortfall() const;
  /// Of the output's metadata: what is protected, as JSON; the same for every plan. Empty where nothing is.
  std::string metadata_text() const;
  /// Everything that decides the bytes of the output, beside the plan.
  std::string fingerprint_text() const;

  /// Promotes tensors where the plan has not done so.
  void change_plan(QuantPlan& plan);
  /// Of a plan that was changed. Nothing for the tensors of `otherwise`, which are not encoded block by
  /// block.
  PlanProtection blocks_of(const QuantPlan& plan, const std::vector<bool>& otherwise) const;
  /// What a dry run knows.
  SuperWeightCoverage coverage_of(const QuantPlan& plan, const PlanProtection& blocks) const;
  /// Reads the output, which is `files`, writes the sidecar where there is one to write, and completes the
  /// coverage. Throws BadFileError, IoError, InterruptedError.
  void finish(const std::vector<std::filesystem::path>& files, int threads, SuperWeightCoverage& coverage,
              ProgressObserver& progress, const StopFlag& stop);

 private:
  struct Place {
    std::size_t tensor = 0;
    std::uint64_t row = 0;
    std::uint64_t column = 0;
    float value = 0;

    auto key() const { return std::tuple(tensor, row, column); }
  };

  bool is_restored(const Place& place) const;

  const ProtectionSettings& settings_;
  SuperWeightList list_;
  const model::OpenedModel& model_;
  std::filesystem::path output_;
  std::vector<Place> places_;            ///< in order, each once
  std::vector<std::size_t> to_promote_;  ///< tensors
  std::vector<std::size_t> promoted_;    ///< of the plan
  Sidecar sidecar_;
};

}  // namespace tessera::pipeline
