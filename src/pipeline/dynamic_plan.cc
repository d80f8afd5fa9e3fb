#include "pipeline/dynamic_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "artifacts/candidate_types.h"
#include "foundation/base/error.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "model/architecture/kept_tensors.h"
#include "model/architecture/model_facts.h"
#include "pipeline/feedback_losses.h"
#include "pipeline/sensitivity.h"
#include "stages/match_importance.h"
#include "stages/plan_dynamic.h"
#include "stages/prior_sensitivity.h"

namespace tessera::pipeline {
namespace {

/// Below this many bits per weight of the target the loss rises steeply (docs/dynamic.md has the table).
constexpr double kLowTargetBits = 2.5;
/// Attempts to place the header, whose size depends on the plan in it: each moves the budget by what the last
/// was off.
constexpr int kMostFits = 8;

class DynamicPlanner {
 public:
  DynamicPlanner(const DynamicSettings& settings, const DynamicJob& job, ProgressObserver& progress,
                 const StopFlag& stop)
      : settings_(settings),
        job_(job),
        progress_(progress),
        stop_(stop),
        weights_(*job.walks.model.weights),
        facts_(model::facts_of(job.walks.model.metadata, weights_.tensors())) {
    for (const auto& tensor : weights_.tensors()) matrices_.push_back(model::may_be_quantized(tensor));
  }

  DynamicPlan run() {
    check();
    warn_of_low_target();
    const auto method = choose_method();
    find_importance();
    find_marginals();
    const auto candidates = find_candidates();
    result_.sensitivity =
        timed(result_.times, "sensitivities", [&] { return find_losses(method, candidates); });
    if (job_.feedback && method != SensitivityMethod::prior) count_on_feedback(candidates);
    auto allocated = timed(result_.times, "allocation", [&] { return fit(); });
    result_.plan = std::move(allocated.plan);
    for (const auto& note : allocated.notes) progress_.note(note);
    add_curves(allocated, candidates);
    return std::move(result_);
  }

 private:
  /// What can be refused before hours of walks is refused here: rules that match nothing or contradict, and
  /// targets that no plan reaches.
  void check() const {
    std::vector<std::string> names;
    for (const auto& tensor : weights_.tensors()) names.push_back(tensor.name);
    const auto kind = facts_.experts > 0 ? ModelKind::moe : ModelKind::dense;
    const auto rules = rules_for(settings_.policy.rules, kind);
    require_matches(facts_.has_output ? rules : with_tied_output(rules), names, facts_.layer_count);
    const std::vector<bool> has_importance(matrices_.size(), job_.imatrix.has_value() || has_texts());
    Sensitivity free;
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      if (!matrices_[i]) continue;
      TensorSensitivity tensor{weights_.tensors()[i].name, {}};
      for (const auto type : types_of(i, has_importance[i])) tensor.candidates.push_back({type, 0});
      free.tensors.push_back(std::move(tensor));
    }
    try {
      plan_at(budget_of(0), free, has_importance);
    } catch (const UsageError& error) {
      if (!settings_.target_place) throw;
      throw BadFileError({.file = settings_.target_place->text()}, error.what());
    }
  }

  /// What a matrix can be stored as: the candidates, and what rules may pin it to.
  std::vector<ElementType> types_of(std::size_t tensor, bool has_importance) const {
    auto wanted = settings_.policy.candidates;
    for (const auto& rule : settings_.policy.rules) {
      if (rule.type) wanted.push_back(*rule.type);
    }
    return candidate_types(wanted, weights_.tensors()[tensor], has_importance);
  }

  bool has_texts() const { return job_.walks.has_texts(); }

  void warn_of_low_target() {
    const double bits = 8.0 * static_cast<double>(budget_of(0)) / static_cast<double>(all_weights());
    if (bits >= kLowTargetBits) return;
    progress_.warn(
        fmt::format("{:.2f} bits per weight: below {} the loss grows by about half with every quarter of a "
                    "bit. On the model measured (docs/dynamic.md) 2.5 bits had half the divergence of 2.0, "
                    "and 3.0 bits a fifth: consider a larger target, or a smaller model at more bits",
                    bits, kLowTargetBits));
  }

  SensitivityMethod choose_method() {
    const auto wanted = settings_.sensitivity;
    if (wanted && *wanted != SensitivityMethod::prior && !has_texts()) {
      throw UsageError(fmt::format("sensitivities by the method {} are taken from texts: give some with -f",
                                   name_of(*wanted)));
    }
    if (!has_texts() && !wanted) {
      progress_.warn(
          "without texts (-f) sensitivities are assumed from role and depth of the tensors; the result is "
          "better with a text");
    }
    if (!has_texts()) return SensitivityMethod::prior;
    const auto obstacle = obstacle_to_walks(job_.walks.model);
    const auto to_gradients = obstacle_to_gradients(job_.walks.model);
    can_walk_back_ = !to_gradients;
    const auto method = wanted.value_or(to_gradients ? SensitivityMethod::prior : SensitivityMethod::fisher);
    const auto& in_the_way = method == SensitivityMethod::measured ? obstacle : to_gradients;
    if (method != SensitivityMethod::prior && in_the_way) {
      throw UsageError(fmt::format("sensitivities by the method {} need a walk through the model: {}",
                                   name_of(method), *in_the_way));
    }
    if (!wanted && to_gradients) {
      progress_.warn(
          fmt::format("sensitivities are assumed from role and depth of the tensors: {}", *to_gradients));
    }
    return method;
  }

  /// Of every matrix: from the importance matrix given, or computed from the texts.
  void find_importance() {
    if (!job_.imatrix && !has_texts()) {
      result_.importance.tensors.resize(weights_.tensors().size());
      return;
    }
    const auto matrix = job_.imatrix ? imatrix::read_imatrix(*job_.imatrix)
                                     : importance_of_texts(job_.walks, result_.times, progress_, stop_);
    const auto name = job_.imatrix ? job_.imatrix->string() : std::string(kComputedImportance);
    result_.importance = stages::match_importance(weights_.tensors(), matrices_, matrix, name, progress_);
  }

  /// Whatever the method: the importance of the token embedding comes from them as well.
  void find_marginals() {
    if (!can_walk_back_) return;
    marginals_ = marginals_of_texts(job_.walks, result_.times, progress_, stop_);
    fill_importance(weights_, marginals_, result_.importance);
  }

  std::vector<TensorCandidates> find_candidates() const {
    std::vector<TensorCandidates> candidates;
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      if (!matrices_[i]) continue;
      const auto& importance = result_.importance.tensors[i];
      auto types = types_of(i, importance.has_value());
      if (!types.empty()) candidates.push_back({i, std::move(types), importance ? &*importance : nullptr});
    }
    return candidates;
  }

  Sensitivity find_losses(SensitivityMethod method, std::span<const TensorCandidates> candidates) {
    if (method == SensitivityMethod::fisher)
      return predict_losses(job_.walks, candidates, marginals_, progress_, stop_);
    if (method == SensitivityMethod::measured)
      return measure_sensitivity(job_.walks, candidates, progress_, stop_);
    std::vector<stages::PriorCandidates> tensors;
    for (const auto& candidate : candidates)
      tensors.push_back({weights_.tensors()[candidate.tensor], candidate.types});
    return stages::prior_sensitivity(tensors, facts_);
  }

  void count_on_feedback(std::span<const TensorCandidates> candidates) {
    const auto shares = timed(result_.times, "losses with feedback", [&] {
      return feedback_shares(job_.walks, *job_.feedback, candidates, marginals_, progress_, stop_);
    });
    result_.sensitivity = with_feedback(std::move(result_.sensitivity), weights_, candidates, shares);
  }

  std::uint64_t all_weights() const {
    std::uint64_t weights = 0;
    for (const auto& tensor : weights_.tensors()) weights += tensor.weights();
    return weights;
  }

  /// Bytes for the tensors when everything else in the files takes `overhead`.
  std::uint64_t budget_of(std::uint64_t overhead) const {
    const double value = settings_.target.value;
    const auto weights = static_cast<double>(all_weights());
    const auto without = [&](std::uint64_t others, double all) {
      return static_cast<std::uint64_t>(
          std::max(0.0, all - static_cast<double>(others + job_.sidecar_bytes)));
    };
    switch (settings_.target.kind) {
      case SizeTarget::Kind::bits_per_weight:
        return without(0, value * weights / 8);
      case SizeTarget::Kind::file_bytes:
        return without(overhead, value);
      case SizeTarget::Kind::compression:
        return without(overhead, (1 - value / 100) * (2 * weights + static_cast<double>(overhead)));
    }
    return 0;
  }

  stages::DynamicPlanResult plan_at(std::uint64_t budget, const Sensitivity& sensitivity,
                                    const std::vector<bool>& has_importance) const {
    return stages::plan_dynamic({.tensors = weights_.tensors(),
                                 .facts = facts_,
                                 .policy = settings_.policy,
                                 .sensitivity = sensitivity,
                                 .budget_bytes = budget,
                                 .has_importance = has_importance,
                                 .curve_points = settings_.curve_points});
  }

  /// The plan whose files are at the target or below. The plan is part of the metadata, so their size is
  /// known only afterwards: what a plan is over is taken from the budget of the next.
  stages::DynamicPlanResult fit() const {
    std::vector<bool> has_importance;
    for (const auto& importance : result_.importance.tensors)
      has_importance.push_back(importance.has_value());
    std::uint64_t overhead = 0;
    for (int attempt = 0;; ++attempt) {
      auto allocated = plan_at(budget_of(overhead), result_.sensitivity, has_importance);
      const auto tensor_bytes = size_of(allocated.plan).target_bytes;
      if (settings_.target.kind == SizeTarget::Kind::bits_per_weight) return allocated;
      const auto actual =
          job_.file_bytes(allocated.plan, result_.importance, result_.sensitivity.method) - tensor_bytes;
      if (actual <= overhead && attempt > 0) return allocated;
      if (attempt == kMostFits) throw UsageError("the target leaves no room for the file's header");
      overhead = std::max(overhead, actual);
    }
  }

  void add_curves(const stages::DynamicPlanResult& allocated, std::span<const TensorCandidates> candidates) {
    result_.curve = allocated.curve;
    const auto size = size_of(result_.plan);
    const std::uint64_t other_bytes = bytes_of_others(candidates);
    for (const auto type : settings_.policy.candidates) {
      SizePoint point{std::string(name_of(type)), other_bytes, 0, 0};
      for (const auto& tensor : candidates) add_tensor(tensor, type, point);
      point.bits_per_weight =
          8.0 * static_cast<double>(point.tensor_bytes) / static_cast<double>(size.weights);
      result_.uniform.push_back(std::move(point));
    }
  }

  std::uint64_t bytes_of_others(std::span<const TensorCandidates> candidates) const {
    std::uint64_t bytes = 0;
    for (const auto& tensor : weights_.tensors()) bytes += tensor.bytes();
    for (const auto& candidate : candidates) bytes -= weights_.tensors()[candidate.tensor].bytes();
    return bytes;
  }

  /// A tensor that cannot take the type takes the next larger one that it can, or its largest.
  void add_tensor(const TensorCandidates& candidate, ElementType type, SizePoint& point) const {
    const auto& tensor = weights_.tensors()[candidate.tensor];
    auto taken = std::ranges::find_if(candidate.types, [&](ElementType other) {
      return info(other).bits_per_weight() >= info(type).bits_per_weight();
    });
    const ElementType stored = taken == candidate.types.end() ? candidate.types.back() : *taken;
    point.tensor_bytes += tensor.rows() * row_bytes(stored, tensor.columns());
    point.loss += loss_of(result_.sensitivity, tensor.name, stored).value_or(0);
  }

  const DynamicSettings& settings_;
  const DynamicJob& job_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  const WeightSource& weights_;
  model::ModelFacts facts_;
  std::vector<bool> matrices_;  ///< by tensor: may it be quantized
  bool can_walk_back_ = false;  ///< there are texts, and the forward pass knows the model
  CalibrationStatistics marginals_;
  DynamicPlan result_;
};

}  // namespace

DynamicPlan make_dynamic_plan(const DynamicSettings& settings, const DynamicJob& job,
                              ProgressObserver& progress, const StopFlag& stop) {
  return DynamicPlanner(settings, job, progress, stop).run();
}

}  // namespace tessera::pipeline
